//! One scored mutation and what became of it.

use vatic_core::conflict::{FEATURES, Features};

/// A label with what was known before it.
#[derive(Clone, PartialEq, Debug)]
pub struct Sample {
    /// What was known when it was scored.
    pub features: Features,
    /// Whether it met a conflict.
    pub conflict: bool,
    /// The probability that its label could be seen at all, in parts per million: a mutation that
    /// takes its locks beforehand hides its conflict, and some are let through to learn from.
    pub propensity_ppm: u32,
    /// How many like it it stands for, itself included: of successes few are kept.
    pub stands_for: u32,
    /// When the label was known, in microseconds since 1970.
    pub at_us: u64,
}

impl Sample {
    /// Inverse of the propensity, up to `most`, times those that it stands for, up to `most`.
    pub(super) fn weight(&self, most: f64) -> f64 {
        let seen = (1e6 / f64::from(self.propensity_ppm.max(1))).clamp(1.0, most);
        seen * f64::from(self.stands_for).clamp(1.0, most)
    }

    /// A dense feature as a float: log2 units, shares, odds.
    pub(super) fn value(&self, index: usize) -> f64 {
        debug_assert!(index < FEATURES);
        f64::from(self.features.dense[index]) / 65_536.0
    }
}
