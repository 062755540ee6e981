//! Conformance: all that a run records at the boundary of the core is played again through the
//! core alone, and must come to the same.
//!
//! What is recorded is what the shell handed in and what it got back: every entry of every group
//! with its replies, proofs, chain and state; every query with its answer, at the index at which it
//! was asked; every event of every coordinator, every strict read and every leader of a queue, with
//! the effects that were taken out between them. Shell, network and misfortune are not there when
//! it is played again, so nothing of them can have decided what the core did, and nothing that it
//! keeps in memory across crashes and restarts can.
//!
//! Of each transaction is also looked at where it stood in its groups, command by command: every
//! move must be one that a model of the commit protocol makes.
//!
//! A real node writes down less, and that where it matters: each entry with the chain after it, in
//! diaries that are played again in the same manner.

mod diaries;
mod play;
mod projections;
mod queue;
mod replay;
mod tape;

pub use diaries::{Diaries, play_diaries};
pub(crate) use play::{Beginning, Taped};
pub use projections::Projections;
pub(crate) use queue::{Queue, QueueEvent};
pub(crate) use tape::{Asked, Tape};

use crate::{Options, Run, parallel, simulate::run_recorded};
use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
};
use vatic_core::rules::Rules;

/// What was played again, and where it came to something else.
#[derive(Clone, Debug, Default)]
pub struct Conformance {
    /// Commands that groups applied.
    pub commands: u64,
    /// Queries that replicas answered.
    pub queries: u64,
    /// Events that coordinators handled.
    pub coordinator_events: u64,
    /// Events that strict reads handled.
    pub read_events: u64,
    /// Looks at queues, and ends of attempts at their tickets.
    pub queue_events: u64,
    /// What differed.
    pub differences: Vec<String>,
    /// How single transactions went, against the models.
    pub projections: Projections,
}

impl Conformance {
    /// All that was played again.
    pub fn events(&self) -> u64 {
        let machines = self.coordinator_events + self.read_events + self.queue_events;
        self.commands + self.queries + machines
    }

    /// Adds another run's.
    pub fn add(&mut self, other: Conformance) {
        self.commands += other.commands;
        self.queries += other.queries;
        self.coordinator_events += other.coordinator_events;
        self.read_events += other.read_events;
        self.queue_events += other.queue_events;
        self.differences.extend(other.differences);
        self.projections.add(other.projections);
    }
}

/// Runs a seed, and plays what it recorded again under these rules. An assertion that fails on the
/// way is a difference: it did not fail when it was recorded.
pub fn conform(seed: u64, options: &Options, rules: Rules) -> (Run, Conformance) {
    run_recorded(seed, options, |world| {
        let replay = || replay::replay(world, rules);
        catch_unwind(AssertUnwindSafe(replay)).unwrap_or_else(|_| {
            let differences = vec!["an assertion of the core fails".to_owned()];
            Conformance { differences, ..Conformance::default() }
        })
    })
}

/// As [`conform`], of many seeds in their order, on so many threads.
pub fn conform_all(
    seeds: Range<u64>,
    options: &Options,
    rules: Rules,
    threads: usize,
) -> (Vec<Run>, Conformance) {
    let seeds: Vec<u64> = seeds.collect();
    let (mut runs, mut all) = (Vec::new(), Conformance::default());
    for (run, conformance) in parallel::map(&seeds, threads, |&seed| conform(seed, options, rules))
    {
        runs.push(run);
        all.add(conformance);
    }
    (runs, all)
}
