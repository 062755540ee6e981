//! What this node foresees in the groups that it leads, and what became of it.
//!
//! The core says what is known of a claim or a vote and what it means; here are its clock, its
//! lock, and a thread that learns. A node knows the conflicts of the groups that it leads, and
//! learns from those, and from what their earlier leaders left in the groups' histories: a new one
//! begins without its predecessor's present, not without its past. Models are shared through group
//! 0.
//!
//! Nothing here decides whether a transaction commits.

#[cfg(test)]
mod conflicts_test;
mod history;
mod keep;
mod learner;
mod shared;
mod strayed;

pub(crate) use keep::{start, write_all};
pub(crate) use shared::follow;

use crate::{
    config::Config,
    mechanisms::Mechanism,
    peer::{NodeLearnt, Origin, Outlook, PeerReply},
    time,
};
use history::Unwritten;
use learner::Learning;
use shared::Sharing;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vatic_core::{
    body::Part,
    codec,
    command::{Cause, Command, Decision, Reply, Standing, Vote, Why},
    conflict::{
        Advice, Ask, Ballot, By, Claims, Course, Features, Group, Known, Limits, Model, Touch,
        Verdict, fixed,
    },
    delta::{Delta, Rejection},
    estimate,
    history::{Event, Foreseen, Row, What},
    id::{GroupId, Tid},
    key::Key,
};
use vatic_learn::conflict::Sample;

/// Labels that are learnt from, a second: a fit costs more than all else here.
const LABELS_A_SECOND: u64 = 25;
/// Labels that may come at once after a rest: enough for a first model.
const LABELS_AT_ONCE: u64 = 600;

/// Of a large transaction the first records tell enough.
const TOUCHES_MAX: usize = 256;
/// Touches of a running stream that are weighed for one question.
const ODDS_TOUCHES_MAX: usize = 1_024;

/// Scores by which votes are ordered differ by this much at least.
const SCORE_STEP_PPM: u32 = 125_000;

const COST_US: u64 = 1_000_000 / LABELS_A_SECOND;

/// What is learnt at once from the past of one group: a fit of more takes longer than it is worth.
const RECALLED_MAX: usize = 2_000;
/// Clients that may wait for conflicts at one node at once.
pub(crate) const WATCHERS_MAX: u64 = 64;

pub(crate) struct Conflicts {
    node: u32,
    /// Whether what a conflict and a turn cost is weighed up.
    weighs: bool,
    present: Mutex<Present>,
    learning: Learning,
    sharing: Mutex<Sharing>,
    /// What the groups' histories do not have yet.
    pub(crate) history: Unwritten,
    watchers: Arc<Semaphore>,
    started_us: u64,
}

struct Present {
    claims: Claims,
    budget: Budget,
}

/// What may be learnt from: labels beyond it are not looked at, whatever they would say.
struct Budget {
    credit_us: u64,
    at_us: u64,
}

/// A record that is read to be written, of a group that is led here.
pub(crate) struct Asked<'a> {
    pub(crate) origin: Origin,
    pub(crate) key: &'a Key,
    /// How many have or wait for a turn with it.
    pub(crate) ahead: u64,
    pub(crate) by_hotness: bool,
}

/// A vote on its way through the log. Dropped without an answer, nobody knows what became of it.
pub(crate) struct Proposing<'a> {
    conflicts: &'a Conflicts,
    group: GroupId,
    tid: Tid,
    proposed_us: u64,
    ballot: Option<Ballot>,
}

impl Conflicts {
    pub(crate) fn new(config: &Config) -> Conflicts {
        let node = config.node;
        let budget = Budget { credit_us: COST_US * LABELS_AT_ONCE, at_us: 0 };
        let present = Present { claims: Claims::new(Limits::production()), budget };
        Conflicts {
            node,
            weighs: config.has(Mechanism::Simulate),
            present: Mutex::new(present),
            learning: Learning::start(
                node,
                learner::rules(config.has(Mechanism::CollaborativeFilter)),
            ),
            sharing: Mutex::default(),
            history: Unwritten::new(node, config.limits.history_buffer_max),
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX as usize)),
            started_us: time::now().0,
        }
    }

    /// Notes that a record is read to be written, and advises when.
    pub(crate) fn advise(&self, asked: Asked<'_>) -> (Advice, u64) {
        let Asked { origin, key, ahead, by_hotness } = asked;
        let touch = Touch::of_key(key);
        let dice_ppm = rand::random_range(0..fixed::MILLION);
        let ask = Ask { token: origin.token, user: origin.user, touch, ahead, dice_ppm };
        let model = self.learning.model();
        let by = if by_hotness { By::Hotness } else { self.by(&model) };
        let advice = self.with(|present| present.claims.advise(ask, by, time::now().0));
        (advice, model.version)
    }

    fn by<'a>(&self, model: &'a Model) -> By<'a> {
        if self.weighs { By::Model(model) } else { By::Odds(model) }
    }

    /// It takes its turn, or waits for it.
    pub(crate) fn in_turn(&self, token: u64, key: &Key) {
        self.with(|present| {
            if !present.claims.is_empty() {
                present.claims.in_turn(token, Touch::of_key(key).record);
            }
        });
    }

    /// It will not write the record.
    pub(crate) fn given_up(&self, token: u64, key: &Key) {
        self.with(|present| {
            if !present.claims.is_empty() {
                present.claims.given_up(token, Touch::of_key(key).record);
            }
        });
    }

    /// To be asked before a vote is proposed.
    pub(crate) fn proposing(&self, group: GroupId, vote: &Vote, origin: Origin) -> Proposing<'_> {
        let touches = touches(&vote.part);
        let (tid, now_us) = (vote.body.tid, time::now().0);
        let ballot = self.with(|present| {
            let scored = present.budget.has(now_us);
            let named = (origin.token, origin.user);
            present.claims.propose(tid, named, touches, scored, now_us)
        });
        Proposing { conflicts: self, group, tid, proposed_us: now_us, ballot: Some(ballot) }
    }

    /// To be told once a command is applied.
    pub(crate) fn applied(&self, command: &Command) {
        if let Command::Decide { tid, decision, .. } = command {
            let committed = matches!(decision, Decision::Committed { .. });
            self.with(|present| present.claims.decided(*tid, committed, time::now().0));
        }
    }

    /// What a transaction of these deltas would be told of a record, and why.
    pub(crate) fn outlook(&self, user: u64, key: &Key, deltas: &[Delta], ahead: u64) -> Outlook {
        let own = deltas.iter().filter(|delta| delta.key == *key);
        let touches = own.map(|delta| Touch::of_delta(delta, codec::encoded_bytes(delta)));
        let (touches, now_us) = (touches.collect(), time::now().0);
        let model = self.learning.model();
        let record = Touch::of_key(key).record;
        let (weighed, typical_us, others) = self.with(|present| {
            let (claims, contention) = (&present.claims, present.claims.contention());
            let weighed = claims.weigh_touches(user, touches, self.by(&model), ahead, now_us);
            (weighed, contention.typical_duration_us(), contention.writers(record))
        });
        let (advice, features) = weighed;
        let reasons = advice.score_ppm.map(|_| reasons(&model, &features)).unwrap_or_default();
        Outlook {
            key: key.clone(),
            score_ppm: advice.score_ppm,
            in_turn: advice.course == Course::InTurn,
            wait_us: advice.wait_us,
            typical_us: typical_us.unwrap_or(0),
            ahead,
            others,
            holder: None,
            reasons,
            model_version: model.version,
        }
    }

    /// Whether somebody said of late that it will write a record, and has not voted yet.
    pub(crate) fn is_claimed(&self, key: &Key) -> bool {
        let record = Touch::of_key(key).record;
        self.with(|present| present.claims.is_claimed(record, time::now().0))
    }

    /// How likely a transaction of these touches is to meet a conflict on any of their records, as
    /// if they were independent; in parts per million, `None` without a model.
    pub(crate) fn odds(&self, user: u64, mut touches: Vec<Touch>) -> Option<u32> {
        touches.truncate(ODDS_TOUCHES_MAX);
        touches.sort_unstable();
        let (model, now_us) = (self.learning.model(), time::now().0);
        let records = touches.chunk_by(|one, other| one.record == other.record);
        // Votes need the lock too: it is held for a record at a time.
        let score = |touches: &[Touch]| {
            let (touches, by) = (touches.to_vec(), By::Model(&model));
            let weigh = |present: &mut Present| {
                present.claims.weigh_touches(user, touches, by, 0, now_us).0.score_ppm
            };
            self.with(weigh)
        };
        estimate::any(records.map(score))
    }

    /// How likely sealed parts are to meet a conflict, by what lasts and in coarse steps: who is in
    /// flight, or wrote just now, says who came first, and of those who are as likely age decides.
    /// `None` without a model, and where nothing is relied on: that meets hardly any.
    pub(crate) fn score(&self, user: u64, parts: &[Part]) -> Option<u32> {
        if self.learning.model().terms.is_empty() {
            return None;
        }
        let touches: Vec<Touch> = parts.iter().flat_map(touches).take(TOUCHES_MAX).collect();
        if touches.iter().all(|touch| touch.writes) {
            return None;
        }
        // As one: each record by itself would be dearer than the order is worth.
        let (model, now_us) = (self.learning.model(), time::now().0);
        let weigh = |present: &mut Present| {
            present.claims.weigh_touches(user, touches, By::Hotness, 0, now_us).1
        };
        let mut features = self.with(weigh);
        for (index, value) in features.dense.iter_mut().enumerate() {
            let passes = matches!(Group::of(index), Group::Overlap | Group::Staleness);
            *value = if passes { 0 } else { *value };
        }
        let score_ppm = model.score(&features);
        Some(score_ppm - score_ppm % SCORE_STEP_PPM)
    }

    /// What this node learnt.
    pub(crate) fn account(&self) -> NodeLearnt {
        self.learning.account()
    }

    /// Learns from what others saw as leaders of a group, or this node before it was started; what
    /// it saw since then it has learnt from.
    pub(crate) fn recall(&self, rows: Vec<(u64, Row)>) {
        self.learning.recall(self.past(rows));
    }

    fn past(&self, rows: Vec<(u64, Row)>) -> Vec<Sample> {
        let own =
            |row: &Row| row.node == u64::from(self.node) && row.event.at_us >= self.started_us;
        let rows = rows.into_iter().map(|(_, row)| row).filter(|row| !own(row));
        let mut past: Vec<Sample> = rows.filter_map(|row| sample(row.event)).collect();
        past.drain(..past.len().saturating_sub(RECALLED_MAX));
        past
    }

    /// A place among those who wait for conflicts, given back when it is dropped.
    pub(crate) fn watcher(&self) -> Option<OwnedSemaphorePermit> {
        self.watchers.clone().try_acquire_owned().ok()
    }

    fn answered(&self, proposing: &mut Proposing<'_>, verdict: Verdict, met: Option<&Cause>) {
        let Some(ballot) = proposing.ballot.take() else { return };
        let now_us = time::now().0;
        let (what, known) = match (verdict, met) {
            (Verdict::Conflict { record }, Some(cause)) => {
                (Some(What::Conflict(cause.clone())), ballot.known(record))
            }
            (Verdict::Accepted { .. }, _) => {
                let known = ballot.known(None);
                let weight = history::drawn(known.is_some_and(|known| !known.in_turn));
                (weight.map(|weight| What::Accepted { weight }), known)
            }
            _ => (None, None),
        };
        if let Some(what) = what {
            self.note(proposing, what, known, (ballot.begun_us(), now_us));
        }
        let labels = self.with(|present| {
            let mut labels = present.claims.answered(ballot, verdict, now_us);
            labels.retain(|_| present.budget.take(now_us));
            labels
        });
        for label in labels {
            self.learning.learn(label, now_us);
        }
    }

    fn note(
        &self,
        proposing: &Proposing<'_>,
        what: What,
        known: Option<Known<'_>>,
        (begun_us, now_us): (Option<u64>, u64),
    ) {
        let model = self.learning.model();
        let scores = !model.terms.is_empty();
        let foreseen = |known: Known<'_>| Foreseen {
            features: known.features.clone(),
            propensity_ppm: known.propensity_ppm,
            score_ppm: scores.then(|| model.score(known.features)),
            model_version: model.version,
        };
        let event = Event {
            at_us: now_us,
            tid: proposing.tid,
            what,
            foreseen: known.map(foreseen).map(Box::new),
            claimed: known.is_some_and(|known| known.claimed),
            in_turn: known.is_some_and(|known| known.in_turn),
            took_us: now_us.saturating_sub(begun_us.unwrap_or(proposing.proposed_us)),
        };
        self.history.push(proposing.group, event);
    }

    fn with<T>(&self, with: impl FnOnce(&mut Present) -> T) -> T {
        with(&mut self.present.lock().expect("no holder panics"))
    }
}

impl Proposing<'_> {
    /// The group's answer, or the lack of one.
    pub(crate) fn end(mut self, reply: &PeerReply) {
        let PeerReply::Applied(proposed) = reply else { return };
        let (verdict, cause) = verdict(&proposed.applied.reply);
        self.conflicts.answered(&mut self, verdict, cause);
    }
}

impl Drop for Proposing<'_> {
    fn drop(&mut self) {
        self.conflicts.answered(self, Verdict::Other, None);
    }
}

impl Budget {
    fn has(&mut self, now_us: u64) -> bool {
        let passed_us = now_us.saturating_sub(self.at_us);
        self.at_us = self.at_us.max(now_us);
        self.credit_us = (self.credit_us + passed_us).min(COST_US * LABELS_AT_ONCE);
        self.credit_us >= COST_US
    }

    fn take(&mut self, now_us: u64) -> bool {
        let has = self.has(now_us);
        self.credit_us -= if has { COST_US } else { 0 };
        has
    }
}

/// What an answer to a vote says of conflicts, and the cause of a No.
fn verdict(reply: &Reply) -> (Verdict, Option<&Cause>) {
    let cause = match reply {
        Reply::Standing(Standing::Yes { .. }) => {
            return (Verdict::Accepted { decided: false }, None);
        }
        Reply::Standing(Standing::Decided(Decision::Committed { .. })) => {
            return (Verdict::Accepted { decided: true }, None);
        }
        Reply::Standing(Standing::No(cause) | Standing::Decided(Decision::RolledBack(cause))) => {
            cause
        }
        _ => return (Verdict::Other, None),
    };
    let key = match &cause.why {
        Why::ReadChanged { key, .. }
        | Why::WrittenSince { key, .. }
        | Why::Locked { key, .. }
        | Why::RangeLocked { key, .. }
        | Why::Rejected { key, rejection: Rejection::Expectation { .. }, .. } => Some(key),
        Why::RangeChanged { .. } => None,
        _ => return (Verdict::Other, None),
    };
    let record = key.map(|key| Touch::of_key(key).record);
    (Verdict::Conflict { record }, Some(cause))
}

/// The records of a part. One that does not decode is for the vote itself to refuse.
fn touches(part: &Part) -> Vec<Touch> {
    let looked = part.transitions.iter().take(TOUCHES_MAX);
    let deltas = looked.map(|transition| &transition.delta);
    let touch = |bytes: &Vec<u8>| Some(Touch::of_delta(&codec::decode(bytes).ok()?, bytes.len()));
    let mut touches: Vec<Touch> = deltas.filter_map(touch).collect();
    let read = part.reads.iter().take(TOUCHES_MAX);
    touches.extend(read.map(|read| Touch { writes: false, ..Touch::of_key(&read.key) }));
    touches
}

/// What an event of a history teaches: where a turn hid what would have been, nothing.
fn sample(event: Event) -> Option<Sample> {
    let conflict = event.conflict().is_some();
    let foreseen = event.foreseen.filter(|_| !event.in_turn)?;
    let stands_for = match event.what {
        What::Conflict(_) => 1,
        What::Accepted { weight } => weight.max(1),
        // It says nothing of others.
        What::Strayed(_) => return None,
    };
    let Foreseen { features, propensity_ppm, .. } = *foreseen;
    Some(Sample { features, conflict, propensity_ppm, stands_for, at_us: event.at_us })
}

/// What each group of features adds to the log-odds, Q16, the largest first.
fn reasons(model: &Model, features: &Features) -> Vec<(Group, i32)> {
    let mut shares = model.shares(features);
    shares.retain(|(_, share)| *share != 0);
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.unsigned_abs()));
    shares
}
