//! One logistic regression by linfa, on standardised features.
//!
//! Three properties of linfa-logistic 0.8.1 are dealt with here and nowhere else. Its positive
//! class is whichever is the majority, so that signs flip with the balance: the fitted labels are
//! read. Its loss is a sum, so the penalty grows with the number of samples. It fails on one class:
//! that is `None`.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_logistic::LogisticRegression;
use ndarray::{Array1, Array2};
use vatic_core::conflict::{FEATURES, Group};

use super::sample::Sample;

const ITERATIONS_MAX: u64 = 60;
/// Mean gradient at which a fit is done: standard errors are far above that.
const GRADIENT: f64 = 1e-4;
/// A feature that moves less than this has nothing to say, and its weight would not fit Q16.
const DEVIATION_MIN: f64 = 1e-3;

/// Weights and bias of plain columns.
pub(super) struct Plane {
    pub(super) weights: Vec<f64>,
    pub(super) bias: f64,
}

/// A model of dense features, in floats.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weights: [f64; FEATURES],
    pub(super) bias: f64,
    /// The range of each feature in what was fitted on.
    pub(super) ranges: [(f64, f64); FEATURES],
}

impl Linear {
    /// Log-odds.
    pub(super) fn log_odds(&self, sample: &Sample) -> f64 {
        let held = |k: usize| sample.value(k).clamp(self.ranges[k].0, self.ranges[k].1);
        self.bias + (0..FEATURES).map(|k| self.weights[k] * held(k)).sum::<f64>()
    }
}

/// Fits the features of some groups; `penalty` is that of one sample. `None` if there is but one
/// class, or no finite solution.
pub(super) fn linear(samples: &[&Sample], groups: &[Group], penalty: f64) -> Option<Linear> {
    let scales = scales(samples, groups);
    let used: Vec<usize> = (0..FEATURES).filter(|k| scales[*k].1 > 0.0).collect();
    let standard = |row: usize, column: usize| {
        let (mean, deviation) = scales[used[column]];
        (samples[row].value(used[column]) - mean) / deviation
    };
    let columns =
        Array2::from_shape_fn((samples.len(), used.len()), |(row, column)| standard(row, column));
    let labels = samples.iter().map(|sample| sample.conflict).collect();
    let plane = plane(columns, labels, penalty)?;
    let mut linear =
        Linear { weights: [0.0; FEATURES], bias: plane.bias, ranges: [(0.0, 0.0); FEATURES] };
    for (column, &k) in used.iter().enumerate() {
        let (mean, deviation) = scales[k];
        linear.weights[k] = plane.weights[column] / deviation;
        linear.bias -= linear.weights[k] * mean;
        linear.ranges[k] = range(samples, k);
    }
    Some(linear)
}

/// Fits columns as they are: log-odds that a label is true.
pub(super) fn plane(columns: Array2<f64>, labels: Array1<bool>, penalty: f64) -> Option<Plane> {
    let count = labels.len() as f64;
    let params = LogisticRegression::default()
        .alpha(penalty * count)
        .gradient_tolerance(GRADIENT * count.max(1.0))
        .max_iterations(ITERATIONS_MAX);
    let fitted = params.fit(&DatasetBase::new(columns, labels)).ok()?;
    let sign = if fitted.labels().pos.class { 1.0 } else { -1.0 };
    let weights: Vec<f64> = fitted.params().iter().map(|weight| sign * weight).collect();
    let bias = sign * fitted.intercept();
    let finite = bias.is_finite() && weights.iter().all(|weight| weight.is_finite());
    finite.then_some(Plane { weights, bias })
}

/// Mean and deviation of each feature; a deviation of 0 for one that is off or does not move.
fn scales(samples: &[&Sample], groups: &[Group]) -> [(f64, f64); FEATURES] {
    let count = samples.len().max(1) as f64;
    std::array::from_fn(|k| {
        if !groups.contains(&Group::of(k)) {
            return (0.0, 0.0);
        }
        let mean = samples.iter().map(|sample| sample.value(k)).sum::<f64>() / count;
        let squares = samples.iter().map(|sample| (sample.value(k) - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count).sqrt();
        (mean, if deviation < DEVIATION_MIN { 0.0 } else { deviation })
    })
}

fn range(samples: &[&Sample], k: usize) -> (f64, f64) {
    let values = samples.iter().map(|sample| sample.value(k));
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
