//! P-values are uniform while nothing changes, drift is noticed, and residuals name what differs.

use crate::{
    anomaly::{Baseline, RECENT_MAX, residuals},
    expected::{CELL_ONE, Expected, STEP},
    footprint::{Footprint, Token},
    hash::Hasher,
    tolerance::with_tie,
};
use alloc::vec::Vec;

/// A score that is 0 in two of three cases, its tie broken, from a fixed sequence.
fn score(at: u64, times: u64) -> u64 {
    let digest = Hasher::new("anomaly").u64(at).finish();
    let base = if digest.0[9].is_multiple_of(3) { u64::from(digest.0[10]) * STEP / 64 } else { 0 };
    with_tie(base * times / 10, &digest)
}

#[test]
fn p_values_are_uniform_while_scores_stay_the_same() {
    let mut baseline = Baseline::default();
    let found: Vec<u32> = (0..6_000).map(|at| baseline.fold(score(at, 10)).p_ppm).collect();
    for tenth in 1..10u32 {
        let below = found[1_000..].iter().filter(|p| **p <= tenth * 100_000).count();
        let expected = 500 * tenth as usize;
        assert!(below.abs_diff(expected) < 150, "{below} of 5000 below 0.{tenth}");
    }
}

#[test]
fn drift_is_said_within_hundreds_of_larger_scores_and_not_before() {
    for seed in 0..8 {
        let mut baseline = Baseline::default();
        let mut fold = |at: u64, times| baseline.fold(score(at + seed * 100_000, times)).drifting();
        assert!((0..10_000).all(|at| !fold(at, 10)), "seed {seed}: nothing changed yet");
        // The ties hide nothing: what was exact is now off by a step.
        let digest = Hasher::new("anomaly").finish();
        let said = (0..400).position(|_| baseline.fold(with_tie(3 * STEP, &digest)).drifting());
        assert!(said.is_some_and(|after| after < 60), "seed {seed}: {said:?}");
    }
}

#[test]
fn baseline_remembers_the_latest_alone() {
    let mut baseline = Baseline::default();
    (0..RECENT_MAX as u64).for_each(|_| {
        baseline.fold(10 * STEP);
    });
    assert_eq!(baseline.p_ppm(STEP), 1_000_000);
    (0..RECENT_MAX as u64).for_each(|_| {
        baseline.fold(1);
    });
    assert!(baseline.p_ppm(STEP) < 2_000);
}

#[test]
fn residuals_name_the_steps_that_are_too_many_and_too_few() {
    let token = |name: &str| Token::operation("stock", "add", Some(name));
    let of = |names: &[&str]| {
        let mut sum = Footprint::default();
        names.iter().for_each(|name| sum.add_token(token(name)));
        sum
    };
    let expected = Expected::from(&of(&["a", "b", "b", "c"]));
    let actual = of(&["a", "b", "b", "d", "d", "d"]);
    let tokens = ["a", "b", "c", "d"].map(token);
    let found: Vec<(usize, i64)> = residuals(&expected, &actual, &tokens, 8)
        .iter()
        .map(|residual| (residual.at, residual.more / i64::from(CELL_ONE)))
        .collect();
    assert_eq!(found, [(3, 3), (2, -1)]);
}
