//! What the node counts as it goes.
//!
//! Each series is a field, so that counting is one atomic addition and a name that is misspelt does
//! not compile. Histograms are lock-free too, which is why this is tikv's `prometheus`: the other
//! libraries take a lock, or keep every value until the next scrape.

use super::{gauges::Gauges, slow::SlowLog};
use crate::config::Config;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    core::Collector, exponential_buckets,
};
use std::time::Duration;
use vatic_core::command::Command;

pub(crate) struct Metrics {
    pub(crate) recoveries: IntCounter,
    pub(crate) commands: Commands,
    pub(crate) left_out: IntCounter,
    pub(crate) votes: Votes,
    pub(crate) shadows: Shadows,
    pub(crate) scans: Scans,
    pub(crate) stages: Stages,
    pub(crate) slow: SlowLog,
    pub(super) registry: Registry,
    pub(super) gauges: Gauges,
    transactions: Transactions,
}

/// How a transaction ended, as its gateway tells the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Committed,
    /// With the cause's number on the wire.
    RolledBack(usize),
    Unknown,
    /// By an error, before anything was voted.
    Refused,
    /// The client left before it sealed.
    Abandoned,
}

/// Where a transaction's time goes, by who has it in hand.
pub(crate) struct Stages {
    pub(crate) client: Histogram,
    pub(crate) read: Histogram,
    pub(crate) stage: Histogram,
    pub(crate) coordinate: Histogram,
    pub(crate) vote: Histogram,
    pub(crate) decide: Histogram,
}

/// What was proposed to groups that this node leads, by kind.
pub(crate) struct Commands([IntCounter; KINDS.len()]);

const KINDS: [&str; 11] = [
    "vote",
    "force",
    "decide",
    "stage",
    "advance",
    "collect",
    "forget",
    "configure",
    "meta",
    "attest",
    "history",
];

/// What trying out tickets that are not urgent came to.
pub(crate) struct Shadows {
    pub(crate) clean: IntCounter,
    pub(crate) held_back: IntCounter,
    /// A leader did not say.
    pub(crate) unknown: IntCounter,
}

/// How scans outside a transaction ended at this gateway.
pub(crate) struct Scans {
    pub(crate) whole: IntCounter,
    /// The client took too little of it by its deadline.
    pub(crate) untaken: IntCounter,
    pub(crate) left: IntCounter,
    pub(crate) failed: IntCounter,
}

/// What participants answered to the drivers of this node.
pub(crate) struct Votes {
    pub(crate) yes: IntCounter,
    pub(crate) no: IntCounter,
    pub(crate) stale: IntCounter,
    pub(crate) fault: IntCounter,
}

struct Transactions {
    committed: IntCounter,
    /// By the cause's number on the wire.
    rolled_back: Vec<IntCounter>,
    unknown: IntCounter,
    refused: IntCounter,
    abandoned: IntCounter,
}

impl Metrics {
    /// `causes` are the names of rollback causes by their number on the wire.
    pub(crate) fn new(config: &Config, causes: &[String]) -> Metrics {
        let registry = Registry::new();
        let counter = |name: &str, what: &str| {
            let counter = IntCounter::new(name, what).expect("the name is sound");
            register(&registry, &counter);
            counter
        };
        let what = "Transactions left behind that this node set out to decide.";
        let recoveries = counter("vatic_recoveries_total", what);
        let what = "Transactions that were refused since the node had too many.";
        let left_out = counter("vatic_load_refused_total", what);
        let what = "Transactions that took longer than slow_transaction_ms.";
        let slow = counter("vatic_slow_transactions_total", what);
        Metrics {
            recoveries,
            commands: Commands::new(&registry),
            left_out,
            votes: Votes::new(&registry),
            shadows: Shadows::new(&registry),
            scans: Scans::new(&registry),
            stages: Stages::new(&registry),
            slow: SlowLog::new(&config.limits, slow),
            transactions: Transactions::new(&registry, causes),
            gauges: Gauges::new(&registry, config.node),
            registry,
        }
    }

    /// Takes in what another layer counts.
    pub(crate) fn include(&self, collectors: Vec<Box<dyn Collector>>) {
        for collector in collectors {
            self.registry.register(collector).expect("every name is given once");
        }
    }

    /// A transaction has ended at this gateway.
    pub(crate) fn ended(&self, ending: Ending) {
        let Transactions { committed, rolled_back, unknown, refused, abandoned } =
            &self.transactions;
        match ending {
            Ending::Committed => committed.inc(),
            Ending::RolledBack(cause) => rolled_back[cause.min(rolled_back.len() - 1)].inc(),
            Ending::Unknown => unknown.inc(),
            Ending::Refused => refused.inc(),
            Ending::Abandoned => abandoned.inc(),
        }
    }
}

impl Ending {
    /// As the metrics and the logs call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Ending::Committed => "committed",
            Ending::RolledBack(_) => "rolled_back",
            Ending::Unknown => "unknown",
            Ending::Refused => "refused",
            Ending::Abandoned => "abandoned",
        }
    }
}

impl Stages {
    fn new(registry: &Registry) -> Stages {
        let what = "Where transactions spend their time, in seconds, by stage.";
        let buckets = exponential_buckets(100e-6, 2.0, 20).expect("the first is above zero");
        let options = HistogramOpts::new("vatic_transaction_seconds", what).buckets(buckets);
        let all = HistogramVec::new(options, &["stage"]).expect("the name is sound");
        register(registry, &all);
        let of = |stage| all.with_label_values(&[stage]);
        Stages {
            client: of("client"),
            read: of("read"),
            stage: of("stage"),
            coordinate: of("coordinate"),
            vote: of("vote"),
            decide: of("decide"),
        }
    }
}

impl Commands {
    fn new(registry: &Registry) -> Commands {
        let what = "Commands proposed to groups that this node leads.";
        let all = IntCounterVec::new(Opts::new("vatic_commands_total", what), &["kind"]);
        let all = all.expect("the name is sound");
        register(registry, &all);
        Commands(KINDS.map(|kind| all.with_label_values(&[kind])))
    }

    pub(crate) fn proposed(&self, command: &Command) {
        let kind = match command {
            Command::Vote(_) => 0,
            Command::Force { .. } => 1,
            Command::Decide { .. } => 2,
            Command::Stage { .. } => 3,
            Command::Advance { .. } => 4,
            Command::Collect { .. } => 5,
            Command::Forget { .. } => 6,
            Command::Configure(_) => 7,
            Command::Meta(_) => 8,
            Command::Attest { .. } => 9,
            Command::History(_) => 10,
        };
        self.0[kind].inc();
    }
}

impl Votes {
    fn new(registry: &Registry) -> Votes {
        let what = "What participants answered to drivers of this node.";
        let all = IntCounterVec::new(Opts::new("vatic_votes_total", what), &["vote"]);
        let all = all.expect("the name is sound");
        register(registry, &all);
        let of = |vote| all.with_label_values(&[vote]);
        Votes { yes: of("yes"), no: of("no"), stale: of("stale"), fault: of("fault") }
    }
}

impl Shadows {
    fn new(registry: &Registry) -> Shadows {
        let what = "Trials of tickets that are not urgent.";
        let all = IntCounterVec::new(Opts::new("vatic_shadows_total", what), &["outcome"]);
        let all = all.expect("the name is sound");
        register(registry, &all);
        let of = |outcome| all.with_label_values(&[outcome]);
        Shadows { clean: of("clean"), held_back: of("held_back"), unknown: of("unknown") }
    }
}

impl Scans {
    fn new(registry: &Registry) -> Scans {
        let what = "Scans outside a transaction that ended at this gateway.";
        let all = IntCounterVec::new(Opts::new("vatic_scans_total", what), &["outcome"]);
        let all = all.expect("the name is sound");
        register(registry, &all);
        let of = |outcome| all.with_label_values(&[outcome]);
        let (whole, untaken) = (of("whole"), of("untaken"));
        Scans { whole, untaken, left: of("left"), failed: of("failed") }
    }
}

impl Transactions {
    fn new(registry: &Registry, causes: &[String]) -> Transactions {
        let what = "Transactions that ended at this gateway.";
        let options = Opts::new("vatic_transactions_total", what);
        let all = IntCounterVec::new(options, &["outcome", "cause"]).expect("the name is sound");
        register(registry, &all);
        let of = |ending: Ending, cause: &str| all.with_label_values(&[ending.name(), cause]);
        Transactions {
            committed: of(Ending::Committed, ""),
            rolled_back: causes.iter().map(|cause| of(Ending::RolledBack(0), cause)).collect(),
            unknown: of(Ending::Unknown, ""),
            refused: of(Ending::Refused, ""),
            abandoned: of(Ending::Abandoned, ""),
        }
    }
}

/// Adds a time to a histogram.
pub(super) fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

pub(super) fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: &C) {
    registry.register(Box::new(collector.clone())).expect("every name is given once");
}
