//! How unusual a score is, whether scores creep upwards, and which operations are at fault.
//!
//! A conformal p-value needs no model of the scores: it is the share of recent ones that are as
//! large, this one counted. While streams behave as before, p-values are uniform, so that a CUSUM
//! (Page, 1954) over `1/2 - p` less a slack drifts downwards and stays near 0, whatever the scores'
//! distribution; when scores creep up it rises, long before a single one is out of bounds. In fixed
//! point, as all that replicas may share.

use crate::{
    expected::{Expected, Score},
    footprint::{Footprint, Token},
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

const MILLION: i64 = 1_000_000;
/// Scores that are remembered.
pub const RECENT_MAX: usize = 512;
/// How far below 1/2 p-values must be on average for the sum to rise, in millionths.
const SLACK_PPM: i64 = 125_000;
/// The sum from which on scores are said to drift. A uniform p has variance 1/12, so that this sum
/// is passed with probability of about e^(-2 · 1/8 · 6 · 12) = e^-18 from each start at 0.
pub const DRIFT_PPM: i64 = 6 * MILLION;
/// The sum goes no higher, so that it comes down within as many decisions again.
const DRIFT_BOUND_PPM: i64 = 2 * DRIFT_PPM;

/// The recent scores of a class, against which the next is held.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Baseline {
    recent: Vec<Score>,
    next: u32,
    drift_ppm: i64,
}

/// What is unusual about a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Anomaly {
    /// Its score.
    pub score: Score,
    /// The share of recent scores that are as large, in millionths: small is unusual.
    pub p_ppm: u32,
    /// The sum that rises while scores are larger than they were, in millionths.
    pub drift_ppm: i64,
}

/// A token of which there was more, or less, than expected.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Residual {
    /// Which of the tokens that were asked for.
    pub at: usize,
    /// How many more there were than expected, in 1/256.
    pub more: i64,
}

impl Anomaly {
    /// Whether scores have crept upwards for a while.
    pub fn drifting(&self) -> bool {
        self.drift_ppm >= DRIFT_PPM
    }
}

impl Baseline {
    /// Holds a score (its tie broken) against those before it, then remembers it.
    pub fn fold(&mut self, score: Score) -> Anomaly {
        let p_ppm = self.p_ppm(score);
        let rise = MILLION / 2 - i64::from(p_ppm) - SLACK_PPM;
        // The first few p-values are 1, 1/2, ...: they say nothing of a drift.
        if self.recent.len() >= RECENT_MAX / 8 {
            self.drift_ppm = (self.drift_ppm + rise).clamp(0, DRIFT_BOUND_PPM);
        }
        self.remember(score);
        Anomaly { score, p_ppm, drift_ppm: self.drift_ppm }
    }

    /// Holds a score against those before it, and remembers nothing: it is of a stream that still
    /// runs.
    pub fn weigh(&self, score: Score) -> Anomaly {
        Anomaly { score, p_ppm: self.p_ppm(score), drift_ppm: self.drift_ppm }
    }

    /// The conformal p-value of a score, in millionths: above 0 and at most 1.
    pub fn p_ppm(&self, score: Score) -> u32 {
        let as_large = self.recent.iter().filter(|other| **other >= score).count() as u64;
        ((as_large + 1) * MILLION as u64 / (self.recent.len() as u64 + 1)) as u32
    }

    fn remember(&mut self, score: Score) {
        if self.recent.len() < RECENT_MAX {
            self.recent.push(score);
            return;
        }
        let at = self.next as usize % RECENT_MAX;
        self.recent[at] = score;
        self.next = (at as u32 + 1) % RECENT_MAX as u32;
    }
}

/// Of some tokens (those of the transaction and those that were expected), the `most` whose number
/// differs most from what was expected, largest first; equal ones in the order given.
pub fn residuals(
    expected: &Expected,
    actual: &Footprint,
    tokens: &[Token],
    most: usize,
) -> Vec<Residual> {
    let asked = tokens.iter().enumerate();
    let mut found: Vec<Residual> = asked
        .map(|(at, token)| Residual { at, more: expected.residual(actual, *token) })
        .filter(|residual| residual.more != 0)
        .collect();
    found.sort_by_key(|residual| (core::cmp::Reverse(residual.more.unsigned_abs()), residual.at));
    found.truncate(most);
    found
}
