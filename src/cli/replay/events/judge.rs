//! Verdicts on cases, as a home group would come to them: one tolerance, a baseline a class.

use std::collections::BTreeMap;

use vatic_core::anomaly::{Anomaly, Baseline};
use vatic_core::footprint::Footprint;
use vatic_core::hash::Hasher;
use vatic_core::tolerance::Tolerance;
use vatic_core::verdict::{Conditions, Forecast, Verdict};
use vatic_learn::forecast::{Outlook, ask_at};

use super::history::Case;

/// Judges, and learns what to tolerate.
#[derive(Clone, Default)]
pub(crate) struct Judge {
    tolerance: Tolerance,
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

    /// Holds what came of a case so far against the way of the forecast that was made when it was
    /// at `from`.
    pub(crate) fn on_the_way(
        &self,
        case: &Case,
        (forecast, from): (&Forecast, &Footprint),
        (now, steps): (&Footprint, usize),
    ) -> Verdict {
        let steps = steps as u64;
        let way = forecast.on_the_way(from, steps);
        let tolerance = self.tolerance.threshold(case.stream().class);
        // The chain's head is another one after each step.
        let digest = Hasher::new("case so far").bytes(case.name.as_bytes()).u64(steps).finish();
        Verdict::judge(&way, now, Conditions::default(), tolerance, &digest)
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
