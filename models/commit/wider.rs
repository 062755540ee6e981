//! Scenarios with more in them: crashes of leaders, a third group, further attempts, all at once.

use super::scenarios::{at, transfer};
use crate::commit::{
    plan::{Item, Judged, Place, Plan, ReaderKind, ReaderPlan, Scenario},
    serial::Write,
    witness::*,
};
use vatic_core::strategy::Strategy;

/// All of them.
pub(super) fn all() -> Vec<Scenario> {
    vec![
        hasty_vote(),
        validation(),
        validation_passed_off(),
        validation_unjudged(),
        ended_early(),
        rebased(),
        first_committer(),
        leader_change(),
        three_groups(),
        three_groups_forgotten(),
        three_groups_raced(),
        three_attempts(),
        everything(),
    ]
}

fn hasty_vote() -> Scenario {
    Scenario {
        name: "hasty-vote",
        about: "one transfer whose votes may overtake what was staged for them",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![Plan { staged: true, hasty: true, ..transfer(1) }],
        recoverers: vec![0],
        stops: vec![0],
        late_replies_max: 1,
        witnesses: vec![COMMITS, FORCED, REFUSED, RECOVERED_COMMIT, RECOVERED_ROLLBACK],
        unique_states: Some(2_798_518),
        ..Scenario::default()
    }
}

fn validation() -> Scenario {
    Scenario {
        name: "validation",
        about: "a transfer that strays from its forecast and one that does not; one of the groups \
                enforces forecasts",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            Plan { judged: Some(Judged::Strange), ..transfer(1) },
            Plan { judged: Some(Judged::Foreseen), ..transfer(2) },
        ],
        recoverers: vec![0],
        enforces: vec![1],
        stops: vec![0],
        witnesses: vec![SECOND_COMMITS, STRAYED, FORCED, RECOVERED_ROLLBACK],
        unique_states: Some(113_532),
        ..Scenario::default()
    }
}

fn validation_passed_off() -> Scenario {
    Scenario {
        name: "validation-passed-off",
        about: "two deposits that stray, one of them passed off as foreseen, and one that does \
                not; the group enforces forecasts",
        keys: vec![at(0, "a")],
        plans: vec![
            deposit(1, Judged::Strange),
            deposit(2, Judged::PassedOff),
            deposit(4, Judged::Foreseen),
        ],
        enforces: vec![0],
        gives_up: true,
        witnesses: vec![THIRD_COMMITS, STRAYED, REFUSED],
        unique_states: Some(3_460),
        ..Scenario::default()
    }
}

fn validation_unjudged() -> Scenario {
    Scenario {
        name: "validation-unjudged",
        about: "a transfer that was not judged, and deposits: one that strays and was resolved, \
                where forecasts are enforced; one like it where they are not; and one of which \
                nobody has seen the like, where they are",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            Plan { judged: Some(Judged::Unjudged), ..transfer(1) },
            deposit(2, Judged::Resolved),
            Plan { writes: vec![(1, Write::Add(4))], ..deposit(4, Judged::Resolved) },
            deposit(8, Judged::Unknown),
        ],
        enforces: vec![0],
        witnesses: vec![UNJUDGED, STRAYED, STRAYED_AND_COMMITTED, FOURTH_COMMITS],
        unique_states: Some(22_716),
        ..Scenario::default()
    }
}

fn deposit(identity: u64, judged: Judged) -> Plan {
    let writes = vec![(0, Write::Add(identity as i64))];
    Plan { identity, writes, judged: Some(judged), ..Plan::default() }
}

/// An attempt of one request that adds to the second record.
fn attempt(identity: u64) -> Plan {
    let writes = vec![(1, Write::Add(1))];
    Plan { identity, writes, claim: Some(0), ..Plan::default() }
}

/// Where its record lies.
fn request_in(group: usize) -> Place {
    Place { group, collection: crate::commit::client::REQUESTS, sort: "" }
}

fn ended_early() -> Scenario {
    Scenario {
        name: "ended-early",
        about: "a stream that stages, and is sealed, aborted, or ended by its gateway because a \
                transfer overwrote what it read; its request's next attempt, which strays, and may \
                not wait to hear of the first one; the votes' replies may be late or lost",
        keys: vec![request_in(1), at(1, "b"), at(0, "a")],
        plans: vec![
            Plan { reads: vec![Item::Key(1)], staged: true, streamed: true, ..attempt(1) },
            Plan { retries: Some(0), impatient: true, judged: Some(Judged::Strange), ..attempt(2) },
            Plan { writes: vec![(1, Write::Add(10)), (2, Write::Add(-10))], ..transfer(3) },
        ],
        late_replies_max: 1,
        witnesses: vec![
            COMMITS,
            THIRD_COMMITS,
            ENDED,
            ENDED_AND_DONE,
            LATE_STAGE,
            REQUEST_SERVED,
            STRAYED_AND_COMMITTED,
        ],
        unique_states: Some(123_371),
        ..Scenario::default()
    }
}

fn rebased() -> Scenario {
    let plan = |identity, writes| Plan {
        identity,
        reads: vec![Item::Key(0)],
        writes,
        strategy: Strategy::Rebase,
        ..Plan::default()
    };
    Scenario {
        name: "rebased",
        about: "two that read a record and add to it, in one group and in two, and one that \
                replaces it, moved over each other's changes where that may be",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            plan(1, vec![(0, Write::Add(1)), (1, Write::Add(1))]),
            plan(2, vec![(0, Write::Add(2))]),
            plan(3, vec![(0, Write::Put(9))]),
        ],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![COMMITS, ALL_COMMIT, CONFLICT, FORCED],
        unique_states: Some(96_690),
        ..Scenario::default()
    }
}

fn first_committer() -> Scenario {
    let plan = |identity, read, writes| Plan {
        identity,
        reads: vec![Item::Key(read)],
        writes,
        strategy: Strategy::Snapshot,
        ..Plan::default()
    };
    Scenario {
        name: "first-committer",
        about: "three that write one record, each since a snapshot of its own, one of them over \
                two groups and one by a snapshot of the other group",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            plan(1, 0, vec![(0, Write::Put(1)), (1, Write::Put(1))]),
            plan(2, 0, vec![(0, Write::Put(2))]),
            plan(3, 1, vec![(0, Write::Put(3))]),
        ],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![COMMITS, SECOND_COMMITS, THIRD_COMMITS, CONFLICT, FORCED],
        unique_states: Some(909_660),
        ..Scenario::default()
    }
}

fn leader_change() -> Scenario {
    Scenario {
        name: "leader-change",
        about: "one transfer, staged first, while both groups change leaders at any time and may \
                forget",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![Plan { staged: true, ..transfer(1) }],
        recoverers: vec![0, 0],
        crashes: vec![0, 1],
        forgets: vec![(0, 0), (1, 0)],
        witnesses: vec![COMMITS, FORCED, STAGED, RECOVERED_COMMIT, RECOVERED_ROLLBACK, FORGOTTEN],
        unique_states: Some(1_506_187),
        ..Scenario::default()
    }
}

fn three_groups() -> Scenario {
    Scenario {
        name: "three-groups",
        about: "one transaction that writes in two groups and reads in a third; its driver may \
                give up or stop anywhere, a recoverer may start anywhere",
        keys: vec![at(0, "a"), at(1, "b"), at(2, "c")],
        plans: vec![Plan { reads: vec![Item::Key(2)], ..transfer(1) }],
        recoverers: vec![0],
        gives_up: true,
        stops: vec![0],
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, RECOVERED_ROLLBACK, HALF_DECIDED],
        unique_states: Some(1_599_494),
        ..Scenario::default()
    }
}

fn three_groups_raced() -> Scenario {
    Scenario {
        name: "three-groups-raced",
        about: "one transaction that writes in two groups and reads in a third; its driver may \
                give up or stop anywhere, two recoverers may start anywhere",
        recoverers: vec![0, 0],
        reduced: true,
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, HALF_DECIDED],
        unique_states: Some(5_930_265),
        by_command: true,
        ..three_groups()
    }
}

fn three_groups_forgotten() -> Scenario {
    Scenario {
        name: "three-groups-forgotten",
        about: "one transaction over three groups, each of which may forget, with a late recoverer",
        keys: vec![at(0, "a"), at(1, "b"), at(2, "c")],
        plans: vec![Plan {
            writes: vec![(0, Write::Add(-2)), (1, Write::Add(1)), (2, Write::Add(1))],
            ..transfer(1)
        }],
        recoverers: vec![0],
        stops: vec![0],
        forgets: vec![(0, 0), (1, 0), (2, 0)],
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, STALE, STALE_AT_HOME, FORGOTTEN],
        unique_states: Some(3_227_046),
        ..Scenario::default()
    }
}

/// As large as CockroachDB's specification `ParallelCommits` is checked: two keys, two recoverers
/// (its preventers), three attempts; that one has no requests that are late or repeated. Here the
/// first attempt's driver may stop anywhere as well.
///
/// It closes because states are merged that nothing can tell apart: see [`super::reduce`]. Without
/// that, twelve minutes of two cores met 14,844,837 states and no end.
fn three_attempts() -> Scenario {
    let attempt = |identity, retries| Plan { retries, ..transfer(identity) };
    Scenario {
        name: "three-attempts",
        about: "one transfer that is tried up to three times, each time under a new id, with two \
                recoverers of whatever they meet",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![attempt(1, None), attempt(2, Some(0)), attempt(3, Some(1))],
        recoverers: vec![0, 0],
        recovers_any: true,
        stops: vec![0],
        reduced: true,
        witnesses: vec![COMMITS, SECOND_COMMITS, THIRD_COMMITS, FORCED, RECOVERED_COMMIT],
        unique_states: Some(315_317),
        ..Scenario::default()
    }
}

fn everything() -> Scenario {
    Scenario {
        name: "everything",
        about: "two transactions and a strict reader over both groups; a driver may stop anywhere \
                and is recovered",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            transfer(1),
            Plan {
                identity: 2,
                reads: vec![Item::Key(0)],
                writes: vec![(1, Write::Add(10))],
                ..Plan::default()
            },
        ],
        readers: vec![ReaderPlan {
            kind: ReaderKind::Strict { attempts_max: 1 },
            items: vec![Item::Key(0), Item::Key(1)],
        }],
        recoverers: vec![0],
        stops: vec![0, 1],
        reduced: true,
        witnesses: vec![ALL_COMMIT, CONFLICT, TWO_PASSES, GAVE_UP, FORCED, RECOVERED_COMMIT],
        unique_states: Some(5_331_817),
        by_command: true,
        ..Scenario::default()
    }
}
