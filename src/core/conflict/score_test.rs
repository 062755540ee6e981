//! Scores: order, bounds, what is clamped, what the wire keeps.

use super::{
    factors::Factors,
    features::{FEATURES, Feature, Features, Group},
    fixed::{self, MILLION, ONE},
    score::{Calibration, Model, Term},
};
use crate::codec;
use alloc::{vec, vec::Vec};
use proptest::prelude::*;

fn model(weight: i32) -> Model {
    let term = Term { weight, low: -4 * ONE, high: 4 * ONE };
    Model { terms: vec![term; FEATURES], ..Model::constant(200_000) }
}

fn with(index: usize, value: i32) -> Features {
    let mut features = Features::default();
    features.dense[index] = value;
    features
}

#[test]
fn constant_model_says_its_rate_whatever_it_sees() {
    for rate in [1, 10, 5_000, 150_000, 500_000, 999_000] {
        let said = Model::constant(rate).score(&with(3, 5 * ONE));
        assert!(said.abs_diff(rate) <= 1 + rate / 10_000, "{said} for {rate}");
    }
}

#[test]
fn value_beyond_what_was_fitted_counts_as_the_edge() {
    let model = model(ONE);
    let edge = model.score(&with(0, 4 * ONE));
    assert_eq!(model.score(&with(0, i32::MAX)), edge);
    assert!(model.score(&with(0, 3 * ONE)) < edge);
}

#[test]
fn calibration_and_residual_move_the_score() {
    let mut model = model(ONE);
    let features = Features { user: 7, areas: vec![1, 2, 3], ..with(0, ONE) };
    let plain = model.log_odds(&features);
    model.calibration = Calibration { slope: ONE / 2, residual: 0, offset: ONE };
    assert_eq!(model.log_odds(&features), plain / 2 + ONE);
    let mut factors = Factors::default();
    factors.users.insert(7, [4_096; 8]);
    factors.areas.insert(1, [4_096; 8]);
    factors.areas.insert(3, [0; 8]);
    model.factors = Some(factors);
    assert_eq!(model.residual(&features), 4 * ONE, "the mean of 8 and 0; area 2 is not known");
    model.calibration.residual = ONE;
    assert_eq!(model.log_odds(&features), plain / 2 + ONE + 4 * ONE);
    assert_eq!(model.residual(&Features { user: 8, ..features }), 0);
}

#[test]
fn every_feature_has_its_group_and_the_last_index_is_the_last_feature() {
    assert_eq!(Feature::WeekdayCosine as usize, FEATURES - 1);
    let groups: Vec<Group> = (0..FEATURES).map(Group::of).collect();
    assert!(groups.windows(2).all(|pair| pair[0] <= pair[1]), "{groups:?}");
    assert_eq!(Group::of(Feature::RecordHeatSum as usize), Group::Hotness);
    assert_eq!(Group::of(Feature::InFlight as usize), Group::Overlap);
    assert_eq!(Group::of(Feature::Recency as usize), Group::Staleness);
    assert_eq!(Group::of(Feature::UserAreaRate as usize), Group::Rates);
    assert_eq!(Group::of(FEATURES - 1), Group::Time);
}

proptest! {
    #[test]
    fn score_never_falls_as_a_feature_with_positive_weight_rises(
        index in 0..FEATURES, weight in 0..(8 * ONE), values in any::<(i32, i32)>(),
    ) {
        let model = model(weight);
        let (low, high) = (values.0.min(values.1), values.0.max(values.1));
        prop_assert!(model.score(&with(index, low)) <= model.score(&with(index, high)));
    }

    #[test]
    fn logistic_is_monotone_symmetric_and_never_certain(pair in any::<(i32, i32)>()) {
        let (low, high) = (pair.0.min(pair.1), pair.0.max(pair.1));
        let said = fixed::logistic_ppm(low);
        prop_assert!(said <= fixed::logistic_ppm(high));
        prop_assert!(said > 0 && said < MILLION);
        if low > i32::MIN {
            prop_assert_eq!(said + fixed::logistic_ppm(-low), MILLION);
        }
    }

    #[test]
    fn logarithm_and_decay_are_monotone(pair in any::<(u64, u64)>()) {
        let (low, high) = (pair.0.min(pair.1), pair.0.max(pair.1));
        prop_assert!(fixed::log2(low) <= fixed::log2(high));
        let (low, high) = (low >> 40, high >> 40);
        prop_assert!(fixed::exp2_neg(low) >= fixed::exp2_neg(high));
    }

    #[test]
    fn any_model_scores_any_features_without_overflow(
        weights in prop::collection::vec(any::<(i32, i32, i32)>(), FEATURES),
        dense in prop::collection::vec(any::<i32>(), FEATURES),
        bias in any::<i32>(), calibration in any::<(i32, i32, i32)>(),
    ) {
        let term = |(weight, low, high): (i32, i32, i32)| Term { weight, low, high };
        let (slope, residual, offset) = calibration;
        let model = Model {
            version: 3,
            revision: 4,
            terms: weights.into_iter().map(term).collect(),
            bias,
            calibration: Calibration { slope, residual, offset },
            factors: None,
        };
        let features = Features { dense: dense.try_into().unwrap(), ..Features::default() };
        prop_assert!((1..MILLION).contains(&model.score(&features)));
        let bytes = codec::encode(&(&model, &features));
        prop_assert_eq!(codec::decode::<(Model, Features)>(&bytes), Ok((model, features)));
    }
}
