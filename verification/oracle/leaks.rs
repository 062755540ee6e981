//! What is forgotten is gone: once a group has forgotten all transactions and collected all that is
//! due, it holds its configuration, its head, live records, the newest heads of its chain, what it
//! tolerates and its history, and not a row more.

use super::at;
use crate::{
    violation::{Check, Violation},
    world::World,
};
use vatic_core::command::{Command, Decision, Reply, Standing};

/// Past every time-to-live that a seed can draw.
const FAR_US: u64 = 1_000_000_000;

/// The tables that may hold rows then: configuration, head, latest versions, chain heads, what
/// is tolerated, the history and where it begins.
const KEPT: &[u8] = b"cornvwy";

pub(super) fn check(world: &World) -> Vec<Violation> {
    let mut found = Vec::new();
    for group in &world.groups {
        let mut machine = group.replicas[0].machine.clone();
        let mut state = group.replicas[0].state.clone();
        let watermark = machine.clock().plus_us(FAR_US);
        let unsettled = machine.unsettled(&state, watermark);
        let settled = unsettled.iter().map(|left| left.tid).collect();
        let rollbacks = unsettled.iter().filter_map(|left| {
            // Nobody came back to tell of the rollback that a No already means.
            let Standing::No(cause) = machine.standing(&state, left.tid) else { return None };
            let (tid, body, proofs) = (left.tid, left.body, Vec::new());
            Some(Command::Decide { tid, body, decision: Decision::RolledBack(cause), proofs })
        });
        let (horizon, items_max) = (watermark, u32::MAX);
        let commands = rollbacks.chain([
            Command::Forget { watermark, settled },
            Command::Advance { to: horizon },
            Command::Collect { horizon, items_max },
        ]);
        for command in commands.collect::<Vec<_>>() {
            let reply = machine.apply(&mut state, &command);
            if reply != Ok(Reply::Done) {
                found.push(at(Check::Leaks, format!("group {}: {reply:?}", group.id)));
            }
        }
        let left = state.map().0.keys().filter(|place| !KEPT.contains(&place[0]));
        for place in left {
            let row = String::from_utf8_lossy(place).into_owned();
            found.push(at(Check::Leaks, format!("group {} still holds {row:?}", group.id)));
        }
    }
    found
}
