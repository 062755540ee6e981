//! The fit under what linfa-logistic does with classes, and the calibration.

use ndarray::{Array1, Array2};
use vatic_core::conflict::{Features, Group};

use super::calibrate::{Held, Platt};
use super::fit;
use super::random::Random;
use super::sample::Sample;

/// Labels with log-odds `slope · x + bias`, x in [-2, 2) as the first feature.
fn drawn(count: usize, slope: f64, bias: f64, seed: u64) -> Vec<Sample> {
    let mut random = Random::new(seed);
    let mut draw = |at_us| {
        let x = 4.0 * random.unit() - 2.0;
        let p = 1.0 / (1.0 + (-(slope * x + bias)).exp());
        let mut features = Features::default();
        features.dense[0] = (x * 65_536.0) as i32;
        let conflict = random.unit() < p;
        Sample { features, conflict, propensity_ppm: 1_000_000, stands_for: 1, at_us }
    };
    (0..count as u64).map(&mut draw).collect()
}

fn fitted(samples: &[Sample]) -> Option<fit::Linear> {
    fit::linear(&samples.iter().collect::<Vec<_>>(), &Group::ALL, 1e-4)
}

#[test]
fn weight_has_its_sign_whichever_class_is_the_majority() {
    for bias in [-2.0, 0.0, 2.0] {
        let linear = fitted(&drawn(3_000, 1.0, bias, 5)).unwrap();
        assert!((linear.weights[0] - 1.0).abs() < 0.2, "{} at {bias}", linear.weights[0]);
        assert!((linear.bias - bias).abs() < 0.2, "{} at {bias}", linear.bias);
        assert!(linear.weights[1..].iter().all(|weight| *weight == 0.0));
    }
}

#[test]
fn one_class_and_no_samples_have_no_fit() {
    let mut samples = drawn(100, 1.0, 0.0, 5);
    samples.iter_mut().for_each(|sample| sample.conflict = true);
    assert!(fitted(&samples).is_none());
    assert!(fitted(&[]).is_none());
}

#[test]
fn separable_classes_have_finite_weights() {
    let mut samples = drawn(200, 1.0, 0.0, 5);
    samples.iter_mut().for_each(|sample| sample.conflict = sample.features.dense[0] > 0);
    let linear = fitted(&samples).unwrap();
    assert!(linear.weights[0].is_finite() && linear.weights[0] > 1.0);
}

#[test]
fn penalty_means_the_same_for_few_and_many_samples() {
    let weight = |count| {
        let samples = drawn(count, 1.0, 0.0, 5);
        let samples: Vec<&Sample> = samples.iter().collect();
        fit::linear(&samples, &Group::ALL, 0.1).unwrap().weights[0]
    };
    assert!((weight(1_000) - weight(8_000)).abs() < 0.1);
}

#[test]
fn group_that_is_off_has_no_weight() {
    let samples = drawn(500, 1.0, 0.0, 5);
    let samples: Vec<&Sample> = samples.iter().collect();
    let linear = fit::linear(&samples, &[Group::Time], 1e-4).unwrap();
    assert!(linear.weights.iter().all(|weight| *weight == 0.0));
}

#[test]
fn plane_of_majority_true_is_not_upside_down() {
    let columns = Array2::from_shape_fn((100, 1), |(row, _)| f64::from(row as u32) / 50.0 - 1.0);
    let labels: Array1<bool> = (0..100).map(|row| row >= 20).collect();
    let plane = fit::plane(columns, labels, 1e-3).unwrap();
    assert!(plane.weights[0] > 0.0 && plane.bias > 0.0);
}

#[test]
fn calibration_finds_what_scores_mean() {
    let held = |sample: &Sample, stretch: f64| Held {
        raw: stretch * sample.value(0),
        residual: 0.0,
        happened: sample.conflict,
        weight: 1.0,
    };
    let samples = drawn(4_000, 1.5, -1.0, 9);
    for stretch in [1.0, 3.0] {
        let held: Vec<Held> = samples.iter().map(|sample| held(sample, stretch)).collect();
        let platt = Platt::fit(&held, false);
        assert!((platt.slope * stretch - 1.5).abs() < 0.15, "{platt:?}");
        assert!((platt.offset + 1.0).abs() < 0.15, "{platt:?}");
        assert_eq!(platt.residual, 0.0);
    }
}

#[test]
fn calibration_of_few_or_perverse_labels_stays_sane() {
    let none = Platt::fit(&[], true);
    assert_eq!((none.slope, none.residual, none.offset), (1.0, 0.0, 0.0));
    let held = |raw: f64| Held { raw, residual: raw, happened: raw < 0.0, weight: 1.0 };
    let upside_down: Vec<Held> = (-50..50).map(|k| held(f64::from(k) + 0.5)).collect();
    let platt = Platt::fit(&upside_down, true);
    assert!(platt.slope > 0.0 && platt.residual >= 0.0 && platt.offset.is_finite(), "{platt:?}");
    let one = Platt::fit(&[held(-8.0)], false);
    assert!(one.slope > 0.0 && one.offset.abs() < 1.1, "{one:?}");
}
