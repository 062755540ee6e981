//! What is counted, one tally a client, added up at the end. Only what ends inside the window
//! counts.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::time::Instant;
use vatic_client::{Cause, ClientError};

use super::limits::LATENCY_US_MAX;

#[derive(Debug, Clone)]
pub(crate) struct Tally {
    from: Instant,
    to: Option<Instant>,
    pub(crate) done: u64,
    pub(crate) declined: u64,
    pub(crate) aborts: BTreeMap<Cause, u64>,
    /// Attempts that a client gave up before it submitted them.
    pub(crate) given_up: u64,
    /// Errors that are no rollback, by what they say first.
    pub(crate) errors: BTreeMap<String, u64>,
    /// The last attempt, from sending it to its answer.
    pub(crate) commit_us: Histogram<u64>,
    /// The whole operation, with its reads, pauses and retries.
    pub(crate) whole_us: Histogram<u64>,
}

impl Tally {
    pub(crate) fn new(from: Instant) -> Tally {
        let histogram = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds are valid");
        Tally {
            from,
            to: None,
            done: 0,
            declined: 0,
            aborts: BTreeMap::new(),
            given_up: 0,
            errors: BTreeMap::new(),
            commit_us: histogram.clone(),
            whole_us: histogram,
        }
    }

    pub(crate) fn count_until(&mut self, to: Instant) {
        self.to = Some(to);
    }

    pub(crate) fn done(&mut self, commit: Duration, whole: Duration) {
        if self.counts() {
            self.done += 1;
            self.commit_us.saturating_record(commit.as_micros() as u64);
            self.whole_us.saturating_record(whole.as_micros() as u64);
        }
    }

    pub(crate) fn declined(&mut self) {
        self.declined += u64::from(self.counts());
    }

    pub(crate) fn rolled_back(&mut self, cause: Cause) {
        if self.counts() {
            *self.aborts.entry(cause).or_default() += 1;
        }
    }

    pub(crate) fn gave_way(&mut self) {
        self.given_up += u64::from(self.counts());
    }

    pub(crate) fn error(&mut self, error: &ClientError) {
        match error {
            ClientError::RolledBack(rollback) => self.rolled_back(rollback.cause),
            error if self.counts() => {
                *self.errors.entry(error.to_string()).or_default() += 1;
            }
            _ => {}
        }
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        self.done += other.done;
        self.declined += other.declined;
        self.given_up += other.given_up;
        for (cause, count) in &other.aborts {
            *self.aborts.entry(*cause).or_default() += count;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(error.clone()).or_default() += count;
        }
        self.commit_us.add(&other.commit_us).expect("all histograms have the same bounds");
        self.whole_us.add(&other.whole_us).expect("all histograms have the same bounds");
    }

    /// All attempts that came to nothing.
    pub(crate) fn aborted(&self) -> u64 {
        self.aborts.values().sum::<u64>() + self.given_up
    }

    fn counts(&self) -> bool {
        let now = Instant::now();
        now >= self.from && self.to.is_none_or(|to| now < to)
    }
}
