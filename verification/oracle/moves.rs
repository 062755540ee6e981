//! What was moved onto newer versions of records is in the way of none of the changes there.

use super::{at, replay::Replay};
use crate::{
    probe::Probe,
    violation::{Check, Violation},
    world::{World, operations_on},
};
use vatic_core::{id::Timestamp, resolution::rebases};

pub(super) fn check(world: &mut World, replay: &Replay) -> Vec<Violation> {
    let (mut found, mut moves) = (Vec::new(), 0);
    for (ts, attempt) in world.history.committed() {
        for read in &attempt.moved {
            let newer = replay.at(&read.key, Timestamp(ts.0 - 1));
            if newer.version == read.version {
                continue;
            }
            moves += 1;
            let operations = operations_on(&read.key, &attempt.deltas);
            let (older, newer) = (read.fields.as_ref(), newer.fields.as_ref());
            if !rebases(&operations, older, newer) {
                let detail = format!(
                    "{:?} at {ts} made {operations:?} of {older:?}, which was {newer:?}",
                    attempt.body.tid
                );
                found.push(at(Check::CommitOrder, detail));
            }
        }
    }
    (0..moves).for_each(|_| world.probes.hit(Probe::Moved));
    found
}
