//! Streams of steps: each is forecast from its prefix, and its end held against the forecast.
//!
//! The first 70 % of the cases, by their start, train; the rest test. In training each case is
//! forecast after steps 1, 2, 4, 8, ..., the forecasts are scored with its end, and only then is it
//! learnt. All that is chosen (champion, experts, thresholds) is chosen there. Then learning stops
//! for the figures of the test; the tolerance alone goes on, since each of its decisions precedes
//! what it learns from it. Beside them stands `online`: the same test once more with learning left
//! on, by the history's clock, as a server would: a case is learnt when it has ended.

mod alarms;
mod errors;
mod history;
mod injected;
mod judge;
mod looks;
#[cfg(test)]
mod replay_test;
mod report;
mod study;

use std::path::Path;

use serde_json::Value as Json;

use crate::args::Output;
use history::History;
use study::Study;

pub(crate) fn run(file: &Path, output: Output) -> anyhow::Result<()> {
    report::print(output, &measure(file)?)
}

/// All figures of a history.
fn measure(file: &Path) -> anyhow::Result<Json> {
    let history = History::read(file)?;
    let mut study = Study::train(&history);
    let fixed = errors::fixed(&history, &study);
    let injected = injected::detection(&history, &study);
    let alarms = alarms::fixed(&history, &study);
    let online = study.go_on(&history);
    let found = report::Found { fixed, injected, alarms, online };
    Ok(report::document(&history, &study, &found))
}

/// Where prefixes are cut, in quarters of a case.
const QUARTERS: [usize; 3] = [1, 2, 3];

/// How many steps are seen: at least one.
fn cut(steps: usize, quarters: usize) -> usize {
    (steps * quarters / 4).max(1)
}
