//! What a transaction would come to under each conflict strategy, by what is known of its records.
//!
//! Estimates, in integers: a conflict costs the attempt and the next ones as well, p / (1 - p) in
//! the mean, and a turn its wait. Nothing is known of operations that others will send; where a
//! record's own operations commute with themselves, others are taken to send the like.

use crate::{
    conflict::fixed::MILLION,
    delta::Op,
    hash::Hasher,
    resolution::{Relation, on_one_field, relation},
    strategy::Strategy,
};
use alloc::{collections::BTreeMap, vec::Vec};
use serde::{Deserialize, Serialize};

/// What is known of one record of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Whether it is written, and not just expected something of.
    pub writes: bool,
    /// Whether something is expected of it, which its vote checks whatever the strategy.
    pub expects: bool,
    /// Whether its operations commute or merge with their like.
    pub moves: bool,
    /// The probability of a conflict without a turn, in parts per million; `None` without a model.
    pub score_ppm: Option<u32>,
    /// How long its turn would take to come, in microseconds.
    pub wait_us: u64,
    /// How long transactions take there, in microseconds; 0: not known.
    pub typical_us: u64,
    /// Transactions in flight that write it, or said that they will.
    pub others: u64,
}

/// What a strategy would come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// The strategy.
    pub strategy: Strategy,
    /// That an attempt meets a conflict, in parts per million; `None` without models.
    pub conflict_ppm: Option<u32>,
    /// Until it is committed, all attempts together, in microseconds; `None` without models, or
    /// where nothing is known of how long one takes.
    pub latency_us: Option<u64>,
    /// Others that would have to begin anew if it goes first.
    pub hurts: u64,
}

/// What a transaction that strayed was resolved to be voted on under, and why: kept with its
/// verdict. All of it is advice that its gateway took.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Resolution {
    /// The strategy that it had.
    pub own: Strategy,
    /// The one that it went on under.
    pub chosen: Strategy,
    /// Why that one.
    pub why: Choice,
    /// That an attempt under it meets a conflict, in parts per million, where that is known.
    pub conflict_ppm: Option<u32>,
    /// What it was estimated to take until it is committed, in microseconds.
    pub latency_us: Option<u64>,
    /// The same under the strategy that it had.
    pub own_latency_us: Option<u64>,
    /// Nobody known was deciding on what it touches when it went to its votes.
    pub freed: bool,
}

/// Why a strategy was chosen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Choice {
    /// It takes the least time of those that promise no less of what was read.
    Cheapest,
    /// There was no other: its client named it, or none promises what it does.
    Fixed,
    /// The leaders have no estimate yet, or did not give one in time.
    Unrated,
}

impl Facts {
    /// What operations on one record say of it.
    pub fn of_operations<'a>(operations: &[&'a Op]) -> Facts {
        let mut seen: BTreeMap<&str, &Op> = BTreeMap::new();
        let meets = |mine: &Op, theirs: &Op| on_one_field(mine, theirs) != Relation::Conflicts;
        // Kinds that go together on a field all go together.
        let mut moves = |op: &'a Op| match op {
            Op::Put(_) | Op::Delete | Op::Expect(_) => relation(op, op) != Relation::Conflicts,
            _ => op.fields().into_iter().all(|name| meets(op, seen.entry(name).or_insert(op))),
        };
        let deletes = operations.iter().filter(|op| matches!(op, Op::Delete)).count();
        Facts {
            writes: operations.iter().any(|op| op.writes()),
            expects: operations.iter().any(|op| matches!(op, Op::Expect(_))),
            moves: operations.iter().all(|op| moves(op))
                && [0, operations.len()].contains(&deletes),
            ..Facts::default()
        }
    }

    /// Whether a change by another one is a conflict.
    fn conflicts(&self, strategy: Strategy) -> bool {
        match strategy {
            Strategy::Optimistic | Strategy::Adaptive => true,
            Strategy::Rebase => !self.moves,
            Strategy::Snapshot => self.writes || self.expects,
            Strategy::LastWriterWins => self.expects,
            Strategy::Lock => false,
        }
    }
}

/// One for each strategy, but for that which chooses from two of them record by record.
pub fn estimates(records: &[Facts]) -> Vec<Estimate> {
    let told = Strategy::ALL.into_iter().filter(|strategy| *strategy != Strategy::Adaptive);
    told.map(|strategy| estimate(strategy, records)).collect()
}

/// The strategy that takes least time of those that keep what was read, or apply what commutes.
pub fn cheapest(estimates: &[Estimate]) -> Option<Strategy> {
    let keeps = [Strategy::Optimistic, Strategy::Rebase, Strategy::Lock];
    cheapest_among(&keeps, estimates).map(|estimate| estimate.strategy)
}

fn cheapest_among<'a>(among: &[Strategy], estimates: &'a [Estimate]) -> Option<&'a Estimate> {
    let known = estimates.iter().filter(|estimate| among.contains(&estimate.strategy));
    let known = known.filter_map(|estimate| Some((estimate.latency_us?, estimate)));
    let cheapest = known.min_by_key(|(latency_us, estimate)| (*latency_us, estimate.strategy));
    cheapest.map(|(_, estimate)| estimate)
}

impl Resolution {
    /// Chooses for a transaction under `own` among strategies that it may go over to.
    pub fn choose(own: Strategy, among: &[Strategy], estimates: &[Estimate]) -> Resolution {
        let rated = |strategy| estimates.iter().find(|estimate| estimate.strategy == strategy);
        let own_latency_us = rated(own).and_then(|estimate| estimate.latency_us);
        let kept = |why| Resolution {
            own,
            chosen: own,
            why,
            conflict_ppm: rated(own).and_then(|estimate| estimate.conflict_ppm),
            latency_us: own_latency_us,
            own_latency_us,
            freed: false,
        };
        // Without a model a turn alone has an estimate: it is not cheaper than what nobody knows.
        let is_known = |other: &Strategy| rated(*other).is_some_and(|it| it.latency_us.is_some());
        let known = among.iter().all(is_known);
        match cheapest_among(among, estimates).filter(|_| known) {
            _ if among.iter().all(|other| *other == own) => kept(Choice::Fixed),
            None => kept(Choice::Unrated),
            Some(&Estimate { strategy, conflict_ppm, latency_us, .. }) => {
                let (chosen, why) = (strategy, Choice::Cheapest);
                Resolution {
                    own,
                    chosen,
                    why,
                    conflict_ppm,
                    latency_us,
                    own_latency_us,
                    freed: false,
                }
            }
        }
    }

    /// Feeds all of it, as [`crate::body::Body::digest`] lists it.
    pub(crate) fn feed(&self, hasher: Hasher) -> Hasher {
        let Resolution { own, chosen, why, conflict_ppm, latency_us, own_latency_us, freed } =
            *self;
        let hasher = hasher.u64(own as u64).u64(chosen as u64).u64(why as u64);
        let known = [conflict_ppm.map(u64::from), latency_us, own_latency_us];
        let hasher = known.into_iter().fold(hasher, |hasher, known| match known {
            None => hasher.u64(0),
            Some(known) => hasher.u64(1).u64(known),
        });
        hasher.u64(u64::from(freed))
    }
}

/// That any of these happens, as if they were independent; in parts per million.
pub fn any(scores: impl IntoIterator<Item = Option<u32>>) -> Option<u32> {
    let million = u64::from(MILLION);
    let mut none = million;
    for score in scores {
        none = none * (million - u64::from(score?.min(MILLION))) / million;
    }
    u32::try_from(million - none).ok()
}

fn estimate(strategy: Strategy, records: &[Facts]) -> Estimate {
    let at_stake = records.iter().filter(|record| record.conflicts(strategy));
    let conflict_ppm = any(at_stake.map(|record| record.score_ppm));
    let attempt_us = records.iter().map(|record| record.typical_us).max().filter(|us| *us > 0);
    let waits = records.iter().filter(|record| record.writes && strategy == Strategy::Lock);
    let wait_us: u64 = waits.map(|record| record.wait_us).fold(0, u64::saturating_add);
    let latency_us = attempt_us.zip(conflict_ppm).map(|(attempt_us, ppm)| {
        let p = u64::from(ppm.min(MILLION - 1));
        let again_us = attempt_us.saturating_mul(p) / (u64::from(MILLION) - p);
        attempt_us.saturating_add(again_us).saturating_add(wait_us)
    });
    let written = records.iter().filter(|record| record.writes);
    let hurts = match strategy {
        // Those who are ahead go first.
        Strategy::Lock => 0,
        _ => written.map(|record| record.others).sum(),
    };
    Estimate { strategy, conflict_ppm, latency_us, hurts }
}
