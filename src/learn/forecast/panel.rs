//! Forecasters side by side: each is scored on streams before it learns them, and the best speaks.
//!
//! Progressive validation (Dawid's prequential principle, 1984): a forecast is made while a stream
//! runs, and scored when it ends, before any forecaster learns the stream. So no data is held back,
//! and no error is of something already seen.

use std::collections::BTreeMap;

use super::{Blend, ClassMedian, Forecaster, MarkovReward, Nearest, Outlook, Persistence, Prefix};

/// Classes with a champion of their own; further ones follow that of all.
const CLASSES_MAX: usize = 256;
/// A class with fewer scores follows the champion of all.
const SCORES_MIN: f64 = 50.0;
/// What is left of a score after one more.
const FORGETTING: f64 = 0.999;

/// The forecasters, and what became of their forecasts.
pub struct Panel {
    forecasters: Vec<Box<dyn Forecaster>>,
    all: Standing,
    classes: BTreeMap<u64, Standing>,
}

/// The forecasts that all forecasters made of one stream, at one position.
#[derive(Clone, Debug)]
pub struct Made {
    /// In the order of [`Panel::names`].
    pub outlooks: Vec<Outlook>,
}

/// Discounted sums: how many scores, and of each forecaster its relative errors.
#[derive(Clone, Debug)]
struct Standing {
    scores: f64,
    errors: Vec<f64>,
}

impl Default for Panel {
    /// All that the binary has.
    fn default() -> Panel {
        Panel::new(vec![
            Box::new(Persistence),
            Box::new(ClassMedian::default()),
            Box::new(MarkovReward::default()),
            Box::new(Nearest::default()),
            Box::new(Blend::default()),
        ])
    }
}

impl Panel {
    /// These, of which there is at least one.
    pub fn new(forecasters: Vec<Box<dyn Forecaster>>) -> Panel {
        assert!(!forecasters.is_empty(), "somebody must forecast");
        let all = Standing { scores: 0.0, errors: vec![0.0; forecasters.len()] };
        Panel { forecasters, all, classes: BTreeMap::new() }
    }

    /// What they are called.
    pub fn names(&self) -> Vec<&'static str> {
        self.forecasters.iter().map(|forecaster| forecaster.name()).collect()
    }

    /// The champion's forecast.
    pub fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        self.forecasters[self.champion_of(prefix.class)].forecast(prefix)
    }

    /// The forecast of one, by its place in the order of [`Panel::names`].
    pub fn forecast_by(&self, place: usize, prefix: Prefix<'_>) -> Outlook {
        self.forecasters[place].forecast(prefix)
    }

    /// Everybody's forecast, to be scored when the stream is finished.
    pub fn forecast_all(&self, prefix: Prefix<'_>) -> Made {
        let outlooks = self.forecasters.iter().map(|forecaster| forecaster.forecast(prefix));
        Made { outlooks: outlooks.collect() }
    }

    /// Scores what was forecast of a stream that is finished now, then learns it.
    pub fn learn(&mut self, finished: Prefix<'_>, made: &[Made]) {
        let whole = finished.footprint();
        for made in made {
            let error = |outlook: &Outlook| outlook.relative_error(&whole);
            let errors: Vec<f64> = made.outlooks.iter().map(error).collect();
            self.all.score(&errors);
            if self.classes.len() < CLASSES_MAX || self.classes.contains_key(&finished.class) {
                let none = Standing { scores: 0.0, errors: vec![0.0; errors.len()] };
                self.classes.entry(finished.class).or_insert(none).score(&errors);
            }
        }
        self.forecasters.iter_mut().for_each(|forecaster| forecaster.learn(finished));
    }

    /// The place, in the order of [`Panel::names`], of the one with the least progressive error.
    pub fn champion(&self) -> usize {
        self.all.best()
    }

    /// The same for a class.
    pub fn champion_of(&self, class: u64) -> usize {
        let own = self.classes.get(&class).filter(|own| own.scores >= SCORES_MIN);
        own.unwrap_or(&self.all).best()
    }

    /// The mean progressive error of each.
    pub fn errors(&self) -> Vec<f64> {
        self.all.errors.iter().map(|error| error / self.all.scores.max(1.0)).collect()
    }
}

impl Standing {
    fn score(&mut self, errors: &[f64]) {
        self.scores = self.scores * FORGETTING + 1.0;
        for (sum, error) in self.errors.iter_mut().zip(errors) {
            *sum = *sum * FORGETTING + error;
        }
    }

    /// Of equals the last: those that learn stand after those that do not.
    fn best(&self) -> usize {
        let least = self.errors.iter().copied().fold(f64::INFINITY, f64::min);
        self.errors.iter().rposition(|error| *error <= least).unwrap_or(0)
    }
}
