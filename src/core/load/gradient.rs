//! How many may run at once.
//!
//! By the gradient between how long transactions usually take and how long they take now: what
//! takes much longer waits for something inside, and more at once would wait longer. Source:
//! Gradient2 of Netflix's concurrency-limits. Two things are added. What is measured in an overload
//! changes what is usual ten times as slowly, or every overload would become the usual after a
//! while. And what conflicts more often than usual takes effect as what takes longer does: work
//! that comes to nothing is better not begun.

use super::limits::LoadLimits;
use crate::conflict::fixed::MILLION;

const ONE: i64 = MILLION as i64;
/// Windows over which the usual is a mean.
const USUAL_WINDOWS: i64 = 600;
/// Places by which a limit grows that nothing holds back, smoothed.
const HEADROOM: i64 = 4;
/// How much of a limit a window replaces, and the least that one leaves of it.
const SMOOTHING: i64 = 5;
const GRADIENT_MIN_PPM: i64 = ONE / 2;
/// Conflicts above the usual that are chance.
const CONFLICTS_SLACK_PPM: i64 = ONE / 20;
/// Fewer ends than this say nothing of how often they conflict.
const ENDS_MIN: u64 = 16;
/// Places are kept in so many parts.
const PARTS: i64 = 256;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gradient {
    min: i64,
    max: i64,
    tolerance_ppm: i64,
    /// In parts of a place.
    limit: i64,
    /// In parts of a microsecond; 0: nothing is known.
    usual_took: i64,
    usual_conflicts_ppm: i64,
}

/// What was seen in a window.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// Transactions that ended.
    pub ended: u64,
    /// How long they took, all together, in microseconds.
    pub took_us: u64,
    /// Those of them that were rolled back for a conflict.
    pub conflicts: u64,
    /// Most that ran at once.
    pub inside: u32,
    /// Whether there were more than could be let in.
    pub overload: bool,
    /// Whether the machine has nothing left to give.
    pub exhausted: bool,
}

impl Gradient {
    /// With the limit that it starts from.
    pub fn new(limits: &LoadLimits) -> Gradient {
        let places = |count: u32| i64::from(count.max(1)) * PARTS;
        let (min, max) = (places(limits.places_min), places(limits.places_max));
        Gradient {
            min,
            max: max.max(min),
            tolerance_ppm: i64::try_from(limits.tolerance_ppm).unwrap_or(i64::MAX).max(ONE),
            limit: places(limits.places_first).clamp(min, max.max(min)),
            usual_took: 0,
            usual_conflicts_ppm: 0,
        }
    }

    /// Most that may run at once.
    pub fn places(&self) -> u32 {
        (self.limit / PARTS) as u32
    }

    /// A window is over.
    pub fn observe(&mut self, seen: Seen) {
        let Some(mean_us) = seen.took_us.checked_div(seen.ended) else { return };
        let took = i64::try_from(mean_us).unwrap_or(i64::MAX).clamp(1, i64::MAX / PARTS / ONE);
        let took = took * PARTS;
        let conflicts_ppm = match seen.ended {
            0..ENDS_MIN => self.usual_conflicts_ppm,
            ended => (seen.conflicts.min(ended) * u64::from(MILLION) / ended) as i64,
        };
        let gradient_ppm = self.gradient_ppm(took, conflicts_ppm);
        self.learn(took, conflicts_ppm, if seen.overload { 10 } else { 1 });
        // Where half of the places do, nothing is learnt of the others.
        if i64::from(seen.inside) * PARTS * 2 < self.limit {
            return;
        }
        let wanted = self.limit / PARTS * gradient_ppm * PARTS / ONE + HEADROOM * PARTS;
        let full = seen.overload && seen.exhausted;
        let wanted = if full { wanted.min(self.limit) } else { wanted };
        let limit = self.limit + (wanted - self.limit) / SMOOTHING;
        self.limit = limit.clamp(self.min, self.max);
    }

    fn gradient_ppm(&self, took: i64, conflicts_ppm: i64) -> i64 {
        let usual = if self.usual_took == 0 { took } else { self.usual_took };
        let by_time = usual.saturating_mul(self.tolerance_ppm) / took;
        let spared = ONE - conflicts_ppm;
        let usual_spared = (ONE - self.usual_conflicts_ppm - CONFLICTS_SLACK_PPM).max(1);
        let by_conflicts = spared * ONE / usual_spared;
        by_time.min(by_conflicts).clamp(GRADIENT_MIN_PPM, ONE)
    }

    fn learn(&mut self, took: i64, conflicts_ppm: i64, slower: i64) {
        if self.usual_took == 0 {
            (self.usual_took, self.usual_conflicts_ppm) = (took, conflicts_ppm);
            return;
        }
        self.usual_took += (took - self.usual_took) / (USUAL_WINDOWS * slower);
        self.usual_conflicts_ppm +=
            (conflicts_ppm - self.usual_conflicts_ppm) / (USUAL_WINDOWS * slower);
        // After a time of long ones it soon knows the short ones again.
        if self.usual_took > 2 * took {
            self.usual_took -= self.usual_took / 20;
        }
    }
}
