//! What was committed is there in the end, and nothing else is.

use super::{at, replay::Replay};
use crate::{
    violation::{Check, Violation},
    world::World,
};
use vatic_core::{
    id::Timestamp,
    key::{Key, KeyRange},
};

const EVERYTHING: usize = usize::MAX;

pub(super) fn check(world: &World, replay: &Replay) -> Vec<Violation> {
    let mut found = Vec::new();
    for key in replay.chains.keys() {
        let expected = replay.at(key, Timestamp(u64::MAX));
        let (record, _) = world.final_record(key);
        if record != expected {
            let detail = format!("{key} is {record:?} in the end, committed was {expected:?}");
            found.push(at(Check::Durability, detail));
        }
    }
    for range in partitions(replay) {
        let expected = replay.range_at(&range, Timestamp(u64::MAX));
        let records = world.final_range(&range, EVERYTHING).records;
        if records != expected {
            let detail =
                format!("{range} holds {records:?} in the end, committed was {expected:?}");
            found.push(at(Check::Durability, detail));
        }
    }
    found
}

/// Every partition that anything was written to.
fn partitions(replay: &Replay) -> Vec<KeyRange> {
    let whole = |key: &Key| KeyRange::partition(&key.collection, &key.partition);
    let mut ranges: Vec<KeyRange> = replay.chains.keys().map(whole).collect();
    ranges.dedup();
    ranges
}
