//! The commit timestamps are a serial order: each committed transaction saw exactly what the
//! transactions before it had left.

use super::{at, replay::Replay};
use crate::{
    history::History,
    violation::{Check, Violation},
};
use vatic_core::id::Timestamp;

pub(super) fn check(history: &History, replay: &Replay) -> Vec<Violation> {
    let mut found = Vec::new();
    for (ts, attempt) in history.committed() {
        let before = Timestamp(ts.0 - 1);
        let tid = attempt.body.tid;
        for record in &attempt.seen.records {
            let expected = replay.at(&record.key, before);
            if *record != expected {
                let detail = format!("{tid:?} at {ts} read {record:?}, before it was {expected:?}");
                found.push(at(Check::CommitOrder, detail));
            }
        }
        for (range, records) in &attempt.seen.ranges {
            let expected = replay.range_at(range, before);
            if *records != expected {
                let detail = format!(
                    "{tid:?} at {ts} scanned {range}: {records:?}, before it was {expected:?}"
                );
                found.push(at(Check::CommitOrder, detail));
            }
        }
    }
    found
}
