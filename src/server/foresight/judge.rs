//! Verdicts on sealed streams: which forecast is judged, and what is strange about those that
//! strayed too far.

use super::{anomalies::Found, classes::ByClass, kinds::Kind, learner::Judged, walk::Ended};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use vatic_core::{
    anomaly::{Anomaly, Baseline, residuals},
    expected::{CELL_ONE, Score},
    footprint::Token,
    verdict::Judgement,
};
use vatic_learn::forecast::{Outlook, Symbol};

/// Names of steps that strange streams lack may be among so many; one more, and all are forgotten.
const NAMES_MAX: usize = 4_096;
/// Tokens that are told of a strange stream.
const STRAYS_MAX: usize = 3;
/// The class of a stream whose steps were not kept, as people are told it.
const TOO_LONG: &str = "(too long, or of too many kinds)";

/// Finds what is strange.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    names: HashMap<Symbol, Arc<Kind>>,
    /// Scores of each class's last streams here.
    baselines: ByClass<Baseline>,
}

impl Judge {
    /// Counts a judged stream's score among its class's, and finds what is strange about it where
    /// it strayed too far.
    pub(crate) fn look(&mut self, judged: &Judged) -> Option<Found> {
        let judgement = &judged.judgement;
        let anomaly = self.baselines.of(judgement.class).fold(judgement.verdict.score);
        (!judgement.verdict.valid).then(|| self.found(judged, anomaly, false))
    }

    /// Finds what is strange about a stream that still runs: its score is of a part, and no measure
    /// of others.
    pub(crate) fn look_at_running(&mut self, judged: &Judged) -> Found {
        let judgement = &judged.judgement;
        let anomaly = self.baselines.of(judgement.class).weigh(judgement.verdict.score);
        self.found(judged, anomaly, true)
    }

    fn found(&self, judged: &Judged, anomaly: Anomaly, running: bool) -> Found {
        let Judged { tid, ended, told, judgement, quarantined } = judged;
        let (tid, quarantined) = (*tid, *quarantined);
        let judgement = Judgement::clone(judgement);
        let Some(ended) = ended else {
            let (class, strays) = (TOO_LONG.into(), Vec::new());
            return Found { tid, class, judgement, anomaly, strays, quarantined, running };
        };
        let tokens = self.tokens(ended, &told.outlook);
        let asked: Vec<Token> = tokens.keys().copied().collect();
        let names: Vec<&String> = tokens.values().collect();
        let (forecast, actual) = (&judgement.forecast, ended.whole().footprint());
        let strays = residuals(&forecast.footprint, &actual, &asked, STRAYS_MAX);
        let strays = strays.into_iter().map(|residual| {
            let more = residual.more as f64 / f64::from(CELL_ONE);
            (names[residual.at].clone(), more)
        });
        let (class, strays) = (ended.class_name(), strays.collect());
        Found { tid, class, judgement, anomaly, strays, quarantined, running }
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

/// After how many steps at most the judged forecast was made: half of them, or the first.
pub(crate) fn judged_by(steps: usize) -> usize {
    (steps / 2).max(1)
}

/// A tolerance as clients are told it: none while everything is tolerated.
pub(crate) fn told(tolerance: Score) -> Option<Score> {
    Some(tolerance).filter(|tolerance| *tolerance < Score::MAX)
}
