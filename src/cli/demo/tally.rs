//! What came of the load: counts, rollbacks by cause, and how long commits took.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use hdrhistogram::Histogram;
use vatic_client::{Cause, Class, ClientError, Committed, Observer, Rollback};

/// Longest commit that the histogram tells apart, in microseconds.
const COMMIT_US_MAX: u64 = 60_000_000;
/// Unexpected errors that are shown; the others are left out.
const STRANGE_SHOWN: usize = 5;

/// Counts of all client tasks together.
#[derive(Debug)]
pub(crate) struct Tally {
    counts: Mutex<Counts>,
}

/// The counts.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) committed: u64,
    pub(crate) multi_group: u64,
    pub(crate) rolled_back: BTreeMap<Cause, u64>,
    /// Attempts that failed before they were sealed (a node was gone), and were made again.
    pub(crate) failed: u64,
    /// Attempts whose answer was lost and then asked for.
    pub(crate) lost: u64,
    /// Transactions whose outcome nobody could say in time.
    pub(crate) unknown: u64,
    /// Commits whose receipt did not hold when it arrived.
    pub(crate) unproved: u64,
    /// Errors that no load should meet, the first few.
    pub(crate) strange: Vec<String>,
    /// From seal to outcome, in microseconds.
    pub(crate) commit_us: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let commit_us = Histogram::new_with_bounds(1, COMMIT_US_MAX, 3).expect("bounds are valid");
        let counts = Counts {
            committed: 0,
            multi_group: 0,
            rolled_back: BTreeMap::new(),
            failed: 0,
            lost: 0,
            unknown: 0,
            unproved: 0,
            strange: Vec::new(),
            commit_us,
        };
        Tally { counts: Mutex::new(counts) }
    }

    /// An acknowledged commit.
    pub(crate) fn acknowledge(&self, committed: &Committed) {
        self.with(|counts| {
            counts.committed += 1;
            counts.multi_group += u64::from(committed.participants.len() > 1);
        });
    }

    /// A transaction that ended without a commit. Rollbacks were counted as they came. Answers
    /// whether a load may meet such an error.
    pub(crate) fn give_up(&self, error: &ClientError) -> bool {
        let expected =
            matches!(error.class(), Class::Conflict | Class::Unavailable | Class::Unknown);
        self.with(|counts| match error {
            ClientError::OutcomeUnknown { .. } => counts.unknown += 1,
            ClientError::Evidence(_) => counts.unproved += 1,
            _ => {}
        });
        if !expected {
            self.with(|counts| {
                if counts.strange.len() < STRANGE_SHOWN {
                    counts.strange.push(error.to_string());
                }
            });
        }
        expected
    }

    pub(crate) fn counts(&self) -> Counts {
        self.with(|counts| counts.clone())
    }

    fn with<T>(&self, change: impl FnOnce(&mut Counts) -> T) -> T {
        change(&mut self.counts.lock().expect("no panic under the lock"))
    }
}

impl Observer for Tally {
    fn rolled_back(&self, rollback: &Rollback) {
        self.with(|counts| *counts.rolled_back.entry(rollback.cause).or_default() += 1);
    }

    fn failed(&self, _error: &ClientError) {
        self.with(|counts| counts.failed += 1);
    }

    fn lost(&self, _error: &ClientError) {
        self.with(|counts| counts.lost += 1);
    }

    fn committed(&self, commit: Duration) {
        let us = u64::try_from(commit.as_micros()).unwrap_or(COMMIT_US_MAX);
        self.with(|counts| counts.commit_us.saturating_record(us));
    }
}

impl Counts {
    /// All rolled-back attempts.
    pub(crate) fn rolled_back_total(&self) -> u64 {
        self.rolled_back.values().sum()
    }

    /// A quantile of the commit time, in milliseconds.
    pub(crate) fn commit_ms(&self, quantile: f64) -> f64 {
        self.commit_us.value_at_quantile(quantile) as f64 / 1_000.0
    }
}
