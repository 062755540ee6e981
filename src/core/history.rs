//! What became of votes, as the leaders of a group saw it: kept by the group, for people to ask and
//! for models to learn from. And which transactions strayed from their forecasts, as their drivers
//! saw it: for people alone, since that says nothing of others.
//!
//! An event is data that a leader made beside the protocol: its wall clock, what it foresaw.
//! Applying a batch evaluates nothing of that. It numbers the events, notes the group's clock
//! beside them, and lets the oldest go: a few for each that comes, so that the work of an entry is
//! bounded by its size, whatever limits say from now on.
//!
//! A leader that does not know what became of its batch proposes it again, under the same number.
//! The group remembers the last number of each node, so that a batch counts once.
//!
//! Nothing here decides whether a transaction commits.
//!
//! Invariants: events lie without gaps in their places; the clock beside them never falls.

use crate::{
    codec,
    command::{Cause, Refusal, Reply, Why},
    conflict::Features,
    expected::Score,
    group::Group,
    id::{Tid, Timestamp},
    key::Key,
    limits::Limits,
    numbered::Numbered,
    policy::Validation,
    state::{Read, State},
    tables,
};
use alloc::{boxed::Box, format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// Old events that may go for each that comes.
const EVICTED_A_ROW: usize = 4;

/// Some events, from one leader.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// Who saw them.
    pub node: u64,
    /// Rises from batch to batch of a node in a group, over its restarts too: a batch that does not
    /// is one that came before.
    pub sequence: u64,
    /// In the order in which they came to pass.
    pub events: Vec<Event>,
}

/// What became of a vote, or of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When it was answered, by the leader's wall clock, in microseconds since 1970.
    pub at_us: u64,
    /// The transaction.
    pub tid: Tid,
    /// What became of it.
    pub what: What,
    /// What was foreseen of it; where nobody looked, nothing.
    pub foreseen: Option<Box<Foreseen>>,
    /// It had said that it would write the record.
    pub claimed: bool,
    /// And took its turn.
    pub in_turn: bool,
    /// From its claim, or the proposal of its vote, to the answer, in microseconds.
    pub took_us: u64,
}

/// How a vote ended, as far as it tells of conflicts.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum What {
    /// It met a conflict.
    Conflict(Cause),
    /// Nothing was in its way in this group.
    Accepted {
        /// It stands for so many: not all of these are kept.
        weight: u32,
    },
    /// It ended other than was forecast of it. Of the whole transaction, in its home group.
    Strayed(Box<Strayed>),
}

/// How a transaction strayed, and what came of it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Strayed {
    /// Which transactions count as alike.
    pub class: u64,
    /// How far it was from its forecast.
    pub score: Score,
    /// How far it might have been.
    pub tolerance: Score,
    /// The strictest of what the collections that it writes ask for, as its driver knew it.
    pub validation: Validation,
    /// Why it was rolled back; `None`: it was committed.
    pub rolled_back: Option<Cause>,
}

/// What was known of a transaction beforehand.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Foreseen {
    /// When it claimed the record, or when its vote was proposed.
    pub features: Features,
    /// The probability that the outcome could be seen at all, in parts per million.
    pub propensity_ppm: u32,
    /// The probability of a conflict, in parts per million; `None` without a model.
    pub score_ppm: Option<u32>,
    /// The model that said so; 0: none.
    pub model_version: u64,
}

/// An event as it is kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The group's clock when it was appended.
    pub clock: Timestamp,
    /// Who saw it.
    pub node: u64,
    /// What was seen.
    pub event: Event,
}

/// Which events are asked for, of those that are told: conflicts, and what strayed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Filter {
    /// Those on this record alone.
    pub key: Option<Key>,
    /// Those alone that this transaction met, or was in the way of.
    pub tid: Option<Tid>,
}

/// What lies behind a place.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Newer {
    /// Each with its place, ascending.
    pub rows: Vec<(u64, Row)>,
    /// There is no more up to this place.
    pub looked: u64,
    /// Events that have gone meanwhile.
    pub missed: u64,
}

/// Where the history begins and ends, and whose batches it holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// The place of the oldest event; places are counted from 1.
    first: u64,
    /// The place of the next one.
    next: u64,
    last: Numbered,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { first: 1, next: 1, last: Numbered::default() }
    }
}

impl Event {
    /// The cause, where it met a conflict.
    pub fn conflict(&self) -> Option<&Cause> {
        match &self.what {
            What::Conflict(cause) => Some(cause),
            What::Accepted { .. } | What::Strayed(_) => None,
        }
    }

    /// How it strayed, where it did.
    pub fn strayed(&self) -> Option<&Strayed> {
        match &self.what {
            What::Strayed(strayed) => Some(strayed),
            What::Conflict(_) | What::Accepted { .. } => None,
        }
    }

    /// Whether nothing was in its way.
    pub fn is_accepted(&self) -> bool {
        matches!(self.what, What::Accepted { .. })
    }
}

impl Filter {
    /// Whether an event is told, and asked for: a conflict, or what strayed. What strayed and was
    /// committed has no record.
    pub fn includes(&self, event: &Event) -> bool {
        let (at, by) = match &event.what {
            What::Accepted { .. } => return false,
            What::Conflict(cause) => parties(&cause.why),
            What::Strayed(strayed) => {
                strayed.rolled_back.as_ref().map_or((None, None), |cause| parties(&cause.why))
            }
        };
        let of = |tid: Tid| event.tid == tid || by == Some(tid);
        self.key.as_ref().is_none_or(|key| at == Some(key)) && self.tid.is_none_or(of)
    }
}

/// The record of a conflict, and who was in the way, where there is one.
pub fn parties(why: &Why) -> (Option<&Key>, Option<Tid>) {
    match why {
        Why::Locked { key, by } | Why::RangeLocked { key, by } => (Some(key), Some(*by)),
        Why::ReadChanged { key, .. }
        | Why::WrittenSince { key, .. }
        | Why::Rejected { key, .. } => (Some(key), None),
        Why::RequestHeld { by } | Why::RequestMismatch { by } => (None, Some(*by)),
        _ => (None, None),
    }
}

impl Group {
    /// What is told and asked for, each with its place, the newest first.
    pub fn conflicts(&self, state: &impl Read, filter: &Filter, most: usize) -> Vec<(u64, Row)> {
        let Ledger { first, next, .. } = ledger(state);
        let mut found = Vec::new();
        for place in (first..next).rev() {
            let row: Row = tables::load(state, &tables::event(place)).expect("there are no gaps");
            if found.len() >= most || self.is_past(row.clock) {
                break;
            }
            if filter.includes(&row.event) {
                found.push((place, row));
            }
        }
        found
    }

    /// All events behind a place, at most so many. Behind one that is not there yet is the end.
    pub fn events_after(&self, state: &impl Read, place: u64, most: usize) -> Newer {
        let Ledger { first, next, .. } = ledger(state);
        let after = place.min(next - 1);
        let from = first.max(after + 1);
        let to = next.min(from.saturating_add(most as u64));
        let mut rows = Vec::new();
        state.scan(&tables::event(from), &tables::event(to), &mut |at, row| {
            let row: Row = tables::stored(row);
            if !self.is_past(row.clock) {
                rows.push((tables::index_of(at), row));
            }
            true
        });
        Newer { rows, looked: to - 1, missed: from - after - 1 }
    }

    /// The number of a node's last batch.
    pub fn last_batch(&self, state: &impl Read, node: u64) -> Option<u64> {
        ledger(state).last.of(node)
    }

    pub(crate) fn append_history(&self, state: &mut impl State, batch: &Batch) -> Reply {
        let limits = &self.config.limits;
        if let Some(refusal) = refusal(limits, batch) {
            return Reply::Refused(refusal);
        }
        let mut ledger = ledger(state);
        if !ledger.last.takes(batch.node, batch.sequence, self.rules) {
            return Reply::Done;
        }
        for event in &batch.events {
            let row = RowRef { clock: self.head.clock, node: batch.node, event };
            tables::save(state, tables::event(ledger.next), &row);
            ledger.next += 1;
        }
        self.evict(state, &mut ledger, EVICTED_A_ROW * batch.events.len());
        tables::save(state, tables::LEDGER.to_vec(), &ledger);
        Reply::Done
    }

    fn evict(&self, state: &mut impl State, ledger: &mut Ledger, most: usize) {
        for _ in 0..most {
            let place = tables::event(ledger.first);
            let kept = ledger.next - ledger.first;
            let oldest = || state.get(&place).map(|row| clock_of(&row));
            let goes = kept > self.config.limits.history_rows_max
                || kept > 0 && oldest().is_some_and(|clock| self.is_past(clock));
            if !goes {
                return;
            }
            state.delete(&place);
            ledger.first += 1;
        }
    }

    fn is_past(&self, clock: Timestamp) -> bool {
        clock.plus_us(self.config.limits.history_ttl_us) < self.head.clock
    }
}

/// A [`Row`] to be written.
#[derive(Serialize)]
struct RowRef<'a> {
    clock: Timestamp,
    node: u64,
    event: &'a Event,
}

pub(crate) fn clock_of(row: &[u8]) -> Timestamp {
    codec::decode_first(row).expect("stored bytes are of this release's format")
}

fn ledger(state: &impl Read) -> Ledger {
    tables::load(state, tables::LEDGER).unwrap_or_default()
}

fn refusal(limits: &Limits, batch: &Batch) -> Option<Refusal> {
    if batch.events.len() as u64 > limits.history_batch_max {
        return Some(Refusal::HistoryEvents { limit: limits.history_batch_max });
    }
    let bytes = codec::encoded_bytes(&batch.events) as u64;
    let limit = limits.history_batch_bytes_max;
    (bytes > limit).then_some(Refusal::HistoryBytes { limit })
}

/// Events lie where the ledger says, without gaps, none ahead of the clock, in its order.
pub(crate) fn check(clock: Timestamp, state: &impl Read) -> Result<(), String> {
    let Ledger { first, next, last } = ledger(state);
    let (mut place, mut before, mut fault) = (first, Timestamp::ZERO, None);
    let (from, to) = tables::whole(tables::EVENT);
    state.scan(&from, &to, &mut |at, row| {
        let noted = clock_of(row);
        if tables::index_of(at) != place || noted < before || noted > clock {
            fault = Some(format!("an event of {noted} behind {before} lies at {place}"));
        }
        (place, before) = (place + 1, noted);
        fault.is_none()
    });
    if place != next || !last.is_bounded() {
        fault = fault.or(Some(format!("the history ends at {place}, not at {next}")));
    }
    fault.map_or(Ok(()), Err)
}
