//! What this node saw of votes as a leader, and the groups' histories do not have yet.
//!
//! In memory, and bounded: a crash loses what was seen since the last batch, and where more comes
//! than batches may carry, the oldest goes, what went well first. What is let go is counted. A
//! batch that may have been applied is kept as it is until that is known.

use prometheus::{IntCounter, IntCounterVec, Opts, core::Collector};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};
use vatic_core::{
    codec,
    history::{Batch, Event, What},
    id::GroupId,
    limits::Limits,
};

/// What a batch's encoding has beside its events' own.
const SLACK_BYTES: u64 = 16;

/// Of votes that met nothing, one of so many is kept: of those that a model can learn from, and of
/// the others.
const TEACHING_ONE_OF: u32 = 8;
const OTHERS_ONE_OF: u32 = 128;
/// Of the newest so many none is taken twice: a vote may be asked for again, and says the same.
const REPEATS_LOOKED: usize = 64;
/// Of those that strayed so many wait at once, in each group: of each twenty that are judged one
/// does, by construction, and conflicts must not be crowded out of the history.
const STRAYED_MAX: usize = 4;

/// By group.
pub(crate) struct Unwritten {
    node: u64,
    events_max: usize,
    groups: Mutex<BTreeMap<GroupId, Waiting>>,
    kept: IntCounter,
    dropped: IntCounter,
    all: IntCounterVec,
}

/// What waits for one group.
#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    /// What the next success stands for beside itself: those that were let go.
    owed: u32,
    /// It may be in the group's log.
    batch: Option<Batch>,
    /// The number of the last batch.
    sequence: u64,
}

/// For how many a vote that met nothing stands, if it is kept.
pub(super) fn drawn(teaches: bool) -> Option<u32> {
    let one_of = if teaches { TEACHING_ONE_OF } else { OTHERS_ONE_OF };
    (rand::random_range(0..one_of) == 0).then_some(one_of)
}

impl Unwritten {
    pub(super) fn new(node: u32, events_max: u64) -> Unwritten {
        let what = "What leaders here saw of votes, by whether it came into the history.";
        let all = IntCounterVec::new(Opts::new("vatic_history_events_total", what), &["result"]);
        let all = all.expect("the name is sound");
        Unwritten {
            node: u64::from(node),
            events_max: events_max as usize,
            groups: Mutex::default(),
            kept: all.with_label_values(&["kept"]),
            dropped: all.with_label_values(&["dropped"]),
            all,
        }
    }

    /// For the node's registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.all.clone())]
    }

    pub(super) fn push(&self, group: GroupId, event: Event) {
        let mut groups = self.groups.lock().expect("no holder panics");
        if groups.entry(group).or_default().push(event, self.events_max) {
            self.dropped.inc();
        }
    }

    /// The batch to propose: again the last one, as long as nobody knows what became of that.
    /// `above`: the least number that the group would take for a new one.
    pub(super) fn batch(
        &self,
        group: GroupId,
        limits: &Limits,
        above: impl FnOnce() -> u64,
    ) -> Option<Batch> {
        let mut groups = self.groups.lock().expect("no holder panics");
        let waiting = groups.get_mut(&group)?;
        if waiting.batch.is_none() {
            let (events, oversized) = waiting.take(limits);
            self.dropped.inc_by(oversized);
            if events.is_empty() {
                return None;
            }
            waiting.sequence = above().max(waiting.sequence + 1);
            let (node, sequence) = (self.node, waiting.sequence);
            waiting.batch = Some(Batch { node, sequence, events });
        }
        waiting.batch.clone()
    }

    /// The group has the last batch, or never will.
    pub(super) fn settle(&self, group: GroupId, kept: bool) {
        let mut groups = self.groups.lock().expect("no holder panics");
        let Some(batch) = groups.get_mut(&group).and_then(|waiting| waiting.batch.take()) else {
            return;
        };
        let counter = if kept { &self.kept } else { &self.dropped };
        counter.inc_by(batch.events.len() as u64);
    }

    #[cfg(test)]
    pub(super) fn waiting(&self, group: GroupId) -> Vec<Event> {
        let groups = self.groups.lock().expect("no holder panics");
        groups
            .get(&group)
            .map(|waiting| waiting.events.iter().cloned().collect())
            .unwrap_or_default()
    }
}

/// Whether both tell the same of one transaction.
fn repeats(one: &Event, other: &Event) -> bool {
    one.tid == other.tid && one.strayed().is_some() == other.strayed().is_some()
}

impl Waiting {
    /// Whether something was let go for it, or it was itself.
    fn push(&mut self, mut event: Event, most: usize) -> bool {
        if self.events.iter().rev().take(REPEATS_LOOKED).any(|newest| repeats(newest, &event)) {
            return false;
        }
        let strayed = |event: &Event| event.strayed().is_some();
        let few = || self.events.iter().filter(|event| strayed(event)).count() < STRAYED_MAX;
        if strayed(&event) && !few() {
            return true;
        }
        let full = self.events.len() >= most;
        if full {
            // What others learn nothing from goes first.
            let first = self.events.iter().position(strayed);
            match first.or_else(|| self.events.iter().position(Event::is_accepted)) {
                Some(at) => drop(self.events.remove(at).map(|gone| self.owe(&gone))),
                None if event.is_accepted() => {
                    self.owe(&event);
                    return true;
                }
                None => drop(self.events.pop_front()),
            }
        }
        if let What::Accepted { weight } = &mut event.what {
            *weight = weight.saturating_add(std::mem::take(&mut self.owed));
        }
        self.events.push_back(event);
        full
    }

    fn owe(&mut self, gone: &Event) {
        if let What::Accepted { weight } = gone.what {
            self.owed = self.owed.saturating_add(weight);
        }
    }

    /// The oldest that one batch may carry, and how many were too large for any.
    fn take(&mut self, limits: &Limits) -> (Vec<Event>, u64) {
        let mut room = limits.history_batch_bytes_max.saturating_sub(SLACK_BYTES);
        let (mut taken, mut oversized) = (Vec::new(), 0);
        while let Some(event) = self.events.front() {
            let bytes = codec::encoded_bytes(event) as u64;
            if bytes > limits.history_batch_bytes_max.saturating_sub(SLACK_BYTES) {
                self.events.pop_front();
                oversized += 1;
                continue;
            }
            if bytes > room || taken.len() as u64 >= limits.history_batch_max {
                break;
            }
            room -= bytes;
            taken.extend(self.events.pop_front());
        }
        (taken, oversized)
    }
}
