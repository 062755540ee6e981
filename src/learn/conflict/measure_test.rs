//! Figures on sets small enough to reckon by hand.

use super::measure::{self, PairedGain};

const FOUR: [(f64, bool); 4] = [(0.1, false), (0.4, true), (0.4, false), (0.9, true)];

#[test]
fn auc_counts_ties_half_and_one_class_as_chance() {
    // Of four pairs three are in order and one is tied.
    assert_eq!(measure::auc(&FOUR), 3.5 / 4.0);
    assert_eq!(measure::auc(&FOUR[..1]), 0.5);
    assert_eq!(measure::auc(&[]), 0.5);
}

#[test]
fn log_loss_of_a_certain_mistake_is_finite() {
    assert!((measure::log_loss(0.5, true) - std::f64::consts::LN_2).abs() < 1e-12);
    assert!((measure::log_loss(1.0, false) - 1e6f64.ln()).abs() < 1e-9);
    assert_eq!(measure::mean_log_loss(&[]), 0.0);
}

#[test]
fn top_share_takes_the_highest() {
    assert_eq!(measure::top_share(&FOUR, 0.25), (1.0, 0.5));
    // Among equals the earlier one is taken.
    assert_eq!(measure::top_share(&FOUR, 0.5), (1.0, 1.0));
    assert_eq!(measure::top_share(&[], 0.1), (0.0, 0.0));
}

#[test]
fn calibration_error_is_the_gap_between_said_and_seen() {
    let said = |p: f64, of_ten: usize| (0..100).map(move |k| (p, k % 10 < of_ten));
    let exact: Vec<_> = said(0.2, 2).chain(said(0.7, 7)).collect();
    let off: Vec<_> = said(0.2, 4).chain(said(0.7, 7)).collect();
    for error in [measure::ece, measure::ece_by_count] {
        assert!(error(&exact) < 1e-9);
        assert!((error(&off) - 0.1).abs() < 1e-9);
    }
    assert_eq!(measure::ece(&[]), 0.0);
    assert_eq!(measure::ece(&[(1.0, true)]), 0.0);
}

#[test]
fn gain_that_chance_explains_has_no_positive_lower_bound() {
    let (mut sure, mut chance) = (PairedGain::default(), PairedGain::default());
    assert_eq!(chance.lower_bound(), f64::NEG_INFINITY);
    for k in 0..100 {
        let noise = if k % 2 == 0 { 1.0 } else { -1.0 };
        sure.add(0.3 + noise, 1.0);
        chance.add(0.1 + noise, 1.0);
    }
    assert!((sure.lower_bound() - (0.3 - 0.196)).abs() < 1e-3, "{}", sure.lower_bound());
    assert!(chance.lower_bound() < 0.0 && chance.mean() > 0.0);
}

#[test]
fn label_of_more_weight_counts_as_often() {
    let (mut once, mut thrice) = (PairedGain::default(), PairedGain::default());
    once.add(1.0, 3.0);
    once.add(-1.0, 1.0);
    (0..3).for_each(|_| thrice.add(1.0, 1.0));
    thrice.add(-1.0, 1.0);
    assert_eq!(once.mean(), thrice.mean());
    // Fewer labels say less, whatever they weigh.
    assert!(once.lower_bound() < thrice.lower_bound());
}
