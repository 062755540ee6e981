//! Verdicts on sealed streams: one tolerance for all classes, which learns from each.

use super::{anomalies::Found, classes::Classes, kinds::Kind, walk::Ended};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use vatic_core::{
    anomaly::residuals,
    expected::{CELL_ONE, Score},
    footprint::Token,
    tolerance::Tolerance,
    verdict::{Conditions, Verdict},
};
use vatic_learn::forecast::{Outlook, Symbol, ask_at};

/// Names of steps that strange streams lack may be among so many; one more, and all are forgotten.
const NAMES_MAX: usize = 4_096;
/// Tokens that are told of a strange stream.
const STRAYS_MAX: usize = 3;

/// A verdict as clients are told it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    pub(crate) verdict: Verdict,
    /// How many transitions were expected, and how many came.
    pub(crate) expected: u64,
    pub(crate) actual: u64,
    pub(crate) forecaster: &'static str,
}

/// Judges, and learns what to tolerate.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    tolerance: Tolerance,
    names: HashMap<Symbol, Arc<Kind>>,
}

impl Judge {
    /// Holds a stream against what was forecast of it, and finds what is strange about it where it
    /// strayed too far.
    pub(crate) fn judge(
        &mut self,
        classes: &mut Classes,
        ended: &Ended,
        outlook: &Outlook,
        forecaster: &'static str,
    ) -> (Judged, Option<Found>) {
        let (forecast, actual) = (outlook.fixed(), ended.whole().footprint());
        // Round trips and missing partials are not measured for streams.
        let conditions = Conditions { in_flight: ended.in_flight, ..Conditions::default() };
        let tolerance = self.tolerance.threshold(ended.class);
        let verdict = Verdict::judge(&forecast, &actual, conditions, tolerance, &ended.head);
        let alarm = self.tolerance.fold(ended.class, verdict.score);
        debug_assert_eq!(alarm, !verdict.valid, "judged by the tolerance that it is folded into");
        let anomaly = classes.of(ended.class).baseline.fold(verdict.score);
        let (expected, count) = (forecast.count, ended.steps.len() as u64);
        let judged = Judged { verdict, expected, actual: count, forecaster };
        let found = (!verdict.valid).then(|| {
            let tokens = self.tokens(ended, outlook);
            let asked: Vec<Token> = tokens.keys().copied().collect();
            let names: Vec<&String> = tokens.values().collect();
            let strays = residuals(&forecast.footprint, &actual, &asked, STRAYS_MAX);
            let strays = strays.into_iter().map(|residual| {
                let more = residual.more as f64 / f64::from(CELL_ONE);
                (names[residual.at].clone(), more)
            });
            let (tid, class, strays) = (ended.tid, ended.class_name(), strays.collect());
            Found { tid, class, judged, anomaly, strays }
        });
        (judged, found)
    }

    /// Remembers what a stream's steps are called: others may lack them.
    pub(crate) fn name(&mut self, ended: &Ended) {
        for (symbol, kind) in &ended.kinds {
            if self.names.len() >= NAMES_MAX && !self.names.contains_key(symbol) {
                self.names.clear();
            }
            self.names.entry(*symbol).or_insert_with(|| kind.clone());
        }
    }

    /// What a stream has, and what was expected of it, as far as it has a name.
    fn tokens(&self, ended: &Ended, outlook: &Outlook) -> BTreeMap<Token, String> {
        let expected = outlook.steps.keys().filter_map(|symbol| self.names.get(symbol));
        let kinds = ended.kinds.values().chain(expected);
        kinds
            .flat_map(|kind| kind.tokens.iter().map(|(name, token)| (*token, name.clone())))
            .collect()
    }
}

/// After how many steps the judged forecast was made: the last at or before half of them.
pub(crate) fn judged_at(steps: usize) -> usize {
    (1..=steps / 2).rev().find(|at| ask_at(*at)).unwrap_or(1)
}

/// A tolerance as clients are told it: none while everything is tolerated.
pub(crate) fn told(tolerance: Score) -> Option<Score> {
    Some(tolerance).filter(|tolerance| *tolerance < Score::MAX)
}
