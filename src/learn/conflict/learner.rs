//! The learning loop: outcomes in, in their order; the model to score with out.
//!
//! Three models stand behind each other: that of all features, that of hotness alone, and the
//! running rate. One that did worse of late than what stands behind it is passed over until it does
//! better again.

use std::collections::VecDeque;

use vatic_core::conflict::{Group, Model};

use super::lineage::Lineage;
use super::measure;
use super::rules::Rules;
use super::sample::Sample;
use super::train::{self, Order};

/// Which model is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// All features that pay.
    Full,
    /// Hotness alone: the full model did worse than it, or than the running rate.
    Hotness,
    /// The running rate: there is no model, or none does better.
    Prior,
}

/// How the loop stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Status {
    /// Which model is in use.
    pub mode: Mode,
    /// Labels so far.
    pub labels: u64,
    /// The version of the model of all features; 0 for none.
    pub version: u64,
    /// How often that was replaced by a better one.
    pub promotions: u64,
    /// How often it was taken back.
    pub reverts: u64,
    /// Groups of features that it does without.
    pub switched_off: Vec<Group>,
    /// Whether the collaborative filter is part of it.
    pub factors_active: bool,
    /// Held-out log-loss with the collaborative filter over that without, at the last fit that
    /// could tell.
    pub factors_ratio: Option<f64>,
}

/// A model's standing since the last review: its loss, and those of the running rate and of hotness
/// alone.
#[derive(Clone, Debug, Default)]
struct Standing {
    losses: [f64; 3],
    labels: usize,
    worse: bool,
}

/// The loop. Memory is bounded by the window.
#[derive(Clone, Debug)]
pub struct Learner {
    rules: Rules,
    seed: u64,
    window: VecDeque<Sample>,
    labels: usize,
    /// Sums of weights: of the labels that conflicted, and of all.
    seen: [f64; 2],
    versions: u64,
    full: Lineage,
    hotness: Lineage,
    prior: Model,
    full_standing: Standing,
    hotness_standing: Standing,
    factors_ratio: Option<f64>,
}

impl Learner {
    /// Knows nothing: its first model says one half.
    pub fn new(rules: Rules, seed: u64) -> Learner {
        Learner {
            window: VecDeque::with_capacity(rules.window_labels),
            rules,
            seed,
            labels: 0,
            seen: [0.0; 2],
            versions: 0,
            full: Lineage::default(),
            hotness: Lineage::default(),
            prior: Model::constant(500_000),
            full_standing: Standing::default(),
            hotness_standing: Standing::default(),
            factors_ratio: None,
        }
    }

    /// One more outcome. Fits models when it is time to, which takes a while.
    pub fn learn(&mut self, sample: Sample) {
        self.take_in(sample);
        let kept = self.window.len();
        if self.full.due(self.labels, kept, &self.rules) {
            self.train(true);
        }
        if self.hotness.due(self.labels, kept, &self.rules) {
            self.train(false);
        }
    }

    /// Outcomes of before, the oldest first: fitted to once, where there are enough by then.
    pub fn recall(&mut self, past: Vec<Sample>) {
        past.into_iter().for_each(|sample| self.take_in(sample));
        if self.labels >= self.rules.first_labels {
            self.train(true);
            self.train(false);
        }
    }

    fn take_in(&mut self, sample: Sample) {
        self.note(&sample);
        self.labels += 1;
        let weight = sample.weight(self.rules.weight_max);
        self.seen[0] += if sample.conflict { weight } else { 0.0 };
        self.seen[1] += weight;
        self.prior = Model::constant(rate_ppm(self.seen));
        if self.window.len() == self.rules.window_labels {
            self.window.pop_front();
        }
        self.window.push_back(sample);
    }

    /// The model to score with.
    pub fn model(&self) -> &Model {
        match self.mode() {
            Mode::Full => self.full.champion().map_or(&self.prior, |entry| &entry.model),
            Mode::Hotness => self.hotness_model(),
            Mode::Prior => &self.prior,
        }
    }

    /// What hotness alone says, learnt by the same rules: a baseline.
    pub fn hotness_model(&self) -> &Model {
        self.hotness.champion().map_or(&self.prior, |entry| &entry.model)
    }

    /// The running rate of conflicts as a model: the other baseline.
    pub fn prior_model(&self) -> &Model {
        &self.prior
    }

    /// Which model [`Learner::model`] gives.
    pub fn mode(&self) -> Mode {
        if self.full.champion().is_some() && !self.full_standing.worse {
            Mode::Full
        } else if self.hotness.champion().is_some() && !self.hotness_standing.worse {
            Mode::Hotness
        } else {
            Mode::Prior
        }
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let entry = self.full.champion();
        let is_off = |group: &Group| entry.is_some_and(|entry| !entry.groups.contains(group));
        Status {
            mode: self.mode(),
            labels: self.labels as u64,
            version: entry.map_or(0, |entry| entry.model.version),
            promotions: self.full.changes.promotions,
            reverts: self.full.changes.reverts,
            switched_off: Group::ALL.into_iter().filter(is_off).collect(),
            factors_active: entry.is_some_and(|entry| entry.model.factors.is_some()),
            factors_ratio: self.factors_ratio,
        }
    }

    /// Holds all models against a label that none has seen.
    fn note(&mut self, sample: &Sample) {
        let weight = sample.weight(self.rules.weight_max);
        let prior = f64::from(self.prior.score(&sample.features)) / 1e6;
        let prior = weight * measure::log_loss(prior, sample.conflict);
        let hotness = self.hotness.note(sample, &self.rules).map(|loss| weight * loss);
        if let Some(hotness) = hotness {
            self.hotness_standing.note([hotness, prior, prior], &self.rules);
        }
        if let Some(loss) = self.full.note(sample, &self.rules) {
            let losses = [weight * loss, prior, hotness.unwrap_or(prior)];
            self.full_standing.note(losses, &self.rules);
        }
    }

    fn train(&mut self, full: bool) {
        self.versions += 1;
        let window = self.window.make_contiguous();
        let groups: &[Group] = if full { &Group::ALL } else { &[Group::Hotness] };
        let (version, seed) = (self.versions, self.seed ^ self.versions);
        let order = Order { window, groups, factors: full, version, seed };
        let Some(trained) = train::train(&order, &self.rules) else { return };
        if full {
            self.factors_ratio = trained.factors_ratio.or(self.factors_ratio);
            self.full.propose(trained, window, &self.rules);
        } else {
            self.hotness.propose(trained, window, &self.rules);
        }
    }
}

impl Standing {
    fn note(&mut self, losses: [f64; 3], rules: &Rules) {
        (0..3).for_each(|k| self.losses[k] += losses[k]);
        self.labels += 1;
        if self.labels >= rules.review_labels {
            self.worse = self.losses[0] > self.losses[1].min(self.losses[2]);
            (self.losses, self.labels) = ([0.0; 3], 0);
        }
    }
}

/// (conflicts + 1) / (labels + 2), Laplace's rule.
fn rate_ppm([conflicts, labels]: [f64; 2]) -> u32 {
    ((conflicts + 1.0) / (labels + 2.0) * 1e6).round() as u32
}
