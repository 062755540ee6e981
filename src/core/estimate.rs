//! What a transaction would come to under each conflict strategy, by what is known of its records.
//!
//! Estimates, in integers: a conflict costs the attempt and the next ones as well, p / (1 - p) in
//! the mean, and a turn its wait. Nothing is known of operations that others will send; where a
//! record's own operations commute with themselves, others are taken to send the like.

use crate::{
    conflict::fixed::MILLION,
    delta::Op,
    resolution::{Relation, on_one_field, relation},
    strategy::Strategy,
};
use alloc::{collections::BTreeMap, vec::Vec};

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
    let known = estimates.iter().filter(|estimate| keeps.contains(&estimate.strategy));
    let known = known.filter_map(|estimate| Some((estimate.latency_us?, estimate.strategy)));
    known.min().map(|(_, strategy)| strategy)
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
