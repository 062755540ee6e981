//! How often a running case would be said to stray: after 2, 4, 8, ... steps what came by then is
//! held against the way that the forecast before had it go, as nodes do with running streams. All
//! is tolerated that is tolerated of finished ones at that time. Nothing was tampered with, so that
//! whatever strays is a false alarm.

use std::collections::BTreeMap;

use vatic_learn::forecast::ask_at;

use super::history::Case;
use super::judge::Judge;
use super::study::Study;

/// What came of the test cases.
#[derive(Default)]
pub(crate) struct Looks {
    /// Whether each look found a case astray, by how many steps had come.
    pub(crate) by_steps: BTreeMap<usize, Vec<bool>>,
    /// Of each case, whether any look did.
    pub(crate) cases: Vec<bool>,
}

impl Looks {
    /// Looks at a case while it grows, learning stopped.
    pub(crate) fn follow(&mut self, case: &Case, judge: &Judge, study: &Study) {
        let mut before = None;
        let mut strayed = false;
        for steps in (1..=case.steps.len()).filter(|steps| ask_at(*steps)) {
            let prefix = case.stream().first(steps);
            let now = prefix.footprint();
            let forecast = study.panel.forecast_by(study.champion, prefix).fixed();
            if let Some((forecast, from)) = before.replace((forecast, now.clone())) {
                let strays = !judge.on_the_way(case, (&forecast, &from), (&now, steps)).valid;
                self.by_steps.entry(steps).or_default().push(strays);
                strayed |= strays;
            }
        }
        self.cases.push(strayed);
    }

    /// All looks, in no order that means anything.
    pub(crate) fn all(&self) -> Vec<bool> {
        self.by_steps.values().flatten().copied().collect()
    }
}
