//! Concurrent transactions: each is scored before its outcome is known.
//!
//! The history's events (begin, write, commit) are replayed in the order of time, and nothing is
//! known of what lies ahead: a transaction's label is learnt, and its writes heat its keys, when it
//! commits. The later half by commit order is measured; the earlier half is there to learn from.

mod history;
mod report;
mod run;

#[cfg(test)]
mod history_test;

use std::path::Path;

use crate::args::{Output, ScoreAt};
use crate::exit::Failed;
use crate::output;

use super::read;

pub(crate) fn run(file: &Path, score_at: ScoreAt, output: Output) -> anyhow::Result<()> {
    let lines: Vec<history::Line> = read::lines(file)?;
    let history = history::parse(lines)
        .map_err(|error| Failed::usage(format!("{}: {error}", file.display())))?;
    let replay = run::Replay::of(&history, score_at);
    output::object(output, &report::figures(&history, &replay))?;
    Ok(())
}
