//! The pace of a history: the running median of how long transactions take, and a clock that
//! counts in it.
//!
//! Half-lives are multiples of that median, so that the same code serves a store, where a
//! transaction lasts milliseconds, and a repository, where it lasts days. The clock is the argument
//! why a moving estimate does no harm: it advances by (time passed) / (median of that time), what
//! decayed stays decayed, and a new median changes only how fast the clock goes on from here.

use super::fixed::ONE;
use alloc::vec::Vec;

/// Median and clock.
#[derive(Clone, Debug)]
pub(super) struct Tempo {
    /// The last durations, in microseconds, as a ring.
    recent: Vec<u64>,
    kept: usize,
    next: usize,
    /// 0 before any duration is known: the clock stands.
    median_us: u64,
    /// In medians, Q16, as of `at_us`.
    clock: u64,
    at_us: u64,
}

impl Tempo {
    pub(super) fn new(kept: usize) -> Tempo {
        assert!(kept > 0, "a median needs a duration");
        Tempo { recent: Vec::new(), kept, next: 0, median_us: 0, clock: 0, at_us: 0 }
    }

    /// One more duration, known at `now_us`.
    pub(super) fn observe(&mut self, duration_us: u64, now_us: u64) {
        self.clock = self.clock(now_us);
        self.at_us = self.at_us.max(now_us);
        let duration_us = duration_us.max(1);
        if self.recent.len() < self.kept {
            self.recent.push(duration_us);
        } else {
            self.recent[self.next] = duration_us;
            self.next = (self.next + 1) % self.kept;
        }
        let mut sorted = self.recent.clone();
        let middle = sorted.len() / 2;
        self.median_us = *sorted.select_nth_unstable(middle).1;
    }

    /// Medians passed since the first duration, in Q16. A time before the last event counts as it.
    pub(super) fn clock(&self, now_us: u64) -> u64 {
        self.clock.saturating_add(self.in_medians(now_us.saturating_sub(self.at_us)))
    }

    /// A span in medians, Q16; 0 as long as none is known.
    pub(super) fn in_medians(&self, span_us: u64) -> u64 {
        if self.median_us == 0 {
            return 0;
        }
        let scaled = u128::from(span_us) * ONE as u128 / u128::from(self.median_us);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    }

    /// The median, if one is known.
    pub(super) fn median_us(&self) -> Option<u64> {
        (self.median_us > 0).then_some(self.median_us)
    }
}
