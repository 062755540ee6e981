//! What must be reachable: without this, a property could hold because nothing ever happens.

use crate::commit::{
    model::Spine,
    plan::ReaderKind,
    world::{Outcome, ReadEnd, Reason, Slot, Verdict, World},
};
use vatic_core::{
    command::{Decision, Standing, Why},
    read::SnapshotFault,
};

/// A kind of state that a scenario must reach.
#[derive(Clone, Copy, Debug)]
pub struct Witness {
    /// Its name.
    pub name: &'static str,
    /// Whether a state is one.
    pub shows: fn(&Spine, &World) -> bool,
}

macro_rules! witnesses {
    ($($(#[$doc:meta])* $id:ident = $name:literal: $shows:expr;)*) => {
        $($(#[$doc])* pub const $id: Witness = Witness { name: $name, shows: $shows };)*
    };
}

witnesses! {
    /// The first transaction's client hears of a commit.
    COMMITS = "the first transaction commits": |_, world| committed(world, 0);
    /// The second one's does.
    SECOND_COMMITS = "the second transaction commits": |_, world| committed(world, 1);
    /// The third one's does.
    THIRD_COMMITS = "the third transaction commits": |_, world| committed(world, 2);
    /// The fourth one's does.
    FOURTH_COMMITS = "the fourth transaction commits": |_, world| committed(world, 3);
    /// All do.
    ALL_COMMIT = "all transactions commit":
        |_, world| (0..world.clients.len()).all(|plan| committed(world, plan));
    /// A conflict.
    CONFLICT = "a transaction rolls back for a conflict":
        |_, world| rolled_back(world, Reason::Conflict);
    /// Both of two conflict with each other.
    BOTH_CONFLICT = "two transactions roll each other back": |_, world| {
        let conflict = Some(Outcome::RolledBack(Reason::Conflict));
        world.log.outcomes.iter().all(|outcome| *outcome == conflict)
    };
    /// Somebody gave up.
    FORCED = "a transaction rolls back because its vote was forced":
        |_, world| rolled_back(world, Reason::Forced);
    /// A participant forgot a rollback.
    ABANDONED = "a recoverer rolls back because a participant had forgotten":
        |_, world| recoverer_decides(world, |decision| {
            matches!(decision, Decision::RolledBack(cause) if cause.why == Why::Abandoned)
        });
    /// A vote was not what it claimed to be.
    REFUSED = "a transaction rolls back because a vote was refused":
        |_, world| world.log.outcomes.contains(&Some(Outcome::Refused));
    /// The id stands for another body.
    OTHER_BODY = "a transaction rolls back because its id names another body":
        |_, world| rolled_back(world, Reason::OtherBody);
    /// It strayed.
    STRAYED = "a transaction rolls back because it strays from its forecast":
        |_, world| rolled_back(world, Reason::Strayed);
    /// Its gateway said that it could not judge it.
    UNJUDGED = "a transaction rolls back because it was not judged":
        |_, world| rolled_back(world, Reason::Unjudged);
    /// A stream is stopped.
    ENDED = "a gateway ends a stream whose read was overwritten": |_, world| world.log.stopped;
    /// A stream is stopped, and its request is done.
    ENDED_AND_DONE = "a stream is ended before its seal, and its next attempt commits":
        |_, world| rolled_back(world, Reason::Ended) && committed(world, 1);
    /// A stage comes after all is over.
    LATE_STAGE = "what an ended stream staged is freed before it comes": |spine, world| {
        let ended = world.log.outcomes[0] == Some(Outcome::RolledBack(Reason::Ended));
        let mut staging = world.requests.iter();
        ended && staging.any(|request| {
            let tid = request.command.tid().filter(|_| request.plan == 0);
            let stages = matches!(*request.command, vatic_core::command::Command::Stage { .. });
            let no = |tid| matches!(*world.sites[request.group].standing(tid), Standing::No(_));
            stages && spine.scenario.plans[0].streamed && tid.is_some_and(no)
        })
    };
    /// It is not enforced.
    STRAYED_AND_COMMITTED = "what strays commits where that is not enforced": |_, world| {
        world.clients.iter().enumerate().any(|(plan, client)| {
            let judged = client.sealed.as_ref().and_then(|it| it.body.finding.judgement());
            committed(world, plan) && judged.is_some_and(|it| !it.verdict.valid)
        })
    };
    /// The request was served.
    REQUEST_SERVED = "an attempt rolls back because its request was served":
        |_, world| rolled_back(world, Reason::Request);
    /// A recoverer commits what its driver has not.
    RECOVERED_COMMIT = "a recoverer commits what its driver left": |_, world| {
        recoverer_decides(world, |decision| matches!(decision, Decision::Committed { .. }))
    };
    /// A recoverer rolls back.
    RECOVERED_ROLLBACK = "a recoverer rolls back what its driver left": |_, world| {
        recoverer_decides(world, |decision| matches!(decision, Decision::RolledBack(_)))
    };
    /// A crash takes a coordinator along, and somebody else brings its transaction to its end.
    CRASHED = "a coordinator crashed and its transaction was still decided":
        |spine, world| (0..world.clients.len()).any(|plan| survives(spine, world, plan));
    /// The groups are in the middle of a commit.
    HALF_DECIDED = "one group has committed, another one not yet": |_, world| {
        world.log.decided.iter().zip(&world.clients).any(|(decided, client)| {
            let places = || client.sealed.iter().flat_map(|sealed| sealed.places());
            let commits = |at: usize| matches!(decided[at], Some(Verdict::Committed(_)));
            places().any(commits) && places().any(|at| decided[at].is_none())
        })
    };
    /// A late question.
    STALE = "a group that has forgotten is asked": |_, world| {
        asked_late(world, |standing| matches!(standing, Standing::Stale(None)))
    };
    /// A late question at home.
    STALE_AT_HOME = "the home group is asked and still knows what it has forgotten": |_, world| {
        asked_late(world, |standing| matches!(standing, Standing::Stale(Some(_))))
    };
    /// A group forgot.
    FORGOTTEN = "all groups have forgotten a commit": |_, world| {
        world.sites.iter().all(|site| site.group.watermark().is_some())
            && world.log.decided.iter().flatten().any(|v| matches!(v, Some(Verdict::Committed(_))))
    };
    /// A linearizable read waits.
    BLOCKED = "a read waits for an undecided write": |spine, world| {
        (0..world.readers.len()).any(|reader| {
            world.readers[reader].end.is_none() && spine.reading(world, reader).is_blocked()
        })
    };
    /// A linearizable read ends.
    GOT = "a read in one group sees a commit":
        |spine, world| answered(spine, world, |kind| kind == ReaderKind::Get);
    /// A strict read ends.
    TWO_PASSES = "a strict read over both groups sees a commit":
        |spine, world| answered(spine, world, |kind| matches!(kind, ReaderKind::Strict { .. }));
    /// A strict read is in the way of itself.
    GAVE_UP = "a strict read uses up its tries": |spine, world| {
        let readers = world.readers.iter().zip(&spine.scenario.readers);
        let strict = |kind| matches!(kind, ReaderKind::Strict { .. });
        readers.into_iter().any(|(r, plan)| strict(plan.kind) && r.end == Some(ReadEnd::GaveUp))
    };
    /// A snapshot read ends.
    SNAPSHOT = "a snapshot shows a commit":
        |spine, world| answered(spine, world, |kind| matches!(kind, ReaderKind::Snapshot { .. }));
    /// A snapshot read ends on an older version.
    SNAPSHOT_OF_PAST = "a snapshot shows the past beside a newer version": |spine, world| {
        let snapshot = |kind| matches!(kind, ReaderKind::Snapshot { .. });
        let readers = world.readers.iter().zip(&spine.scenario.readers);
        readers.into_iter().any(|(reader, plan)| match &reader.end {
            Some(ReadEnd::Answered(seen)) if snapshot(plan.kind) => {
                let now = |key| spine.atlas.value(&world.sites, key);
                seen.iter().any(|&(key, value)| value.is_some() && value != now(key))
            }
            _ => false,
        })
    };
    /// A snapshot read is too early.
    CLOCK_BEHIND = "a snapshot is ahead of a group's clock": |spine, world| {
        snapshot_meets(spine, world, |fault| matches!(fault, SnapshotFault::ClockBehind { .. }))
    };
    /// A snapshot read waits.
    SNAPSHOT_BLOCKED = "a snapshot waits for an undecided write": |spine, world| {
        snapshot_meets(spine, world, |fault| matches!(fault, SnapshotFault::Blocked(_)))
    };
    /// A snapshot read is too late.
    BELOW_HORIZON = "a snapshot is below the horizon": |spine, world| {
        snapshot_meets(spine, world, |fault| matches!(fault, SnapshotFault::BelowHorizon { .. }))
    };
    /// Transitions wait for a vote.
    STAGED = "transitions are staged in both groups": |_, world| {
        world.sites.iter().all(|site| !site.group.staged(&site.state).is_empty())
    };
}

fn committed(world: &World, plan: usize) -> bool {
    matches!(world.log.outcomes[plan], Some(Outcome::Committed(_)))
}

fn rolled_back(world: &World, reason: Reason) -> bool {
    world.log.outcomes.contains(&Some(Outcome::RolledBack(reason)))
}

/// Whether a coordinator that does not know the outcome asks a group where it stands so.
fn asked_late(world: &World, is: fn(&Standing) -> bool) -> bool {
    world.requests.iter().any(|request| {
        let machine = world.machines[request.machine].machine();
        machine.is_some_and(|machine| {
            let coordinator = &machine.coordinator;
            let standing = world.sites[request.group].standing(coordinator.tid());
            coordinator.decision().is_none() && is(&standing)
        })
    })
}

fn recoverer_decides(world: &World, is: fn(&Decision) -> bool) -> bool {
    let plans = world.clients.len();
    world.machines[plans..].iter().filter_map(Slot::machine).any(|machine| {
        let driver = world.machines[machine.plan].machine();
        let undecided = driver.is_none_or(|driver| driver.coordinator.decision().is_none());
        machine.coordinator.decision().is_some_and(is) && undecided
    })
}

fn survives(spine: &Spine, world: &World, plan: usize) -> bool {
    let Some(sealed) = &world.clients[plan].sealed else { return false };
    let recoverers = world.machines[world.clients.len()..].iter().filter_map(Slot::machine);
    let mut recoverers = recoverers.filter(|machine| machine.plan == plan);
    // Where states are reduced, who rolls back is told from nobody who crashed.
    let recovered = recoverers.any(|machine| match machine.coordinator.decision() {
        Some(Decision::Committed { .. }) => true,
        Some(Decision::RolledBack(_)) => !spine.scenario.reduced,
        None => false,
    });
    let decided = |at: usize| world.log.decided[plan][at].is_some();
    let refused = |at: usize| matches!(&*world.sites[at].standing(sealed.tid()), Standing::No(_));
    recovered
        && world.machines[plan] == Slot::Stopped
        && sealed.places().any(decided)
        && sealed.places().all(|at| decided(at) || refused(at))
}

fn answered(spine: &Spine, world: &World, is: fn(ReaderKind) -> bool) -> bool {
    let mut readers = world.readers.iter().zip(&spine.scenario.readers);
    readers.any(|(reader, plan)| match &reader.end {
        Some(ReadEnd::Answered(seen)) => {
            is(plan.kind) && seen.iter().any(|(_, value)| value.is_some())
        }
        _ => false,
    })
}

fn snapshot_meets(spine: &Spine, world: &World, is: fn(&SnapshotFault) -> bool) -> bool {
    (0..world.readers.len()).any(|reader| {
        let reading = spine.reading(world, reader);
        (0..world.sites.len()).any(|at| reading.snapshot_fault(at).as_ref().is_some_and(is))
    })
}
