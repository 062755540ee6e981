//! How far forecasts are off, and how often they are exact.

use vatic_core::footprint::Footprint;
use vatic_learn::forecast::{Made, Outlook};

use super::history::{Case, History};
use super::study::Study;
use super::{QUARTERS, cut};

/// Of each forecaster, at each cut.
pub(crate) struct Errors {
    /// Mean relative L2 error of the footprint.
    pub(crate) relative: Vec<[f64; QUARTERS.len()]>,
    /// Share of cases whose steps were forecast exactly, each with its number.
    pub(crate) exact: Vec<[f64; QUARTERS.len()]>,
}

/// Sums on the way to [`Errors`].
pub(crate) struct Scored {
    sums: Errors,
    cases: [f64; QUARTERS.len()],
}

/// The errors on the test cases by what was learnt from the training cases alone.
pub(crate) fn fixed(history: &History, study: &Study) -> Errors {
    let mut scored = Scored::new(study.panel.names().len());
    for (_, case) in history.test() {
        for quarters in QUARTERS {
            let prefix = case.stream().first(cut(case.steps.len(), quarters));
            scored.add(quarters, &study.panel.forecast_all(prefix), case);
        }
    }
    scored.means()
}

impl Scored {
    pub(crate) fn new(forecasters: usize) -> Scored {
        let none = || vec![[0.0; QUARTERS.len()]; forecasters];
        Scored { sums: Errors { relative: none(), exact: none() }, cases: Default::default() }
    }

    pub(crate) fn add(&mut self, quarters: usize, made: &Made, case: &Case) {
        let actual: Footprint = case.stream().footprint();
        let counts = case.stream().counts();
        let is_exact = |outlook: &Outlook| outlook.steps == counts;
        self.cases[quarters - 1] += 1.0;
        for (at, outlook) in made.outlooks.iter().enumerate() {
            self.sums.relative[at][quarters - 1] += outlook.relative_error(&actual);
            self.sums.exact[at][quarters - 1] += f64::from(u8::from(is_exact(outlook)));
        }
    }

    pub(crate) fn means(mut self) -> Errors {
        for sums in self.sums.relative.iter_mut().chain(&mut self.sums.exact) {
            sums.iter_mut().zip(self.cases).for_each(|(sum, cases)| *sum /= cases.max(1.0));
        }
        self.sums
    }
}
