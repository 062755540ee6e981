//! What consensus counts, for whoever watches the node; nothing here is read by it.
//!
//! The cells are lock-free, and a group's are looked up once, when it is opened: what a proposal
//! costs is one observation of how long it waited.

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, exponential_buckets};

/// Of one node. Clones are the same cells.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Commands in one entry, as proposed here.
    pub(crate) batch_commands: Histogram,
    /// Batches of one group in flight, as counted with each that is submitted.
    pub(crate) batches_in_flight: Histogram,
    /// From the proposal of a command to the entry that carries it being submitted.
    pub(crate) queue_seconds: Histogram,
    /// From there to the entry being applied here: the log, a quorum, the machine.
    pub(crate) commit_seconds: Histogram,
    /// One append to one follower, to its answer.
    pub(crate) append_seconds: Histogram,
    /// Snapshots from peers that were refused.
    pub(crate) snapshots_refused: IntCounter,
    /// How often a replica's entries went because the log was over its bound.
    pub(crate) log_purges: IntCounter,
    leader_changes: IntCounterVec,
    terms: IntCounterVec,
}

/// Of one group.
#[derive(Clone)]
pub(crate) struct GroupMetrics {
    pub(crate) node: Metrics,
    leader_changes: IntCounter,
    terms: IntCounter,
}

/// What became of one proposal's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Times {
    /// Until its entry was submitted: the batches before it were in flight.
    pub queued: Duration,
    /// From there until it was applied here: written, on a quorum, and applied.
    pub committed: Duration,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        Metrics {
            batch_commands: histogram(
                "vatic_consensus_batch_commands",
                "Commands in one log entry, as proposed by this node.",
                (1.0, 13),
            ),
            batches_in_flight: histogram(
                "vatic_consensus_batches_in_flight",
                "Log entries of one group on their way to a quorum, the one that goes included.",
                (1.0, 8),
            ),
            queue_seconds: histogram(
                "vatic_consensus_queue_seconds",
                "Wait of a command for the log entry that carries it.",
                (50e-6, 16),
            ),
            commit_seconds: histogram(
                "vatic_consensus_commit_seconds",
                "Time of a log entry from its proposal to its being applied here.",
                (100e-6, 16),
            ),
            append_seconds: histogram(
                "vatic_consensus_append_seconds",
                "Time of one append of entries to one follower, to its answer.",
                (100e-6, 16),
            ),
            snapshots_refused: IntCounter::new(
                "vatic_consensus_snapshots_refused_total",
                "Snapshots from peers that this node refused: damaged, or no room for them.",
            )
            .expect("the name is well formed"),
            log_purges: IntCounter::new(
                "vatic_consensus_log_purges_total",
                "Purges of a replica's log because more lives in the log than log_live_bytes_max.",
            )
            .expect("the name is well formed"),
            leader_changes: by_group(
                "vatic_group_leader_changes_total",
                "Changes of the group's leader that this node has seen.",
            ),
            terms: by_group(
                "vatic_group_terms_total",
                "New terms, each an election, that this node has seen.",
            ),
        }
    }

    /// A batch goes to the log, where as many are on their way with it.
    pub(crate) fn submitted(
        &self,
        commands: usize,
        in_flight: usize,
        queued: impl Iterator<Item = Duration>,
    ) {
        if commands > 0 {
            self.batch_commands.observe(commands as f64);
            self.batches_in_flight.observe(in_flight as f64);
            queued.for_each(|queued| self.queue_seconds.observe(queued.as_secs_f64()));
        }
    }

    pub(crate) fn of_group(&self, group: u32) -> GroupMetrics {
        let group = group.to_string();
        GroupMetrics {
            node: self.clone(),
            leader_changes: self.leader_changes.with_label_values(&[&group]),
            terms: self.terms.with_label_values(&[&group]),
        }
    }

    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        let this = self.clone();
        vec![
            Box::new(this.batch_commands),
            Box::new(this.batches_in_flight),
            Box::new(this.queue_seconds),
            Box::new(this.commit_seconds),
            Box::new(this.append_seconds),
            Box::new(this.snapshots_refused),
            Box::new(this.log_purges),
            Box::new(this.leader_changes),
            Box::new(this.terms),
        ]
    }
}

impl GroupMetrics {
    /// This node sees another leader, or a later term, than before.
    pub(crate) fn leadership_changed(&self, to_a_leader: bool, terms: u64) {
        if to_a_leader {
            self.leader_changes.inc();
        }
        self.terms.inc_by(terms);
    }
}

/// Each bucket is twice as wide as the one before.
fn histogram(name: &str, what: &str, (first, count): (f64, usize)) -> Histogram {
    let buckets = exponential_buckets(first, 2.0, count).expect("the first bucket is above zero");
    let options = HistogramOpts::new(name, what).buckets(buckets);
    Histogram::with_opts(options).expect("the name is sound")
}

fn by_group(name: &str, what: &str) -> IntCounterVec {
    IntCounterVec::new(Opts::new(name, what), &["group"]).expect("the name is sound")
}
