//! A snapshot read is a cut: it shows every group as of the same timestamp.

use super::{at, replay::Replay};
use crate::{
    history::History,
    violation::{Check, Violation},
};

pub(super) fn check(history: &History, replay: &Replay) -> Vec<Violation> {
    let mut found = Vec::new();
    for read in &history.snapshots {
        for record in &read.seen.records {
            let expected = replay.at(&record.key, read.at);
            if *record != expected {
                let detail = format!("at {}: read {record:?}, it was {expected:?}", read.at);
                found.push(at(Check::Snapshots, detail));
            }
        }
        for (range, records) in &read.seen.ranges {
            let expected = replay.range_at(range, read.at);
            if *records != expected {
                let detail =
                    format!("at {}: {range} held {records:?}, it was {expected:?}", read.at);
                found.push(at(Check::Snapshots, detail));
            }
        }
    }
    found
}
