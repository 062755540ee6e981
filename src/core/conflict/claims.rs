//! Who reads to write, at the leader of a group: advice beforehand, labels afterwards.
//!
//! A transaction claims a record when it reads it to write it, and asks whether to read at once or
//! in its turn. Its vote shows whether a conflict was met: that is a label of what was known at the
//! claim. Where it took its turn, the turn hid the conflict: no label; of those that should have
//! waited a few are let through to learn from, with the propensity noted. Votes without a claim
//! teach too, by what is known when they are proposed.
//!
//! Nothing here decides whether a transaction commits.

use super::{
    contention::{Contention, Landing},
    features::{Feature, Features},
    fixed::{self, MILLION, ONE},
    limits::Limits,
    mutation::{Mutation, Touch},
    score::Model,
};
use crate::id::{GroupId, Tid, Timestamp};
use alloc::{collections::BTreeMap, vec, vec::Vec};

/// Of those that should wait for their turn, so many are advised to read at once.
pub const EXPLORED_PPM: u32 = 30_000;

/// What a turn costs, in parts of the time that it takes to come and is had: time is waited, not
/// worked.
const TURN_SHARE: u64 = 16;
/// Before any duration is known.
const DURATION_US: u64 = 10_000;
/// A claim that no vote followed is forgotten after so many typical durations.
const KEPT_DURATIONS: u64 = 64;
/// And is kept so long at least.
const KEPT_US_MIN: u64 = 2_000_000;

/// A vote whose end was not heard of is in flight for so long at least: as long as a stream may
/// run, and its driver after it.
const FLOWN_US_MIN: u64 = 90_000_000;

/// When to read a record that is to be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Course {
    /// Now; the vote tells whether that was in time.
    AtOnce,
    /// In its turn, in the record's key lane.
    InTurn,
}

/// What the course is chosen by.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// The model's probability and what both courses cost; hotness, as long as there is no model.
    Model(&'a Model),
    /// The model's probability alone: a turn where a conflict is likelier than not.
    Odds(&'a Model),
    /// Whether the record was written of late, or is about to be.
    Hotness,
}

/// A record that is read to be written.
#[derive(Clone, Copy, Debug)]
pub struct Ask {
    /// The transaction's own name for itself.
    pub token: u64,
    /// Its user, as [`fixed::name_id`] makes it.
    pub user: u64,
    /// The record.
    pub touch: Touch,
    /// How many have or wait for a turn with it.
    pub ahead: u64,
    /// Uniform below a million: who of those that should wait is let through.
    pub dice_ppm: u32,
}

/// What a claim is advised.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// When to read.
    pub course: Course,
    /// The probability of a conflict without a turn, in parts per million; `None` without a model.
    pub score_ppm: Option<u32>,
    /// How long the turn will take to come, in microseconds.
    pub wait_us: u64,
}

/// What a group said to a vote, as far as it tells of conflicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It stands, or will unless another group refuses: nothing was in its way here.
    Accepted {
        /// Its decision was made with it.
        decided: bool,
    },
    /// Somebody else was first.
    Conflict {
        /// The record, where it is one.
        record: Option<u64>,
    },
    /// It failed for another reason, or nobody knows.
    Other,
}

/// What was known of a mutation, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Label {
    /// When it was claimed or proposed.
    pub features: Features,
    /// Whether it met a conflict.
    pub conflict: bool,
    /// The probability that this could be seen at all, in parts per million.
    pub propensity_ppm: u32,
}

/// A vote under way.
#[derive(Clone, Debug)]
pub struct Ballot {
    tid: Tid,
    claims: Vec<(u64, Claim)>,
    features: Option<Features>,
}

#[derive(Clone, Debug)]
struct Claim {
    /// Its name among those in flight; these ascend with time.
    name: Tid,
    features: Features,
    propensity_ppm: u32,
    in_turn: bool,
}

/// What was known of a vote's transaction beforehand.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// At the claim, or when the vote was proposed.
    pub features: &'a Features,
    /// The probability that its outcome can be seen, in parts per million.
    pub propensity_ppm: u32,
    /// It had claimed the record.
    pub claimed: bool,
    /// And took its turn: what would have been otherwise nobody sees.
    pub in_turn: bool,
}

impl Ballot {
    /// When the transaction began, as far as this node saw it, in microseconds since 1970.
    pub fn begun_us(&self) -> Option<u64> {
        self.claims.iter().map(|(_, claim)| claim.name.mint.0).min()
    }

    /// What was known: of the claim of this record, or of any where none is named; or when it was
    /// proposed, where that was looked at.
    pub fn known(&self, record: Option<u64>) -> Option<Known<'_>> {
        let mut claims = self.claims.iter();
        let claim = claims.find(|(claimed, _)| record.is_none_or(|record| *claimed == record));
        let claim = claim.map(|(_, claim)| Known {
            features: &claim.features,
            propensity_ppm: claim.propensity_ppm,
            claimed: true,
            in_turn: claim.in_turn,
        });
        let proposed =
            |features| Known { features, propensity_ppm: MILLION, claimed: false, in_turn: false };
        claim.or(self.features.as_ref().map(proposed))
    }
}

/// The claims of one node, over what it knows of the present. Bounded by its [`Limits`].
#[derive(Clone, Debug)]
pub struct Claims {
    contention: Contention,
    /// By token and record.
    claims: BTreeMap<(u64, u64), Claim>,
    ages: BTreeMap<Tid, (u64, u64)>,
}

impl Claims {
    /// Knows nothing yet.
    pub fn new(limits: Limits) -> Claims {
        let contention = Contention::new(limits);
        Claims { contention, claims: BTreeMap::new(), ages: BTreeMap::new() }
    }

    /// What is known of the present.
    pub fn contention(&self) -> &Contention {
        &self.contention
    }

    /// Claims that no vote followed so far.
    pub fn len(&self) -> usize {
        self.claims.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// Whether a claim of a record stands. (Votes in flight count as writers as well, and longer
    /// than they fly where their leader changes.)
    pub fn is_claimed(&mut self, record: u64, now_us: u64) -> bool {
        self.forget_old(now_us);
        self.contention.writers(record) > 0
            && self.claims.keys().any(|(_, claimed)| *claimed == record)
    }

    /// Notes a claim and advises it.
    pub fn advise(&mut self, ask: Ask, by: By<'_>, now_us: u64) -> Advice {
        self.forget_old(now_us);
        let at = (ask.token, ask.touch.record);
        self.take(at);
        let limits = self.contention.limits();
        let mutation = Mutation::new(ask.user, now_us, vec![ask.touch], limits);
        let features = self.contention.features(&mutation, now_us);
        let advice = self.weigh(&features, by, ask.ahead);
        let explored = advice.course == Course::InTurn && ask.dice_ppm < EXPLORED_PPM;
        let course = if explored { Course::AtOnce } else { advice.course };
        let propensity_ppm = if explored { EXPLORED_PPM } else { MILLION };
        let nonce = fixed::pair_id(ask.token, ask.touch.record);
        let name = Tid { mint: Timestamp(now_us), home: GroupId::META, nonce };
        if self.claims.len() >= self.contention.limits().in_flight_max {
            self.drop_oldest();
        }
        self.contention.arrive(name, mutation);
        self.ages.insert(name, at);
        self.claims.insert(at, Claim { name, features, propensity_ppm, in_turn: false });
        Advice { course, ..advice }
    }

    /// What a claim would be advised, without one.
    pub fn weigh_touches(
        &self,
        user: u64,
        touches: Vec<Touch>,
        by: By<'_>,
        ahead: u64,
        now_us: u64,
    ) -> (Advice, Features) {
        let mutation = Mutation::new(user, now_us, touches, self.contention.limits());
        let features = self.contention.features(&mutation, now_us);
        (self.weigh(&features, by, ahead), features)
    }

    /// It waits for its turn, or has it: its vote says nothing of what would have been.
    pub fn in_turn(&mut self, token: u64, record: u64) {
        if let Some(claim) = self.claims.get_mut(&(token, record)) {
            claim.in_turn = true;
        }
    }

    /// It will not write the record.
    pub fn given_up(&mut self, token: u64, record: u64) {
        self.take((token, record));
    }

    /// A vote is about to be proposed, of a transaction that claimed records under `token`, or none
    /// (0). `scored`: what is known of it is worth its computation.
    pub fn propose(
        &mut self,
        tid: Tid,
        (token, user): (u64, u64),
        touches: Vec<Touch>,
        scored: bool,
        now_us: u64,
    ) -> Ballot {
        self.forget_old(now_us);
        let records = touches.iter().map(|touch| touch.record);
        let own = records.filter_map(|record| Some((record, self.take((token, record))?)));
        let mut claims: Vec<(u64, Claim)> = own.collect();
        claims.dedup_by_key(|(record, _)| *record);
        let begun_us = claims.iter().map(|(_, claim)| claim.name.mint.0).min();
        let begun_us = begun_us.unwrap_or(now_us);
        let mutation = Mutation::new(user, begun_us, touches, self.contention.limits());
        let alone = scored && claims.is_empty();
        let features = alone.then(|| self.contention.features(&mutation, now_us));
        self.contention.arrive(tid, mutation);
        Ballot { tid, claims, features }
    }

    /// The group's answer: what it teaches.
    pub fn answered(&mut self, ballot: Ballot, verdict: Verdict, now_us: u64) -> Vec<Label> {
        let Ballot { tid, claims, features } = ballot;
        let (conflict, blamed) = match verdict {
            Verdict::Accepted { decided: false } => {
                self.contention.stage(tid);
                (Some(false), None)
            }
            Verdict::Accepted { decided: true } => {
                self.decided(tid, true, now_us);
                (Some(false), None)
            }
            Verdict::Conflict { record } => (Some(true), record),
            Verdict::Other => (None, None),
        };
        if conflict != Some(false) {
            self.contention.land(tid, Landing { conflict, blamed, wrote: false }, now_us);
        }
        let Some(conflict) = conflict else { return Vec::new() };
        let on = |record| conflict && blamed.is_none_or(|blamed| blamed == record);
        let seen = claims.into_iter().filter(|(_, claim)| !claim.in_turn);
        let labels = seen.map(|(record, Claim { features, propensity_ppm, .. })| {
            let conflict = on(record);
            Label { features, conflict, propensity_ppm }
        });
        let alone = features.map(|features| Label { features, conflict, propensity_ppm: MILLION });
        labels.chain(alone).collect()
    }

    /// An accepted transaction is decided by all its groups.
    pub fn decided(&mut self, tid: Tid, committed: bool, now_us: u64) {
        let conflict = committed.then_some(false);
        let landing = Landing { conflict, blamed: None, wrote: committed };
        self.contention.land(tid, landing, now_us);
    }

    fn weigh(&self, features: &Features, by: By<'_>, ahead: u64) -> Advice {
        let typical_us = self.contention.typical_duration_us().unwrap_or(DURATION_US);
        let wait_us = ahead.saturating_mul(typical_us);
        let model = match by {
            By::Model(model) | By::Odds(model) if !model.terms.is_empty() => Some(model),
            _ => None,
        };
        let score_ppm = model.map(|model| model.score(features));
        let course = match score_ppm {
            Some(score_ppm) if matches!(by, By::Odds(_)) => likelier(score_ppm),
            Some(score_ppm) => cheaper(score_ppm, typical_us, wait_us),
            None if is_hot(features) => Course::InTurn,
            None => Course::AtOnce,
        };
        Advice { course, score_ppm, wait_us }
    }

    fn take(&mut self, at: (u64, u64)) -> Option<Claim> {
        let claim = self.claims.remove(&at)?;
        self.ages.remove(&claim.name);
        // It goes on as the vote that it became.
        self.contention.land(claim.name, GONE, claim.name.mint.0);
        Some(claim)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, &at)) = self.ages.first_key_value() {
            self.take(at);
        }
    }

    fn forget_old(&mut self, now_us: u64) {
        let typical_us = self.contention.typical_duration_us().unwrap_or(DURATION_US);
        let kept_us = typical_us.saturating_mul(KEPT_DURATIONS).max(KEPT_US_MIN);
        let old = now_us.saturating_sub(kept_us);
        while self.ages.first_key_value().is_some_and(|(name, _)| name.mint.0 < old) {
            self.drop_oldest();
        }
        let flown = now_us.saturating_sub(kept_us.max(FLOWN_US_MIN));
        self.contention.forget_before(Timestamp(flown));
    }
}

/// Neither committed nor failed.
const GONE: Landing = Landing { conflict: None, blamed: None, wrote: false };

/// A conflict costs the attempt, and the next ones as well: p / (1 - p) attempts in the mean. That
/// is work, and so is the attempt of whoever has the turn meanwhile and is overtaken; a wait is
/// none. (Weighed one to one, three of four attempts on ten hot records conflicted, those of turns
/// among them.)
fn cheaper(score_ppm: u32, typical_us: u64, wait_us: u64) -> Course {
    let p = u64::from(score_ppm.min(MILLION - 1));
    let wasted_us = typical_us.saturating_mul(p) / (u64::from(MILLION) - p);
    let turn_us = wait_us.saturating_add(typical_us) / TURN_SHARE;
    if wasted_us > turn_us { Course::InTurn } else { Course::AtOnce }
}

fn likelier(score_ppm: u32) -> Course {
    if score_ppm > MILLION / 2 { Course::InTurn } else { Course::AtOnce }
}

/// Somebody is about to write it, or it had a write of late at the middle half-life.
fn is_hot(features: &Features) -> bool {
    let at = |feature: Feature, offset: usize| features.dense[feature as usize + offset];
    at(Feature::WritersMax, 0) > 0 || at(Feature::RecordHeatMax, 1) >= ONE
}
