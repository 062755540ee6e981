//! States merged that no step and no property can tell apart, where a scenario asks for it.
//!
//! **A coordinator that knows its body and rolls back is as good as stopped** once it has decided.
//! By then it has answered whoever waits and has sent its decision to every participant, and all
//! that it sent stays on its way. What it hears from then on changes what it remembers of the
//! participants, and nothing that it does: it never decides again, it would send the same decision
//! to those that have not applied it, which is on its way, and of a rollback it does not report
//! that all have applied it. No property reads what it remembers (of witnesses one does, that a
//! recoverer rolls back, so reduced scenarios do without it). But there are many ways to
//! remember, and each would be followed beside all that others still do: without this three
//! attempts do not close.
//!
//! One that does not know its body may have to tell groups different things, and one that commits
//! reports when all have applied it, so these two stay.
//!
//! That this is so is also seen, not only argued: in `reduce_test.rs` all states of scenarios that
//! close without it are visited, those that stand for them are exactly those that the reduced model
//! reaches, and that one catches the mutants that the whole one does.

use crate::commit::world::{Slot, World};
use vatic_core::command::Decision;

/// Replaces a state by the one that stands for it.
pub(crate) fn reduce(world: &mut World) {
    if world.is_broken() {
        return;
    }
    for slot in &mut world.machines {
        let Some(machine) = slot.machine() else { continue };
        let coordinator = &machine.coordinator;
        let rolls_back = matches!(coordinator.decision(), Some(Decision::RolledBack(_)));
        if rolls_back && coordinator.body().is_some() {
            *slot = Slot::Stopped;
        }
    }
}
