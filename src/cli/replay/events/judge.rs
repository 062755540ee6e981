//! Verdicts on cases, as a home group would come to them: one tolerance, a baseline a class.

use std::collections::BTreeMap;

use vatic_core::anomaly::{Anomaly, Baseline};
use vatic_core::chain::Seal;
use vatic_core::footprint::Footprint;
use vatic_core::hash::Hash;
use vatic_core::tolerance::Tolerance;
use vatic_core::verdict::{Conditions, Forecast, Judgement, Verdict};
use vatic_learn::forecast::{Outlook, ask_at};

use super::history::Case;

/// Judges, and learns what to tolerate.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    tolerance: Tolerance,
    /// The same of cases that run.
    looks: Tolerance,
    baselines: BTreeMap<u64, Baseline>,
}

impl Judge {
    /// Holds a case against what was forecast of it.
    pub(crate) fn verdict(&self, case: &Case, outlook: &Outlook) -> Verdict {
        let stream = case.stream();
        let tolerance = self.tolerance.threshold(stream.class);
        let (actual, digest) = (stream.footprint(), case.digest());
        Verdict::judge(&outlook.fixed(), &actual, Conditions::default(), tolerance, &digest)
    }

    /// Looks at a case while it grows, as nodes do: after 2, 4, 8, ... steps what came by then is
    /// held against the way that the forecast before had it go. After how many steps, and whether
    /// it was astray.
    pub(crate) fn look_on(
        &mut self,
        case: &Case,
        forecast: impl Fn(usize) -> Forecast,
    ) -> Vec<(usize, bool)> {
        let (whole, mut looks) = (case.stream(), Vec::new());
        let mut before: Option<(Forecast, Footprint)> = None;
        for steps in (1..=case.steps.len()).filter(|steps| ask_at(*steps)) {
            let now = whole.first(steps).footprint();
            if let Some((forecast, from)) = &before {
                let count = steps as u64;
                let way = forecast.on_the_way(from, count);
                let given = (Conditions::default(), self.tolerance.threshold(whole.class));
                let seal = Seal { seed: Hash::ZERO, count, head: case.head(count) };
                let class = whole.class;
                let judged =
                    Judgement::on_the_way(&mut self.looks, class, way, given, (&now, &seal));
                looks.push((steps, !judged.verdict.valid));
            }
            before = (steps < case.steps.len()).then(|| (forecast(steps), now));
        }
        looks
    }

    /// Takes a verdict into the tolerance and the baseline of its class.
    pub(crate) fn fold(&mut self, case: &Case, verdict: &Verdict) -> (bool, Anomaly) {
        let class = case.stream().class;
        let alarm = self.tolerance.fold(class, verdict.score);
        // A distance of nothing is valid, whatever its tie drew; the alarm is what is counted.
        let invalid = alarm && verdict.distance > 0;
        debug_assert_eq!(invalid, !verdict.valid, "judged by the tolerance that it is folded into");
        (alarm, self.baselines.entry(class).or_default().fold(verdict.score))
    }

    /// How many cases were judged.
    pub(crate) fn decisions(&self) -> u64 {
        self.tolerance.decisions()
    }
}

/// After how many steps the judged forecast was made: the last at or before half of them.
pub(crate) fn judged_at(steps: usize) -> usize {
    (1..=steps / 2).rev().find(|at| ask_at(*at)).unwrap_or(1)
}
