//! An offered model is used while it is worth it, and no longer.

use std::sync::Arc;

use vatic_core::conflict::{FEATURES, Features, Model, Term};

use super::offered::Offered;
use super::random::Random;
use super::rules::Rules;
use super::sample::Sample;

/// Says that what is hot conflicts; or the contrary.
fn model(weight: i32) -> Arc<Model> {
    let term = |index| if index == 0 { weight } else { 0 };
    let range = |weight| Term { weight, low: -(4 << 16), high: 4 << 16 };
    let terms = (0..FEATURES).map(|index| range(term(index))).collect();
    Arc::new(Model { version: 1, terms, ..Model::constant(500_000) })
}

/// What is hot conflicts.
fn sample(random: &mut Random) -> Sample {
    let mut features = Features::default();
    let hot = 4.0 * random.unit() - 2.0;
    features.dense[0] = (hot * 65_536.0) as i32;
    let conflict = random.unit() < 1.0 / (1.0 + (-2.0 * hot).exp());
    Sample { features, conflict, propensity_ppm: 1_000_000, stands_for: 1, at_us: 0 }
}

fn reviewed(offered: &mut Offered, own: &Model) {
    let (mut random, rules) = (Random::new(7), Rules::simulation());
    for _ in 0..rules.review_labels {
        offered.note(&sample(&mut random), own, &Model::constant(500_000), &rules);
    }
}

#[test]
fn model_that_stands_on_more_labels_is_used_until_it_is_reviewed() {
    let mut offered = Offered::new(model(2 << 16), 1_000, false);
    assert!(offered.is_used(999) && !offered.is_used(1_000));
    reviewed(&mut offered, &Model::constant(500_000));
    assert!(offered.is_used(5_000), "it does better than the running rate");
}

#[test]
fn poisoned_model_is_dropped_at_its_first_review_and_the_running_rate_stays() {
    let mut poisoned = Offered::new(model(-2 << 16), 1_000_000, false);
    reviewed(&mut poisoned, &Model::constant(500_000));
    assert!(!poisoned.is_used(0));
}

#[test]
fn ones_own_model_that_does_better_stays() {
    let mut offered = Offered::new(model(1 << 14), 1_000_000, false);
    reviewed(&mut offered, &model(2 << 16));
    assert!(!offered.is_used(0));
}

#[test]
fn pinned_model_is_used_whatever_it_says() {
    let mut pinned = Offered::new(model(-2 << 16), 0, true);
    reviewed(&mut pinned, &model(2 << 16));
    assert!(pinned.is_used(1_000_000));
}
