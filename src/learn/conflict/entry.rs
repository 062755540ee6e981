//! A model with a calibration that follows the newest labels.
//!
//! Weights stay as they were fitted, while base rates drift: so slope and offset are fitted anew
//! every few labels to the newest that the weights have not seen. The prediction of a label is made
//! before the label is taken in.

use std::collections::VecDeque;

use vatic_core::conflict::{Calibration, Group, Model};

use super::calibrate::{Held, Platt};
use super::measure;
use super::rules::Rules;
use super::sample::Sample;
use super::train::{self, Trained};

/// A model in office or on trial.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) model: Model,
    pub(super) groups: Vec<Group>,
    /// Labels that it was fitted on.
    pub(super) labels: usize,
    /// Labels that the weights have not seen, the newest last.
    recent: VecDeque<Held>,
    since: usize,
}

impl Entry {
    /// A trained model, fitted on so many `labels`.
    pub(super) fn new(trained: Trained, labels: usize, rules: &Rules) -> Entry {
        let Trained { model, groups, held, .. } = trained;
        let skipped = held.len().saturating_sub(rules.calibration_labels);
        let recent = held.into_iter().skip(skipped).collect();
        Entry { model, groups, labels, recent, since: 0 }
    }

    /// The probability of a conflict.
    pub(super) fn probability(&self, sample: &Sample) -> f64 {
        f64::from(self.model.score(&sample.features)) / 1e6
    }

    /// The log-loss at a label.
    pub(super) fn loss(&self, sample: &Sample) -> f64 {
        measure::log_loss(self.probability(sample), sample.conflict)
    }

    /// Takes a label in.
    pub(super) fn follow(&mut self, sample: &Sample, rules: &Rules) {
        let held = Held {
            raw: f64::from(self.model.raw(&sample.features)) / 65_536.0,
            residual: f64::from(self.model.residual(&sample.features)) / 65_536.0,
            happened: sample.conflict,
            weight: sample.weight(rules.weight_max),
        };
        if self.recent.len() >= rules.calibration_labels {
            self.recent.pop_front();
        }
        self.recent.push_back(held);
        self.since += 1;
        if self.since >= rules.recalibrate_labels {
            self.since = 0;
            let residuals = self.model.factors.is_some();
            let platt = Platt::fit(self.recent.make_contiguous(), residuals);
            let calibration: Calibration = train::quantized_calibration(platt);
            if calibration != self.model.calibration {
                self.model.calibration = calibration;
                self.model.revision += 1;
            }
        }
    }
}
