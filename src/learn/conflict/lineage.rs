//! A champion, the challengers that are tried against it, and the last good one behind it.
//!
//! Early on, while the champion stands on few labels, a challenger that was fitted on half as many
//! again replaces it if it did better on its held-out labels. Later a challenger runs beside the
//! champion on labels that neither has seen, and replaces it only if it is better beyond doubt.

use super::entry::Entry;
use super::measure::{self, Bins, PairedGain};
use super::rules::Rules;
use super::sample::Sample;
use super::train::Trained;

/// A model on trial.
#[derive(Clone, Debug)]
struct Challenger {
    entry: Entry,
    gain: PairedGain,
    bins: Bins,
}

/// What became of the models at a label.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Changes {
    pub(super) promotions: u64,
    pub(super) reverts: u64,
}

/// The models of one set of features.
#[derive(Clone, Debug, Default)]
pub(super) struct Lineage {
    champion: Option<Entry>,
    last_good: Option<Entry>,
    challengers: Vec<Challenger>,
    /// Of the champion against the last good one, since the last review.
    review: [f64; 2],
    reviewed: usize,
    pub(super) changes: Changes,
}

impl Lineage {
    pub(super) fn champion(&self) -> Option<&Entry> {
        self.champion.as_ref()
    }

    /// Whether it is time to train, after `labels` of which `window` are kept.
    pub(super) fn due(&self, labels: usize, window: usize, rules: &Rules) -> bool {
        let Some(champion) = &self.champion else {
            let tries = labels.saturating_sub(rules.first_labels);
            return labels >= rules.first_labels && tries.is_multiple_of(rules.first_labels / 3);
        };
        if champion.labels < rules.strict_labels {
            return 2 * window >= 3 * champion.labels
                && labels.is_multiple_of(rules.first_labels / 3);
        }
        labels.is_multiple_of(rules.retrain_labels)
    }

    /// A freshly trained model: early on it takes office if it did better, later it goes on trial.
    pub(super) fn propose(&mut self, trained: Trained, window: &[Sample], rules: &Rules) {
        let strict = self.champion.as_ref().is_some_and(|c| c.labels >= rules.strict_labels);
        let better = !strict && self.is_better(&trained, window);
        let entry = Entry::new(trained, window.len(), rules);
        if better {
            self.promote(entry);
        } else if strict {
            let trials = rules.strict_labels.div_ceil(rules.retrain_labels);
            if self.challengers.len() > trials {
                self.challengers.remove(0);
            }
            let (gain, bins) = (PairedGain::default(), Bins::default());
            self.challengers.push(Challenger { entry, gain, bins });
        }
    }

    /// One more label, which no model here has seen. Returns the champion's loss.
    pub(super) fn note(&mut self, sample: &Sample, rules: &Rules) -> Option<f64> {
        let champion = self.champion.as_mut()?;
        let weight = sample.weight(rules.weight_max);
        let loss = champion.loss(sample);
        champion.follow(sample, rules);
        for challenger in &mut self.challengers {
            let p = challenger.entry.probability(sample);
            challenger.gain.add(loss - measure::log_loss(p, sample.conflict), weight);
            challenger.bins.add(p, sample.conflict, weight);
            challenger.entry.follow(sample, rules);
        }
        self.judge(rules);
        self.review(loss, sample, rules);
        Some(loss)
    }

    /// On held-out labels: than what is in office, or than their own rate of the older labels.
    fn is_better(&self, trained: &Trained, window: &[Sample]) -> bool {
        let (old, held) = window.split_at(trained.held_from);
        let happened = old.iter().filter(|sample| sample.conflict).count() as f64;
        let rate = happened / old.len().max(1) as f64;
        let (mut over_prior, mut over_champion) = (PairedGain::default(), PairedGain::default());
        for (sample, held) in held.iter().zip(&trained.held) {
            let mine = measure::log_loss(trained.platt.probability(held), held.happened);
            over_prior.add(measure::log_loss(rate, held.happened) - mine, held.weight);
            if let Some(champion) = &self.champion {
                over_champion.add(champion.loss(sample) - mine, held.weight);
            }
        }
        over_prior.mean() > 0.0 && (self.champion.is_none() || over_champion.mean() > 0.0)
    }

    /// Ends the trials that lasted long enough.
    fn judge(&mut self, rules: &Rules) {
        let over = |c: &Challenger| c.gain.labels >= rules.strict_labels;
        let Some(at) = self.challengers.iter().position(over) else { return };
        let Challenger { entry, gain, bins } = self.challengers.remove(at);
        if gain.lower_bound() > 0.0 && bins.ece() <= rules.ece_max {
            self.promote(entry);
        }
    }

    fn promote(&mut self, entry: Entry) {
        self.last_good = self.champion.replace(entry);
        self.changes.promotions += 1;
        self.start_over();
    }

    fn review(&mut self, champion: f64, sample: &Sample, rules: &Rules) {
        let Some(last_good) = &mut self.last_good else { return };
        let weight = sample.weight(rules.weight_max);
        self.review[0] += weight * champion;
        self.review[1] += weight * last_good.loss(sample);
        last_good.follow(sample, rules);
        self.reviewed += 1;
        if self.reviewed < rules.review_labels {
            return;
        }
        if self.review[0] > rules.revert_ratio * self.review[1] {
            self.champion = self.last_good.take();
            self.changes.reverts += 1;
            self.start_over();
        }
        (self.review, self.reviewed) = ([0.0; 2], 0);
    }

    /// Trials against another champion say nothing.
    fn start_over(&mut self) {
        for challenger in &mut self.challengers {
            (challenger.gain, challenger.bins) = Default::default();
        }
        (self.review, self.reviewed) = ([0.0; 2], 0);
    }
}
