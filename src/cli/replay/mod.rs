//! `vatic replay`: a recorded history through the server's own learning parts.
//!
//! No server is involved: the history's clock drives them.

mod events;
mod read;
mod trace;

use crate::args::{Output, ReplayArgs};

/// Replays whichever history was given.
pub(crate) fn run(args: &ReplayArgs, output: Output) -> anyhow::Result<()> {
    if let Some(file) = &args.trace {
        trace::run(file, args.score_at, output)?;
    }
    if let Some(file) = &args.events {
        events::run(file, output)?;
    }
    Ok(())
}
