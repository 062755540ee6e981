//! One seed, run and judged; and batches of them.
//!
//! A panic anywhere in a run is a failure of that seed like any other: the core asserts what must
//! hold, and an assertion that fails is a finding.

use crate::{
    conformance::Tape,
    faults::{Fault, Faults},
    limits::{COMMITS_PER_SEED_MIN, FAULTS_MIN},
    misfortune::Family,
    oracle,
    probe::Probes,
    sabotage::{Level, Options},
    violation::{Check, Violation},
    world::World,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What one seed came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// The seed.
    pub seed: u64,
    /// What the checks found; empty in a good run.
    pub violations: Vec<Violation>,
    /// Rare paths reached.
    pub probes: Probes,
    /// Misfortune met.
    pub faults: Faults,
    /// Transactions that committed.
    pub committed: u64,
    /// Transactions that were sealed and did not.
    pub rolled_back: u64,
    /// Strict and snapshot reads that were answered.
    pub reads: u64,
    /// Virtual time, in microseconds.
    pub simulated_us: u64,
    /// A digest of all that happened.
    pub trace: u64,
}

/// Runs one seed and judges it.
pub fn run(seed: u64, options: &Options) -> Run {
    judged(seed, || {
        let mut world = World::new(seed, options.clone());
        world.run();
        oracle::judge(&mut world);
        (report(seed, world), ())
    })
    .0
}

/// As [`run`], with a tape of what crosses the boundary of the core, for `listen` to make something
/// of once the run is over.
pub(crate) fn run_recorded<T: Default>(
    seed: u64,
    options: &Options,
    listen: impl FnOnce(&World) -> T,
) -> (Run, T) {
    judged(seed, || {
        let mut world = World::new(seed, options.clone());
        world.tape = Some(Tape::default());
        world.run();
        oracle::judge(&mut world);
        let heard = listen(&world);
        (report(seed, world), heard)
    })
}

fn judged<T: Default>(seed: u64, run: impl FnOnce() -> (Run, T)) -> (Run, T) {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        let detail = format!("panic: {}", text.unwrap_or_else(|| "of an unknown kind".into()));
        let run = Run {
            seed,
            violations: vec![Violation { check: Check::NoHalt, detail }],
            probes: Probes::default(),
            faults: Faults::default(),
            committed: 0,
            rolled_back: 0,
            reads: 0,
            simulated_us: 0,
            trace: 0,
        };
        (run, T::default())
    })
}

fn report(seed: u64, mut world: World) -> Run {
    let committed = world.note_commits();
    let sealed = world.history.attempts.len() as u64;
    Run {
        seed,
        committed,
        rolled_back: sealed - committed,
        reads: (world.history.reads.len() + world.history.snapshots.len()) as u64,
        simulated_us: world.elapsed_us() * world.options.level.slowness(),
        trace: world.trace.value(),
        violations: world.violations,
        probes: world.probes,
        faults: world.faults,
    }
}

/// What a batch of seeds came to.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Seeds run.
    pub seeds: u64,
    /// Runs that violated something.
    pub failed: Vec<Run>,
    /// Sums over all runs.
    pub probes: Probes,
    /// Sums over all runs.
    pub faults: Faults,
    /// Sum over all runs.
    pub committed: u64,
    /// Sum over all runs.
    pub rolled_back: u64,
    /// Sum over all runs.
    pub reads: u64,
    /// Sum over all runs, in microseconds.
    pub simulated_us: u64,
    /// All runs' traces, in the order of the seeds.
    pub trace: u64,
}

impl Batch {
    /// Adds one run; runs must come in the order of their seeds for the trace to mean anything.
    pub fn add(&mut self, run: Run) {
        self.seeds += 1;
        self.probes.add(&run.probes);
        self.faults.add(&run.faults);
        self.committed += run.committed;
        self.rolled_back += run.rolled_back;
        self.reads += run.reads;
        self.simulated_us += run.simulated_us;
        self.trace = self.trace.rotate_left(7).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ run.trace;
        if !run.violations.is_empty() {
            self.failed.push(run);
        }
    }

    /// Whether it had the seeds and the misfortune that its shortcomings are a failure with. One
    /// that leaves families of misfortune out looks for something else.
    pub fn is_judged(&self, options: &Options) -> bool {
        let whole = Family::ALL.iter().all(|family| options.families.contains(family));
        whole && self.seeds >= options.level.batch_seeds_min()
    }

    /// Why the batch was too small or too tame to have shown anything; empty where it was not.
    pub fn shortcomings(&self, level: Level) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for fault in Fault::of(level) {
            let count = self.faults.count(fault);
            if count < FAULTS_MIN {
                found.push(format!("{} occurred {count} times", fault.name()));
            }
        }
        let missed = self.probes.missed(level);
        found.extend(missed.iter().map(|probe| format!("{probe} was never reached")));
        let each = self.committed / self.seeds.max(1);
        if each < COMMITS_PER_SEED_MIN {
            found.push(format!("{each} commits a seed"));
        }
        found
    }
}

/// The command that runs one seed again.
pub fn again(seed: u64, options: &Options) -> String {
    let arguments = arguments(seed, options).join(" ");
    format!("cargo run --release -p vatic-verification -- simulate {arguments}")
}

/// What tells `simulate` to run one seed with these options.
pub fn arguments(seed: u64, options: &Options) -> Vec<String> {
    let mut arguments = vec!["--seed".to_owned(), seed.to_string()];
    let mut say = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    if options.level != Options::default().level {
        say("--level", options.level.number().to_string());
    }
    if options.load_us != Options::of(options.level).load_us {
        say("--seconds", (options.load_us as f64 / 1e6).to_string());
    }
    if options.families != Options::default().families {
        let names: Vec<&str> = options.families.iter().map(|family| family.name()).collect();
        say("--faults", if names.is_empty() { "none".into() } else { names.join(",") });
    }
    if let Some(broken) = options.broken() {
        say("--broken", broken);
    }
    arguments
}
