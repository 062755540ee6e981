//! How long to wait before the next attempt, and when to give up.
//!
//! Full jitter (uniform between nothing and an exponentially growing bound): clients that collided
//! once must not meet again in step. Source: M. Brooker, "Exponential Backoff And Jitter", AWS
//! Architecture Blog, 2015.
//!
//! Invariant: no pause exceeds `backoff_max_ms` unless the server asks for it, and at most
//! `attempts_max - 1` pauses are given.

use std::time::Duration;

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::limits::Limits;

/// Longest that a server may ask for.
const AT_LEAST_MAX: Duration = Duration::from_secs(5);

/// The pauses of one operation. Not shared: each operation has its own.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempts_left: u32,
    bound_ms: u64,
    max_ms: u64,
    random: SmallRng,
}

impl Backoff {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self::seeded(limits, rand::random())
    }

    pub(crate) fn seeded(limits: &Limits, seed: u64) -> Self {
        Backoff {
            attempts_left: limits.attempts_max.saturating_sub(1),
            bound_ms: limits.backoff_base_ms.min(limits.backoff_max_ms),
            max_ms: limits.backoff_max_ms,
            random: SmallRng::seed_from_u64(seed),
        }
    }

    /// The pause before the next attempt; `None`: there is no attempt left. A server that says
    /// when to come back (`at_least`) is not asked earlier, and those whom it told the same do not
    /// come back in step.
    pub(crate) fn next(&mut self, at_least: Option<Duration>) -> Option<Duration> {
        self.attempts_left = self.attempts_left.checked_sub(1)?;
        let drawn_us = self.random.random_range(0..=self.bound_ms * 1_000);
        self.bound_ms = self.bound_ms.saturating_mul(2).min(self.max_ms);
        let at_least = at_least.unwrap_or_default().min(AT_LEAST_MAX);
        Some(at_least + at_least.mul_f64(self.random.random()) + Duration::from_micros(drawn_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(seed: u64) -> Vec<Duration> {
        let mut backoff = Backoff::seeded(&Limits::simulation(), seed);
        std::iter::from_fn(|| backoff.next(None)).collect()
    }

    #[test]
    fn attempts_are_bounded_and_pauses_stay_under_the_maximum() {
        for seed in 0..200 {
            let pauses = pauses(seed);
            assert_eq!(pauses.len(), 5, "seed {seed}");
            assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(4)), "seed {seed}");
        }
    }

    #[test]
    fn two_clients_draw_different_pauses() {
        assert_ne!(pauses(1), pauses(2));
    }

    #[test]
    fn bound_doubles_until_the_maximum() {
        let greatest = |index: usize| (0..500).map(|seed| pauses(seed)[index]).max().unwrap();
        assert!(greatest(0) <= Duration::from_millis(1));
        assert!(greatest(1) > Duration::from_millis(1));
        assert!(greatest(1) <= Duration::from_millis(2));
        assert!(greatest(4) > Duration::from_millis(3));
    }

    #[test]
    fn server_that_names_a_pause_is_not_asked_earlier() {
        let mut backoff = Backoff::seeded(&Limits::production(), 7);
        let wanted = Duration::from_millis(300);
        let pauses: Vec<Duration> = (0..4).filter_map(|_| backoff.next(Some(wanted))).collect();
        assert!(pauses.iter().all(|pause| *pause >= wanted));
        assert!(pauses.windows(2).all(|two| two[0] != two[1]), "in step: {pauses:?}");
        assert!(backoff.next(Some(Duration::from_secs(99))).unwrap() < Duration::from_secs(11));
    }
}
