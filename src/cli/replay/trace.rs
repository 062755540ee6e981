//! Concurrent transactions: each is scored before its outcome is known.
//!
//! The history's events (begin, write, commit) are replayed in the order of time, and nothing is
//! known of what lies ahead: a transaction's label is learnt, and its writes heat its keys, when it
//! commits. The later half by commit order is measured; the earlier half is there to learn from.

mod history;
mod report;
mod run;

use std::path::Path;

use crate::args::{Output, ScoreAt};
use crate::exit::Failed;

use super::read;

pub(crate) fn run(file: &Path, score_at: ScoreAt, output: Output) -> anyhow::Result<()> {
    let lines: Vec<history::Line> = read::lines(file)?;
    let history = history::parse(lines)
        .map_err(|error| Failed::usage(format!("{}: {error}", file.display())))?;
    let replay = run::Replay::of(&history, score_at);
    // DEBUG
    for start in (0..history.len()).step_by(500) {
        let end = (start + 500).min(history.len());
        let pairs: Vec<(f64, bool)> = (start..end).map(|k| (replay.scored[k].score, history[k].conflict)).collect();
        let hot: Vec<(f64, bool)> = (start..end).map(|k| (replay.scored[k].hotness, history[k].conflict)).collect();
        let n = pairs.len() as f64;
        eprintln!("{start:6} said {:.3} rate {:.3} auc {:.3} ll {:.4} hot {:.4} ece {:.3}", pairs.iter().map(|p| p.0).sum::<f64>() / n, pairs.iter().filter(|p| p.1).count() as f64 / n,
            vatic_learn::conflict::measure::auc(&pairs), vatic_learn::conflict::measure::mean_log_loss(&pairs), vatic_learn::conflict::measure::mean_log_loss(&hot), vatic_learn::conflict::measure::ece(&pairs));
    }
    let report = report::Report::of(&history, &replay);
    println!("{}", report.text(output));
    Ok(())
}
