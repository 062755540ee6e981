//! Concurrent transactions: each is scored before its outcome is known.

use std::path::Path;

use crate::args::{Output, ScoreAt};

pub(crate) fn run(file: &Path, score_at: ScoreAt, output: Output) -> anyhow::Result<()> {
    unimplemented!("{file:?} {score_at:?} {output:?}")
}
