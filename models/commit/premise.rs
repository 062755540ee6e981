//! What the properties are about, each: see [`crate::premise`].

use crate::{
    commit::{
        model::Spine,
        plan::Plan,
        property::{
            ACKNOWLEDGED, AGREEMENT, CUTS, DOOMED, FINAL, FIRST, FOLDED, FORESEEN, FREED, ONCE,
            STRICT, committed_at, folds_due, snapshot_of, stopped_plans, strict_history, verdict,
            writes,
        },
        serial::{KeyId, Op},
        world::{Outcome, ReadEnd, World},
    },
    premise::Premise,
};

/// Those of all scenarios; that the core's invariants hold is asked of every state.
pub const PREMISES: &[Premise<Spine>] = &[
    Premise {
        of: AGREEMENT,
        name: "an outcome is known in two places",
        occurs: |_, world| {
            let mut plans = world.log.decided.iter().zip(&world.log.outcomes);
            plans.any(|(decided, outcome)| {
                let told = outcome.and_then(verdict);
                decided.iter().flatten().copied().chain(told).count() > 1
            })
        },
    },
    Premise {
        of: ACKNOWLEDGED,
        name: "a commit is acknowledged",
        occurs: |_, world| {
            let mut outcomes = world.log.outcomes.iter();
            outcomes.any(|outcome| matches!(outcome, Some(Outcome::Committed(_))))
        },
    },
    Premise {
        of: FINAL,
        name: "a rollback is acknowledged",
        occurs: |_, world| {
            let mut outcomes = world.log.outcomes.iter();
            outcomes
                .any(|outcome| matches!(outcome, Some(Outcome::RolledBack(_) | Outcome::Refused)))
        },
    },
    Premise {
        of: STRICT,
        name: "somebody is told who has read what another one writes",
        occurs: told_of_others,
    },
    Premise {
        of: ONCE,
        name: "nothing is undecided after a commit",
        occurs: |_, world| {
            committed_at(world).next().is_some() && world.sites.iter().all(|site| site.is_quiet())
        },
    },
    Premise {
        of: CUTS,
        name: "a snapshot is answered",
        occurs: |spine, world| {
            let mut readers = world.readers.iter().zip(&spine.scenario.readers);
            readers.any(|(reader, plan)| {
                plan.is_snapshot() && matches!(reader.end, Some(ReadEnd::Answered(_)))
            })
        },
    },
    Premise {
        of: FORESEEN,
        name: "what strays or is not judged is decided where forecasts are enforced",
        occurs: |spine, world| {
            stopped_plans(spine).any(|plan| {
                let decided = world.log.decided[plan].iter().any(Option::is_some);
                decided || world.log.outcomes[plan].is_some()
            })
        },
    },
    Premise {
        of: FOLDED,
        name: "what was judged is decided at home",
        occurs: |spine, world| {
            (0..world.sites.len()).any(|at| folds_due(spine, world, at).next().is_some())
        },
    },
    Premise {
        of: FIRST,
        name: "two commit that write one record, one of them since a snapshot",
        occurs: |spine, world| {
            committed_at(world).any(|(plan, _)| {
                let mut keys = 0..spine.scenario.keys.len();
                let shared = |key| {
                    let mut others = committed_at(world).filter(|&(other, _)| other != plan);
                    writes(spine, plan, key) && others.any(|(other, _)| writes(spine, other, key))
                };
                snapshot_of(world, plan).is_some() && keys.any(shared)
            })
        },
    },
    Premise { of: DOOMED, name: "a gateway ends a stream", occurs: |_, world| world.log.stopped },
    Premise {
        of: FREED,
        name: "what stages is decided",
        occurs: |spine, world| {
            let mut plans = spine.scenario.plans.iter().zip(&world.log.decided);
            plans.any(|(plan, decided)| plan.staged && decided.iter().any(Option::is_some))
        },
    },
];

fn told_of_others(spine: &Spine, world: &World) -> bool {
    let reads = |plan: &Plan| !plan.reads.is_empty() || plan.claim.is_some();
    // Asked of every state for as long as it has not occurred, so the plans are asked first.
    if spine.scenario.readers.is_empty() && !spine.scenario.plans.iter().any(reads) {
        return false;
    }
    let ops = strict_history(spine, world);
    let writes = |op: &Op, key: KeyId| op.writes.iter().any(|(written, _)| *written == key);
    let others =
        |at: usize, key| ops.iter().enumerate().any(|(other, op)| other != at && writes(op, key));
    let mut told = ops.iter().enumerate().filter(|(_, op)| op.required);
    told.any(|(at, op)| op.reads.iter().any(|&(key, _)| others(at, key)))
}
