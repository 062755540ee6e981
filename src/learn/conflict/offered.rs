//! A model that somebody else learnt, beside one's own.
//!
//! It is used as long as it stands on more labels, or for as long as it did better at the last
//! review; never where it did worse than the running rate, unless somebody insists.

use std::sync::Arc;

use vatic_core::conflict::Model;

use super::measure;
use super::rules::Rules;
use super::sample::Sample;

/// See the module.
#[derive(Clone, Debug)]
pub struct Offered {
    /// What is offered.
    pub model: Arc<Model>,
    /// The labels that it stands on.
    pub labels: u64,
    /// Somebody insists.
    pub pinned: bool,
    /// Its own loss since the last review, that of one's own model, and of the running rate.
    losses: [f64; 3],
    reviewed: usize,
    /// Whether it did best at the last review.
    better: Option<bool>,
}

impl Offered {
    /// Not yet reviewed.
    pub fn new(model: Arc<Model>, labels: u64, pinned: bool) -> Offered {
        Offered { model, labels, pinned, losses: [0.0; 3], reviewed: 0, better: None }
    }

    /// One more label, which none of the models has seen.
    pub fn note(&mut self, sample: &Sample, own: &Model, prior: &Model, rules: &Rules) {
        let weight = sample.weight(rules.weight_max);
        for (sum, model) in self.losses.iter_mut().zip([&*self.model, own, prior]) {
            let p = f64::from(model.score(&sample.features)) / 1e6;
            *sum += weight * measure::log_loss(p, sample.conflict);
        }
        self.reviewed += 1;
        if self.reviewed >= rules.review_labels {
            let [offered, own, prior] = self.losses;
            self.better = Some(offered < own.min(prior));
            (self.losses, self.reviewed) = ([0.0; 3], 0);
        }
    }

    /// Whether to use it in place of a model that stands on so many labels.
    pub fn is_used(&self, own_labels: u64) -> bool {
        self.pinned || self.better.unwrap_or(own_labels < self.labels)
    }
}
