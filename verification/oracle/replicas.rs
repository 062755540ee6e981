//! Replicas that have applied the same entries hold the same bytes.
//!
//! After every entry chain digest, state digest and replies are compared as the run goes; here the
//! states themselves are compared, byte for byte, once all have applied everything.

use super::at;
use crate::{
    violation::{Check, Violation},
    world::World,
};

pub(super) fn check(world: &World) -> Vec<Violation> {
    let mut found = Vec::new();
    for group in &world.groups {
        let first = &group.replicas[0];
        for (number, replica) in group.replicas.iter().enumerate().skip(1) {
            let same = replica.applied == first.applied
                && replica.state.map() == first.state.map()
                && replica.machine == first.machine;
            if !same {
                let detail = format!("group {}: replica {number} is not replica 0", group.id);
                found.push(at(Check::Replicas, detail));
            }
        }
    }
    found
}
