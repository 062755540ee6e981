//! The checks, one a file: each compares what was done and told with what the logs say.
//!
//! Some watch as the run goes (replicas, core invariants, single facts), the others judge the whole
//! history once everything has been decided. Each has a broken variant that it must catch.

pub(crate) mod agreement;
mod answers;
mod commit_order;
mod durability;
mod graph;
mod leaks;
mod money;
mod moves;
mod progress;
mod receipts;
mod replay;
mod replicas;
mod requests;
mod snapshots;
mod strict_serializability;
mod tampering;
mod tickets;
mod validation;

use crate::{
    violation::{Check, Violation},
    world::World,
};
use replay::Replay;

/// Judges a finished run. One that did not end quietly is judged only on what needs no end.
pub(crate) fn judge(world: &mut World) {
    let mut found = agreement::check(&world.history);
    found.extend(progress::check(world));
    if world.drained {
        let replay = Replay::of(&world.history, &world.swarm.limits);
        found.extend(replay.faults.iter().map(|fault| at(Check::CommitOrder, fault.clone())));
        found.extend(commit_order::check(&world.history, &replay));
        found.extend(answers::check(&world.history));
        found.extend(strict_serializability::check(&world.history, &replay));
        found.extend(snapshots::check(&world.history, &replay));
        found.extend(replicas::check(world));
        found.extend(durability::check(world, &replay));
        found.extend(leaks::check(world));
        found.extend(requests::check(&world.history));
        found.extend(tickets::check(&world.history));
        found.extend(money::check(&world.history, &replay));
        found.extend(tampering::check(&world.history));
        let moves = moves::check(world, &replay);
        found.extend(moves);
        let receipts = receipts::check(world);
        found.extend(receipts);
        let verdicts = validation::check(world);
        found.extend(verdicts);
    }
    for Violation { check, detail } in found {
        world.violate(check, detail);
    }
}

fn at(check: Check, detail: String) -> Violation {
    Violation { check, detail }
}
