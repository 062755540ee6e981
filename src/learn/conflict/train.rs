//! From a window of samples to a model: which features pay, how they weigh, what the sum means.
//!
//! The newest fifth is held out. On it the penalty is chosen, groups of features that do not pay
//! are switched off, the calibration is fitted and the collaborative filter must earn its place.
//! Then the weights are fitted once more to all of the window, for what is newest counts most.

use vatic_core::conflict::{Calibration, FEATURES, Factors, Group, Model, Term};

use super::calibrate::{Held, Platt};
use super::factors;
use super::fit::{self, Linear};
use super::measure;
use super::random::Random;
use super::rules::Rules;
use super::sample::Sample;

/// The share of a window that is held out is one of so many.
const HELD_OUT: usize = 5;
/// Penalties of one sample that are tried.
const PENALTIES: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];
/// Fewer of either class cannot be fitted.
const CLASS_MIN: usize = 5;

/// What to train.
pub(super) struct Order<'a> {
    /// In the order of outcomes.
    pub(super) window: &'a [Sample],
    /// Features that may be used.
    pub(super) groups: &'a [Group],
    /// Whether the collaborative filter is tried.
    pub(super) factors: bool,
    pub(super) version: u64,
    pub(super) seed: u64,
}

/// A model, and how it did on what was held out.
pub(super) struct Trained {
    pub(super) model: Model,
    pub(super) groups: Vec<Group>,
    /// The first held-out sample of the window.
    pub(super) held_from: usize,
    /// What it said of the held-out samples, before its weights were fitted to them too.
    pub(super) held: Vec<Held>,
    /// The calibration of those.
    pub(super) platt: Platt,
    /// Log-loss with the collaborative filter over log-loss without, if it was tried.
    pub(super) factors_ratio: Option<f64>,
}

/// `None` where there is too little of either class, or the fit has no solution.
pub(super) fn train(order: &Order, rules: &Rules) -> Option<Trained> {
    let held_from = order.window.len() - order.window.len() / HELD_OUT;
    let (old, new) = order.window.split_at(held_from);
    let mut random = Random::new(order.seed);
    let old = resampled(old, rules, &mut random);
    let new = resampled(new, rules, &mut random);
    if scarce(&old) || scarce(&new) {
        return None;
    }
    let (groups, penalty) = chosen(&old, &new, order.groups)?;
    let linear = fit::linear(&old, &groups, penalty)?;
    let fitted = order.factors.then(|| filter(&linear, &old, &new, order.seed));
    let factors_ratio = fitted.as_ref().map(|(_, ratio)| *ratio);
    let pays = fitted.filter(|(_, ratio)| *ratio <= rules.factors_ratio);
    let factors = pays.map(|(factors, _)| factors);
    let platt = Platt::fit(&held(&linear, factors.as_ref(), &new), factors.is_some());
    let unseen: Vec<&Sample> = order.window[held_from..].iter().collect();
    let mut held = held(&linear, factors.as_ref(), &unseen);
    held.iter_mut().zip(&unseen).for_each(|(h, s)| h.weight = s.weight(rules.weight_max));
    let all: Vec<&Sample> = old.iter().chain(&new).copied().collect();
    let linear = fit::linear(&all, &groups, penalty)?;
    let model = quantized(&linear, platt, factors, order.version);
    Some(Trained { model, groups, held_from, held, platt, factors_ratio })
}

/// Draws by inverse propensity, with replacement; all as they are where all have the same.
fn resampled<'a>(samples: &'a [Sample], rules: &Rules, random: &mut Random) -> Vec<&'a Sample> {
    let weights: Vec<f64> = samples.iter().map(|s| s.weight(rules.weight_max)).collect();
    if weights.windows(2).all(|pair| pair[0] == pair[1]) {
        return samples.iter().collect();
    }
    // Systematic draws (Kitagawa, 1996): one number of chance, least variance, order kept.
    let step = weights.iter().sum::<f64>() / samples.len() as f64;
    let (mut next, mut passed) = (random.unit() * step, 0.0);
    let mut drawn = Vec::with_capacity(samples.len() + 1);
    for (sample, weight) in samples.iter().zip(weights) {
        passed += weight;
        while next < passed {
            drawn.push(sample);
            next += step;
        }
    }
    drawn
}

fn scarce(samples: &[&Sample]) -> bool {
    let conflicts = samples.iter().filter(|sample| sample.conflict).count();
    conflicts.min(samples.len() - conflicts) < CLASS_MIN
}

/// The penalty that does best on `new`, and the groups without which it does worse.
fn chosen(old: &[&Sample], new: &[&Sample], groups: &[Group]) -> Option<(Vec<Group>, f64)> {
    let loss = |groups: &[Group], penalty| {
        fit::linear(old, groups, penalty).map(|linear| calibrated_loss(&linear, new))
    };
    let tried = PENALTIES.iter().filter_map(|penalty| Some((loss(groups, *penalty)?, *penalty)));
    let (all, penalty) = tried.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let mut kept = groups.to_vec();
    let mut least = all;
    for group in groups.iter().filter(|group| **group != Group::Hotness) {
        let without: Vec<Group> = kept.iter().copied().filter(|kept| kept != group).collect();
        if let Some(loss) = loss(&without, penalty)
            && loss <= least
        {
            (kept, least) = (without, loss);
        }
    }
    Some((kept, penalty))
}

/// Log-loss as it is after calibration: what calibration can mend is no reason to choose.
fn calibrated_loss(linear: &Linear, samples: &[&Sample]) -> f64 {
    let held = held(linear, None, samples);
    let platt = Platt::fit(&held, false);
    loss(&held, platt)
}

fn held(linear: &Linear, factors: Option<&Factors>, samples: &[&Sample]) -> Vec<Held> {
    let residual = |sample: &Sample| {
        let q16 = factors.map_or(0, |f| f.residual(sample.features.user, &sample.features.areas));
        f64::from(q16) / 65_536.0
    };
    let held = |sample: &&Sample| Held {
        raw: linear.log_odds(sample),
        residual: residual(sample),
        happened: sample.conflict,
        weight: 1.0,
    };
    samples.iter().map(held).collect()
}

fn loss(held: &[Held], platt: Platt) -> f64 {
    let predictions: Vec<(f64, bool)> =
        held.iter().map(|held| (platt.probability(held), held.happened)).collect();
    measure::mean_log_loss(&predictions)
}

/// Factors fitted on `old`, and log-loss with them over log-loss without: both are weighed on the
/// older half of `new` and judged on the newer.
fn filter(linear: &Linear, old: &[&Sample], new: &[&Sample], seed: u64) -> (Factors, f64) {
    let log_odds: Vec<f64> = old.iter().map(|sample| linear.log_odds(sample)).collect();
    let factors = factors::fit(old, &log_odds, seed);
    let (weigh, judge) = new.split_at(new.len() / 2);
    let weigh = held(linear, Some(&factors), weigh);
    let judge = held(linear, Some(&factors), judge);
    let with = Platt::fit(&weigh, true);
    let without = Platt::fit(&weigh, false);
    let ratio = loss(&judge, with) / loss(&judge, without);
    (factors, ratio)
}

fn quantized(linear: &Linear, platt: Platt, factors: Option<Factors>, version: u64) -> Model {
    let term = |k: usize| Term {
        weight: q16(linear.weights[k]),
        low: q16(linear.ranges[k].0),
        high: q16(linear.ranges[k].1),
    };
    let (terms, bias) = ((0..FEATURES).map(term).collect(), q16(linear.bias));
    let calibration = quantized_calibration(platt);
    Model { version, revision: 0, terms, bias, calibration, factors }
}

/// A calibration as scores use it.
pub(super) fn quantized_calibration(platt: Platt) -> Calibration {
    let calibration = Calibration {
        slope: q16(platt.slope),
        residual: q16(platt.residual),
        offset: q16(platt.offset),
    };
    debug_assert!(calibration.slope > 0, "{calibration:?}");
    calibration
}

fn q16(value: f64) -> i32 {
    (value * 65_536.0).round() as i32
}
