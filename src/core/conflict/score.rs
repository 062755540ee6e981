//! From features to a probability, in integers: a quantized logistic model.
//!
//! Standardisation is folded into weights and bias when a model is made. Each feature is held
//! within the range that it was fitted on, so that one that runs away cannot carry the score with
//! it. The calibration (Platt, 1999) stays apart, so that it can be renewed alone and read.

use super::{
    factors::Factors,
    features::{Features, Group},
    fixed::{self, ONE},
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What one feature counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Term {
    /// Log-odds for each unit of the feature, Q16.
    pub weight: i32,
    /// A lower value counts as this one.
    pub low: i32,
    /// A higher value counts as this one.
    pub high: i32,
}

/// From raw log-odds z and residual r to those that are meant: `slope · z + residual · r + offset`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Calibration {
    /// Q16, positive: calibration keeps the order of scores.
    pub slope: i32,
    /// Q16.
    pub residual: i32,
    /// Q16.
    pub offset: i32,
}

impl Default for Calibration {
    fn default() -> Calibration {
        Calibration { slope: ONE, residual: 0, offset: 0 }
    }
}

/// A model that was fitted elsewhere.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Model {
    /// Ascends with each model that a loop makes.
    pub version: u64,
    /// Ascends with each calibration of it.
    pub revision: u64,
    /// One a dense feature; none for a model that always says the same.
    pub terms: Vec<Term>,
    /// Log-odds where all terms are zero, Q16.
    pub bias: i32,
    /// What the raw log-odds mean.
    pub calibration: Calibration,
    /// The collaborative filter, if it pays.
    pub factors: Option<Factors>,
}

impl Model {
    /// Always says `rate_ppm`.
    pub fn constant(rate_ppm: u32) -> Model {
        let rate = u64::from(rate_ppm.clamp(1, fixed::MILLION - 1));
        let log2_odds = fixed::log2_odds(rate, u64::from(fixed::MILLION));
        // ln 2 in Q16 is 45,426.
        let bias = ((i64::from(log2_odds) * 45_426) >> 16) as i32;
        let calibration = Calibration::default();
        Model { version: 0, revision: 0, terms: Vec::new(), bias, calibration, factors: None }
    }

    /// Raw log-odds, Q16.
    pub fn raw(&self, features: &Features) -> i32 {
        let terms = self.terms.iter().zip(features.dense);
        let sum: i64 = terms.map(|(term, value)| term.times(value)).sum();
        saturate(sum + i64::from(self.bias))
    }

    /// What each group of features adds to the raw log-odds, Q16.
    pub fn shares(&self, features: &Features) -> Vec<(Group, i32)> {
        let share = |group| {
            let terms = self.terms.iter().zip(features.dense).enumerate();
            let own = terms.filter(|(index, _)| Group::of(*index) == group);
            saturate(own.map(|(_, (term, value))| term.times(value)).sum())
        };
        Group::ALL.into_iter().map(|group| (group, share(group))).collect()
    }

    /// Residual log-odds of the collaborative filter, Q16.
    pub fn residual(&self, features: &Features) -> i32 {
        let residual = |factors: &Factors| factors.residual(features.user, &features.areas);
        self.factors.as_ref().map_or(0, residual)
    }

    /// Calibrated log-odds, Q16.
    pub fn log_odds(&self, features: &Features) -> i32 {
        let Calibration { slope, residual, offset } = self.calibration;
        let raw = product(self.raw(features), slope);
        let left_over = product(self.residual(features), residual);
        saturate(raw + left_over + i64::from(offset))
    }

    /// The probability of a conflict, in parts per million.
    pub fn score(&self, features: &Features) -> u32 {
        fixed::logistic_ppm(self.log_odds(features))
    }
}

impl Term {
    fn times(self, value: i32) -> i64 {
        product(value.max(self.low).min(self.high), self.weight)
    }
}

/// Of two in Q16, in Q16: dozens of them add up without overflow.
fn product(a: i32, b: i32) -> i64 {
    (i64::from(a) * i64::from(b)) >> 16
}

fn saturate(value: i64) -> i32 {
    value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}
