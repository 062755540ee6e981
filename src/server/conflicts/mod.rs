//! What this node foresees in the groups that it leads, and what became of it.
//!
//! The core says what is known of a claim or a vote and what it means; here are its clock, its
//! lock, and a thread that learns. A node knows the conflicts of the groups that it leads, and
//! learns from those: a new leader begins without its predecessor's present. Models are shared
//! through group 0.
//!
//! Nothing here decides whether a transaction commits.

#[cfg(test)]
mod conflicts_test;
mod history;
mod learner;
mod shared;

pub(crate) use history::Met;
pub(crate) use shared::follow;

use crate::{
    peer::{NodeConflicts, Origin, Outlook, PeerReply},
    time,
};
use history::History;
use learner::Learning;
use shared::Sharing;
use std::sync::Mutex;
use vatic_core::{
    codec,
    command::{Cause, Command, Decision, Reply, Standing, Vote, Why},
    conflict::{
        Advice, Ask, Ballot, By, Claims, Course, Features, Group, Limits, Model, Touch, Verdict,
        fixed,
    },
    delta::{Delta, Rejection},
    id::{GroupId, Tid},
    key::Key,
};

/// Labels that are learnt from, a second: a fit costs more than all else here.
const LABELS_A_SECOND: u64 = 25;
/// Labels that may come at once after a rest: enough for a first model.
const LABELS_AT_ONCE: u64 = 600;

/// Of a large transaction the first records tell enough.
const TOUCHES_MAX: usize = 256;

const COST_US: u64 = 1_000_000 / LABELS_A_SECOND;

pub(crate) struct Conflicts {
    node: u32,
    present: Mutex<Present>,
    learning: Learning,
    sharing: Mutex<Sharing>,
    history: Mutex<History>,
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
    pub(crate) fn new(node: u32) -> Conflicts {
        let budget = Budget { credit_us: COST_US * LABELS_AT_ONCE, at_us: 0 };
        let present = Present { claims: Claims::new(Limits::production()), budget };
        Conflicts {
            node,
            present: Mutex::new(present),
            learning: Learning::start(node),
            sharing: Mutex::default(),
            history: Mutex::default(),
        }
    }

    /// Notes that a record is read to be written, and advises when.
    pub(crate) fn advise(&self, asked: Asked<'_>) -> (Advice, u64) {
        let Asked { origin, key, ahead, by_hotness } = asked;
        let touch = Touch::of_key(key);
        let dice_ppm = rand::random_range(0..fixed::MILLION);
        let ask = Ask { token: origin.token, user: origin.user, touch, ahead, dice_ppm };
        let model = self.learning.model();
        let by = if by_hotness { By::Hotness } else { By::Model(&model) };
        let advice = self.with(|present| present.claims.advise(ask, by, time::now().0));
        (advice, model.version)
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
        let touches = touches(vote);
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
            let weighed = claims.weigh_touches(user, touches, By::Model(&model), ahead, now_us);
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

    /// What this node learnt, and the newest conflicts that it saw.
    pub(crate) fn account(&self, conflicts_max: usize) -> NodeConflicts {
        let conflicts = self.history.lock().expect("no holder panics").newest(conflicts_max);
        self.learning.account(conflicts)
    }

    fn answered(&self, proposing: &mut Proposing<'_>, verdict: Verdict, met: Option<&Cause>) {
        let Some(ballot) = proposing.ballot.take() else { return };
        let now_us = time::now().0;
        if let (Some(cause), Verdict::Conflict { record }) = (met, verdict) {
            self.note(proposing, &ballot, (cause, record), now_us);
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
        ballot: &Ballot,
        (cause, record): (&Cause, Option<u64>),
        now_us: u64,
    ) {
        let claim = record.and_then(|record| ballot.claim(record));
        let model = self.learning.model();
        let features = claim.map(|(features, _)| features).or(ballot.features());
        let scored = features.filter(|_| !model.terms.is_empty());
        let met = Met {
            at_us: now_us,
            node: self.node,
            group: proposing.group,
            tid: proposing.tid,
            why: cause.clone(),
            claimed: claim.is_some(),
            in_turn: claim.is_some_and(|(_, in_turn)| in_turn),
            score_ppm: scored.map(|features| model.score(features)),
            model_version: model.version,
            lost_us: now_us - ballot.begun_us().unwrap_or(proposing.proposed_us).min(now_us),
        };
        self.history.lock().expect("no holder panics").push(met);
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

/// The records of a vote. One that does not decode is for the vote itself to refuse.
fn touches(vote: &Vote) -> Vec<Touch> {
    let looked = vote.part.transitions.iter().take(TOUCHES_MAX);
    let deltas = looked.map(|transition| &transition.delta);
    let touch = |bytes: &Vec<u8>| Some(Touch::of_delta(&codec::decode(bytes).ok()?, bytes.len()));
    let mut touches: Vec<Touch> = deltas.filter_map(touch).collect();
    let read = vote.part.reads.iter().take(TOUCHES_MAX);
    touches.extend(read.map(|read| Touch { writes: false, ..Touch::of_key(&read.key) }));
    touches
}

/// What each group of features adds to the log-odds, Q16, the largest first.
fn reasons(model: &Model, features: &Features) -> Vec<(Group, i32)> {
    let mut shares = model.shares(features);
    shares.retain(|(_, share)| *share != 0);
    shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.unsigned_abs()));
    shares
}
