//! Which slow transactions are logged: those beyond `slow_transaction_ms`, and of them no more than
//! `slow_log_per_s_max` a second. When everything is slow, the log must not make it slower; how
//! many were left out is said with the next one.

use crate::limits::Limits;
use prometheus::IntCounter;
use std::{sync::Mutex, time::Duration};
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(1);

pub(crate) struct SlowLog {
    /// `None` where it is switched off.
    threshold: Option<Duration>,
    per_window_max: u32,
    seen: IntCounter,
    window: Mutex<Window>,
}

struct Window {
    began: Instant,
    logged: u32,
    left_out: u64,
}

impl SlowLog {
    pub(super) fn new(limits: &Limits, seen: IntCounter) -> SlowLog {
        let ms = limits.slow_transaction_ms;
        SlowLog {
            threshold: (ms > 0).then(|| Duration::from_millis(ms)),
            per_window_max: limits.slow_log_per_s_max,
            seen,
            window: Mutex::new(Window { began: Instant::now(), logged: 0, left_out: 0 }),
        }
    }

    /// Whether so long is slow.
    pub(super) fn is_slow(&self, took: Duration) -> bool {
        self.threshold.is_some_and(|threshold| took >= threshold)
    }

    /// A transaction was slow at its gateway.
    pub(super) fn count(&self) {
        self.seen.inc();
    }

    /// A place in the log, with how many had none since the last; or `None`.
    pub(super) fn place(&self) -> Option<u64> {
        self.window.lock().expect("no holder panics").place(Instant::now(), self.per_window_max)
    }
}

impl Window {
    fn place(&mut self, now: Instant, max: u32) -> Option<u64> {
        if now - self.began >= WINDOW {
            (self.began, self.logged) = (now, 0);
        }
        if self.logged >= max {
            self.left_out += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_each_second_and_those_left_out_are_told() {
        let start = Instant::now();
        let mut window = Window { began: start, logged: 0, left_out: 0 };
        assert_eq!((window.place(start, 2), window.place(start, 2)), (Some(0), Some(0)));
        assert_eq!((window.place(start, 2), window.place(start, 2)), (None, None));
        assert_eq!(window.place(start + WINDOW, 2), Some(2));
        assert_eq!(window.place(start + WINDOW, 2), Some(0));
    }

    #[test]
    fn threshold_of_zero_switches_the_log_off() {
        let seen = || IntCounter::new("seen", "seen").unwrap();
        let of =
            |ms| SlowLog::new(&Limits { slow_transaction_ms: ms, ..Limits::default() }, seen());
        assert!(of(500).is_slow(Duration::from_millis(500)));
        assert!(!of(500).is_slow(Duration::from_millis(499)));
        assert!(!of(0).is_slow(Duration::from_secs(3_600)));
    }
}
