//! How often something was written of late: a count-min sketch whose counts decay.
//!
//! Count-min (Cormode, Muthukrishnan, 2005) with conservative update (Estan, Varghese, 2002): a
//! count is the least of four counters, and a write raises only those that are below the new
//! count, so that it is never too low and rarely too high. Each counter holds three counts, which
//! halve every 2, 16 and 128 typical durations, and when it was last raised; it is decayed when it
//! is touched, by the clock of [`super::tempo`].

use super::fixed;
use alloc::{vec, vec::Vec};

/// Half-lives, as powers of two of the typical duration.
pub(super) const HALF_LIVES: [u32; 3] = [1, 4, 7];
/// Rows of the sketch.
const ROWS: usize = 4;
/// One write: counts are in Q12, so that about a million fit.
const WRITE: u32 = 1 << 12;

/// What is known of one id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Heat {
    /// Writes of late, at the three half-lives, in Q16.
    pub(super) counts: [u64; 3],
    /// The last write was then or before, in microseconds; 0 for never.
    pub(super) last_us: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    /// The clock that the counts are as of.
    clock: u64,
    counts: [u32; 3],
    last_us: u64,
}

/// The sketch.
#[derive(Clone, Debug)]
pub(super) struct Hotness {
    counters: Vec<Counter>,
    width: usize,
}

impl Hotness {
    pub(super) fn new(width: usize) -> Hotness {
        assert!(width.is_power_of_two(), "a row of {width} counters");
        Hotness { counters: vec![Counter::default(); width * ROWS], width }
    }

    /// Notes one write of `id`.
    pub(super) fn write(&mut self, id: u64, clock: u64, now_us: u64) {
        let at = self.places(id);
        at.iter().for_each(|&place| self.counters[place].decay(clock));
        let least = self.least(&at);
        for place in at {
            let counter = &mut self.counters[place];
            for (count, least) in counter.counts.iter_mut().zip(least) {
                *count = (*count).max(least.saturating_add(WRITE));
            }
            counter.last_us = counter.last_us.max(now_us);
        }
    }

    /// What is known of `id`. Never less than what was written.
    pub(super) fn heat(&self, id: u64, clock: u64) -> Heat {
        let mut heat = Heat { counts: [u64::MAX; 3], last_us: u64::MAX };
        for place in self.places(id) {
            let mut counter = self.counters[place];
            counter.decay(clock);
            for (known, count) in heat.counts.iter_mut().zip(counter.counts) {
                *known = (*known).min(u64::from(count) << 4);
            }
            heat.last_us = heat.last_us.min(counter.last_us);
        }
        heat
    }

    fn least(&self, at: &[usize; ROWS]) -> [u32; 3] {
        at.iter().fold([u32::MAX; 3], |least, &place| {
            let counts = self.counters[place].counts;
            core::array::from_fn(|k| least[k].min(counts[k]))
        })
    }

    /// One counter in each row, by double hashing (Kirsch, Mitzenmacher, 2006).
    fn places(&self, id: u64) -> [usize; ROWS] {
        let (first, step) = (fixed::mix(id), fixed::mix(!id) | 1);
        core::array::from_fn(|row| {
            let hash = fixed::mix(first.wrapping_add(step.wrapping_mul(row as u64)));
            row * self.width + (hash as usize & (self.width - 1))
        })
    }
}

impl Counter {
    fn decay(&mut self, clock: u64) {
        let passed = clock.saturating_sub(self.clock);
        self.clock = self.clock.max(clock);
        if passed == 0 || self.counts[2] == 0 {
            return;
        }
        for (count, half_life) in self.counts.iter_mut().zip(HALF_LIVES) {
            let kept = fixed::exp2_neg(passed >> half_life);
            *count = ((u64::from(*count) * kept) >> 32) as u32;
        }
    }
}
