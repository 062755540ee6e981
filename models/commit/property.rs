//! What must hold in every state.

use crate::commit::{
    client::{Sealed, place_of},
    model::Spine,
    plan::{Judged, Plan, ReaderKind, Scenario},
    serial::{KeyId, Op, Write, explains},
    world::{Client, Outcome, ReadEnd, Verdict, World},
};
use stateright::Property;
use vatic_core::{
    command::{Decision, Standing},
    id::Timestamp,
    tolerance::{self, Tolerance},
};

/// No group commits what another rolled back, nobody is told otherwise, and no group halts.
pub const AGREEMENT: &str = "all agree on every outcome";
/// Who is told of a commit can rely on it.
pub const ACKNOWLEDGED: &str = "an acknowledged commit is committed";
/// Who is told of a rollback can rely on it.
pub const FINAL: &str = "an acknowledged rollback never commits";
/// What clients see is explained by one order that respects real time.
pub const STRICT: &str = "clients see a strictly serializable history";
/// Where nothing is undecided, the records are what that order leaves: nothing is applied twice,
/// in part, or lost.
pub const ONCE: &str = "every commit is applied exactly once";
/// A snapshot shows exactly the commits up to its time, and the order of commit times is a serial
/// order.
pub const CUTS: &str = "snapshots are consistent cuts";
/// What was judged and is not as was foreseen, or could not be judged and should have been, commits
/// nowhere, if a group that it writes in enforces that, whatever its gateway says of the judgement.
pub const FORESEEN: &str = "only what was foreseen is committed where that is enforced";
/// What a home group tolerates is learnt from each of its decided transactions, once. These are of
/// one class, and too few for a score to be held against another: so it does not matter in which
/// order they were decided.
pub const FOLDED: &str = "each score is folded once, at home, with the decision";
/// Nobody is stopped who could have gone on: whose reads hold, or who does not rest on them.
pub const DOOMED: &str = "a gateway ends no stream whose reads still hold";
/// What waits for a vote goes with it, also where it comes late.
pub const FREED: &str = "nothing is staged for what has been voted on";
/// Of two that write one record since one snapshot, one commits.
pub const FIRST: &str = "the first committer since a snapshot wins";
/// The core's own invariants and assertions hold, and groups reopen as they were.
pub const INVARIANTS: &str = "the core's invariants hold";

/// To be violated, or the others could hold because nothing ever happens.
pub const NOTHING: &str = "no transaction is ever acknowledged as committed";

/// The properties that every scenario has.
pub fn always() -> Vec<Property<Spine>> {
    vec![
        Property::always(NOTHING, |spine: &Spine, world: &World| {
            let committed =
                |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::Committed(_)));
            !world.log.outcomes.iter().any(committed) || spine.noted_a_commit()
        }),
        Property::always(AGREEMENT, |_, world| agreement(world)),
        Property::always(ACKNOWLEDGED, |_, world| acknowledged(world)),
        Property::always(FINAL, |_, world| rollbacks_are_final(world)),
        Property::always(STRICT, |spine, world| {
            explains(&strict_history(spine, world), spine.scenario.keys.len())
        }),
        Property::always(ONCE, applied_once),
        Property::always(CUTS, snapshots_are_cuts),
        Property::always(FORESEEN, what_strays_is_stopped),
        Property::always(FOLDED, scores_are_folded_once),
        Property::always(FIRST, first_committer_wins),
        Property::always(DOOMED, |_, world: &World| !world.log.rash),
        Property::always(FREED, |_, world: &World| world.sites.iter().all(|site| site.is_freed())),
        Property::always(INVARIANTS, |_, world: &World| {
            let sites = world.sites.iter().all(|site| !site.is_broken_inside());
            sites && !world.has_broken_machine()
        }),
    ]
}

/// The plans that stray, or are not judged, where forecasts are enforced.
pub(super) fn stopped_plans(spine: &Spine) -> impl Iterator<Item = usize> {
    let Scenario { plans, enforces, .. } = &spine.scenario;
    let stopped = |plan: &Plan| {
        let refused = plan.judged.is_some_and(Judged::is_refused);
        refused && plan.writes.iter().any(|(key, _)| enforces.contains(&spine.atlas.place(*key)))
    };
    let plans = plans.iter().enumerate().filter(move |(_, plan)| stopped(plan));
    plans.map(|(plan, _)| plan)
}

fn what_strays_is_stopped(spine: &Spine, world: &World) -> bool {
    stopped_plans(spine).all(|plan| {
        let acknowledged = world.log.outcomes[plan].and_then(verdict);
        let known = world.log.decided[plan].iter().flatten().copied().chain(acknowledged);
        known.into_iter().all(|outcome| outcome == Verdict::RolledBack)
    })
}

/// Whose scores a group has to have folded by now, in the order of their plans.
pub(super) fn folds_due<'w>(
    spine: &'w Spine,
    world: &'w World,
    at: usize,
) -> impl Iterator<Item = &'w Client> {
    let site = &world.sites[at];
    let home = move |sealed: &Sealed| place_of(sealed.tid().home) == at;
    // Where a rollback came before any vote, nobody told the group how it was judged.
    let known = move |client: &Client| {
        let tid = client.sealed.as_deref().map(Sealed::tid);
        tid.is_some_and(|tid| site.group.outcome(&site.state, tid).finding.judgement().is_some())
    };
    let plans = spine.scenario.plans.iter().zip(&world.clients).enumerate();
    let judged = plans.filter(move |(_, (plan, client))| {
        plan.judged.is_some() && client.sealed.as_deref().is_some_and(home)
    });
    let decided = move |plan: usize| world.log.decided[plan][at].is_some();
    let due = judged.filter(move |(plan, (_, client))| decided(*plan) && known(client));
    due.map(|(_, (_, client))| &**client)
}

fn scores_are_folded_once(spine: &Spine, world: &World) -> bool {
    world.sites.iter().enumerate().all(|(at, site)| {
        let mut wanted = Tolerance::default();
        for client in folds_due(spine, world, at) {
            let sealed = client.sealed.as_deref();
            let judgement = sealed.and_then(|it| it.body.finding.judgement());
            judgement.into_iter().for_each(|it| {
                wanted.fold(it.class, it.verdict.score);
            });
        }
        tolerance::of_group(&site.state) == wanted
    })
}

/// Whether a plan writes a record.
pub(super) fn writes(spine: &Spine, plan: usize, key: KeyId) -> bool {
    spine.scenario.plans[plan].writes.iter().any(|(written, _)| *written == key)
}

/// The snapshot that a sealed plan rests on, if it does on one.
pub(super) fn snapshot_of(world: &World, plan: usize) -> Option<Timestamp> {
    world.clients[plan].sealed.as_ref()?.body.basis.snapshot()
}

fn first_committer_wins(spine: &Spine, world: &World) -> bool {
    committed_at(world).all(|(plan, ts)| {
        snapshot_of(world, plan).is_none_or(|at| {
            let mut between = committed_at(world).filter(|&(_, other)| at < other && other < ts);
            let both = |other: usize, key| writes(spine, plan, key) && writes(spine, other, key);
            let keys = 0..spine.scenario.keys.len();
            between.all(|(other, _)| !keys.clone().any(|key| both(other, key)))
        })
    })
}

fn agreement(world: &World) -> bool {
    let halted = world.sites.iter().any(|site| site.is_halted());
    let log = &world.log;
    let agrees = log.decided.iter().zip(&log.outcomes).all(|(decided, outcome)| {
        let mut known = decided.iter().flatten().copied().chain(outcome.and_then(verdict));
        let first = known.next();
        known.all(|other| Some(other) == first)
    });
    !halted && log.faults.is_empty() && agrees
}

pub(super) fn verdict(outcome: Outcome) -> Option<Verdict> {
    match outcome {
        Outcome::Committed(ts) => Some(Verdict::Committed(ts)),
        Outcome::RolledBack(_) | Outcome::Refused => Some(Verdict::RolledBack),
        Outcome::Forgotten => None,
    }
}

fn acknowledged(world: &World) -> bool {
    let stands = |plan: usize, ts: Timestamp| {
        let sealed = world.clients[plan].sealed.as_ref().expect("it was answered");
        sealed.places().all(|at| {
            let durable = match &*world.sites[at].standing(sealed.tid()) {
                Standing::Yes { .. } | Standing::Stale(None) => true,
                Standing::Decided(found) | Standing::Stale(Some(found)) => {
                    *found == Decision::Committed { ts }
                }
                Standing::None | Standing::No(_) => false,
            };
            durable && world.log.voted[plan][at]
        })
    };
    world.log.outcomes.iter().enumerate().all(|(plan, outcome)| match outcome {
        Some(Outcome::Committed(ts)) => stands(plan, *ts),
        _ => true,
    })
}

fn rollbacks_are_final(world: &World) -> bool {
    let may_commit = |plan: usize| {
        // What was ended before its seal nobody was asked to vote on.
        let Some(sealed) = &world.clients[plan].sealed else { return false };
        sealed.places().all(|at| {
            let standing = world.sites[at].standing(sealed.tid());
            let commits = matches!(*standing, Standing::Decided(Decision::Committed { .. }));
            let yes = matches!(*standing, Standing::Yes { .. });
            world.log.voted[plan][at] && (yes || commits)
        })
    };
    let told = world.log.outcomes.iter().enumerate();
    told.filter(|(_, outcome)| matches!(outcome, Some(Outcome::RolledBack(_) | Outcome::Refused)))
        .all(|(plan, _)| !may_commit(plan))
}

/// Transactions and strict reads, with what ended before what began.
pub(super) fn strict_history(spine: &Spine, world: &World) -> Vec<Op> {
    let mut ops = transactions(spine, world, true);
    for (at, reader) in world.readers.iter().enumerate() {
        let strict = !matches!(spine.scenario.readers[at].kind, ReaderKind::Snapshot { .. });
        let mut op = Op::default();
        if let (true, Some(ReadEnd::Answered(seen))) = (strict, &reader.end) {
            op.required = true;
            op.reads = seen.clone();
            op.after = world.log.began[spine.scenario.op_of_reader(at)].unwrap_or(0);
        }
        ops.push(op);
    }
    ops
}

fn applied_once(spine: &Spine, world: &World) -> bool {
    if !world.sites.iter().all(|site| site.is_quiet()) {
        return true;
    }
    let mut ops = strict_history(spine, world);
    let after = (1 << ops.len()) - 1;
    let keys = 0..spine.scenario.keys.len();
    let reads = keys.map(|key| (key, spine.atlas.value(&world.sites, key))).collect();
    ops.push(Op { after, required: true, reads, writes: Vec::new() });
    explains(&ops, spine.scenario.keys.len())
}

fn snapshots_are_cuts(spine: &Spine, world: &World) -> bool {
    world.readers.iter().zip(&spine.scenario.readers).all(|(reader, plan)| {
        match (plan.kind, &reader.end) {
            (ReaderKind::Snapshot { at }, Some(ReadEnd::Answered(seen))) => {
                let mut ops = transactions(spine, world, false);
                order_by_commit_time(world, &mut ops, Timestamp(at));
                let earlier = committed_at(world).map(|(plan, ts)| (plan, ts.0 <= at));
                let after =
                    earlier.filter(|(_, earlier)| *earlier).map(|(plan, _)| 1 << plan).sum();
                ops.push(Op { after, required: true, reads: seen.clone(), writes: Vec::new() });
                explains(&ops, spine.scenario.keys.len())
            }
            _ => true,
        }
    })
}

/// Puts known commits in the order of their times, with the snapshot between those up to its time
/// and the later ones.
fn order_by_commit_time(world: &World, ops: &mut [Op], at: Timestamp) {
    let snapshot = 1 << ops.len();
    for (plan, ts) in committed_at(world) {
        let earlier = committed_at(world).filter(|&(_, other)| other < ts);
        let earlier: u32 = earlier.map(|(other, _)| 1 << other).sum();
        ops[plan].required = true;
        ops[plan].after = earlier | if ts > at { snapshot } else { 0 };
    }
}

/// The commits that are known to anybody, by plan.
pub(super) fn committed_at(world: &World) -> impl Iterator<Item = (usize, Timestamp)> {
    let log = &world.log;
    log.decided.iter().zip(&log.outcomes).enumerate().filter_map(|(plan, (decided, outcome))| {
        let known = decided.iter().flatten().copied().chain(outcome.and_then(verdict));
        let mut times = known.filter_map(|verdict| match verdict {
            Verdict::Committed(ts) => Some(ts),
            Verdict::RolledBack => None,
        });
        times.next().map(|ts| (plan, ts))
    })
}

/// The transactions as operations; what cannot commit does and sees nothing.
fn transactions(spine: &Spine, world: &World, real_time: bool) -> Vec<Op> {
    let plans = spine.scenario.plans.iter().enumerate();
    plans.map(|(at, plan)| transaction(world, at, plan, real_time)).collect()
}

fn transaction(world: &World, at: usize, plan: &Plan, real_time: bool) -> Op {
    let Some(sealed) = &world.clients[at].sealed else { return Op::default() };
    let outcome = world.log.outcomes[at];
    if matches!(outcome, Some(Outcome::RolledBack(_) | Outcome::Refused)) {
        return Op::default();
    }
    let claimed = plan.claim.map(|key| (key, Write::Put(1)));
    Op {
        after: if real_time { world.log.began[at].unwrap_or(0) } else { 0 },
        required: matches!(outcome, Some(Outcome::Committed(_))),
        reads: sealed.seen.clone(),
        writes: plan.writes.iter().copied().chain(claimed).collect(),
    }
}
