//! After healing, everything is decided: no operation hangs, no vote stays undecided.

use super::at;
use crate::{
    violation::{Check, Violation},
    world::World,
};

pub(super) fn check(world: &World) -> Vec<Violation> {
    if world.halted {
        return Vec::new();
    }
    if !world.drained {
        return vec![at(Check::Progress, world.what_is_left())];
    }
    let undecided = world
        .history
        .facts
        .iter()
        .filter(|(_, fact)| fact.yes.is_some() && fact.decision.is_none());
    undecided
        .map(|((tid, group), _)| {
            at(Check::Progress, format!("{tid:?} voted Yes in group {group} and was never decided"))
        })
        .collect()
}
