//! The transactions of a history, and its events in the order of time.

use serde::Deserialize;
use serde_json::Value as Json;
use vatic_core::conflict::{Touch, fixed};

/// A transaction as the file has it; more fields are let be.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    begin: f64,
    write: f64,
    commit: f64,
    user: Json,
    writes: Vec<String>,
    conflict: bool,
}

/// A transaction. Invariant: `begin_us <= write_us <= commit_us`.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) begin_us: u64,
    pub(super) write_us: u64,
    pub(super) commit_us: u64,
    pub(super) user: u64,
    pub(super) touches: Vec<Touch>,
    pub(super) conflict: bool,
}

/// What happens at a moment, by the transaction's place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    Begin(usize),
    Write(usize),
    Commit(usize),
}

/// Parses all lines; the error names the line, counted from 1 without empty ones.
pub(super) fn parse(lines: Vec<Line>) -> Result<Vec<Transaction>, String> {
    let mut history = Vec::with_capacity(lines.len());
    for (number, line) in lines.into_iter().enumerate() {
        let parsed = transaction(line);
        history.push(parsed.map_err(|what| format!("transaction {}: {what}", number + 1))?);
    }
    history.sort_by_key(|transaction| transaction.commit_us);
    Ok(history)
}

/// The events in the order in which they become known. At one moment commits come before begins;
/// but nothing commits before it has begun and written.
pub(super) fn events(history: &[Transaction]) -> Vec<(u64, Event)> {
    let mut events = Vec::with_capacity(3 * history.len());
    for (at, transaction) in history.iter().enumerate() {
        let Transaction { begin_us, write_us, commit_us, .. } = *transaction;
        let rank = if write_us < commit_us { 0 } else { 3 };
        events.push((begin_us, 1, at, Event::Begin(at)));
        events.push((write_us, 2, at, Event::Write(at)));
        events.push((commit_us, rank, at, Event::Commit(at)));
    }
    events.sort_unstable();
    events.into_iter().map(|(at_us, _, _, event)| (at_us, event)).collect()
}

fn transaction(line: Line) -> Result<Transaction, String> {
    let begin_us = microseconds("begin", line.begin)?;
    let write_us = microseconds("write", line.write)?;
    let commit_us = microseconds("commit", line.commit)?;
    if begin_us > commit_us {
        return Err(format!("begin {} is after commit {}", line.begin, line.commit));
    }
    Ok(Transaction {
        begin_us,
        // The clock of whoever wrote it may differ from that of the history.
        write_us: write_us.clamp(begin_us, commit_us),
        commit_us,
        user: fixed::name_id(line.user.to_string().as_bytes()),
        touches: line.writes.iter().map(|path| touch(path)).collect(),
        conflict: line.conflict,
    })
}

/// A path is a record; its directory is the area, which a store would call a partition.
fn touch(path: &str) -> Touch {
    let area = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    Touch::of_names(path, area, path)
}

fn microseconds(what: &str, seconds: f64) -> Result<u64, String> {
    // Beyond this, microseconds since 1970 do not fit.
    let sound = (0.0..=9e12).contains(&seconds);
    if sound { Ok((seconds * 1e6).round() as u64) } else { Err(format!("{what} is {seconds}")) }
}
