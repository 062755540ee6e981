//! How often the tolerance is exceeded, and by what.

use std::collections::BTreeMap;

use vatic_core::anomaly::{Anomaly, residuals};
use vatic_core::footprint::Token;
use vatic_core::verdict::Verdict;
use vatic_learn::forecast::{Outlook, Symbol};

use super::history::{Case, History};
use super::judge::judged_at;
use super::looks::Looks;
use super::study::Study;

/// Decisions in a window.
const WINDOW: usize = 500;
/// Cases that are shown with what is strange about them.
const SHOWN: usize = 5;

/// What came of the test cases.
#[derive(Default)]
pub(crate) struct Alarms {
    /// Decisions of the training that the tolerance had seen.
    pub(crate) before: u64,
    pub(crate) decided: Vec<bool>,
    /// The most unusual, most unusual first.
    pub(crate) strangest: Vec<Strange>,
    /// Decisions while scores were said to drift.
    pub(crate) drifting: usize,
    /// What came of the cases while they ran.
    pub(crate) looks: Looks,
}

/// A case that was not as forecast.
pub(crate) struct Strange {
    pub(crate) case: String,
    pub(crate) verdict: Verdict,
    pub(crate) anomaly: Anomaly,
    /// Step and how many more of it there were than expected.
    pub(crate) more: Vec<(String, f64)>,
}

/// Judges the test cases in order, by the champion, with learning stopped: the tolerance, which
/// alone goes on, is a copy.
pub(crate) fn fixed(history: &History, study: &Study) -> Alarms {
    let mut judge = study.judge.clone();
    let mut alarms = Alarms { before: judge.decisions(), ..Alarms::default() };
    for (_, case) in history.test() {
        let made_at =
            |steps| study.panel.forecast_by(study.champion, case.stream().first(steps)).fixed();
        alarms.looks.count(&judge.look_on(case, made_at));
        let prefix = case.stream().first(judged_at(case.steps.len()));
        let outlook = study.panel.forecast_by(study.champion, prefix);
        let verdict = judge.verdict(case, &outlook);
        let (alarm, anomaly) = judge.fold(case, &verdict);
        alarms.decided.push(alarm);
        alarms.drifting += usize::from(anomaly.drifting());
        let more = more(history, case, &outlook);
        alarms.strangest.push(Strange { case: case.name.clone(), verdict, anomaly, more });
        alarms.strangest.sort_by_key(|strange| std::cmp::Reverse(strange.verdict.score));
        alarms.strangest.truncate(SHOWN);
    }
    alarms
}

/// The share of alarms.
pub(crate) fn rate(decided: &[bool]) -> f64 {
    decided.iter().filter(|alarm| **alarm).count() as f64 / decided.len().max(1) as f64
}

/// The lowest and the highest rate in a window of consecutive decisions.
pub(crate) fn worst_window(decided: &[bool]) -> [f64; 2] {
    let rates = decided.windows(WINDOW.min(decided.len().max(1))).map(rate);
    rates.fold([f64::INFINITY, 0.0], |[low, high], rate| [low.min(rate), high.max(rate)])
}

/// The share of windows whose rate is within half of `alpha`.
pub(crate) fn windows_within_half(decided: &[bool], alpha: f64) -> f64 {
    let windows = decided.windows(WINDOW.min(decided.len().max(1)));
    let within: Vec<bool> =
        windows.map(|window| (rate(window) - alpha).abs() <= alpha / 2.0 + 1e-9).collect();
    rate(&within)
}

/// The steps with the largest residual.
fn more(history: &History, case: &Case, outlook: &Outlook) -> Vec<(String, f64)> {
    let mut asked: BTreeMap<Symbol, u32> = case.stream().counts();
    asked.extend(outlook.steps.iter());
    let symbols: Vec<Symbol> = asked.into_keys().collect();
    let tokens: Vec<Token> = symbols.iter().map(|symbol| history.token(*symbol)).collect();
    let found = residuals(&outlook.fixed().footprint, &case.stream().footprint(), &tokens, 3);
    let words = found.iter().map(|residual| {
        let name = history.names[symbols[residual.at].0 as usize].clone();
        (name, residual.more as f64 / f64::from(vatic_core::expected::CELL_ONE))
    });
    words.collect()
}
