//! The scenarios: each a small world that is closed exhaustively.
//!
//! Single transactions carry the heavy machinery (several recoverers, late replies, forgetting);
//! pairs of transactions and readers are checked on lighter machinery, since what they test, the
//! vote rules and the read rules, lies in the groups.

use super::wider;
use crate::commit::{
    plan::{Item, Place, Plan, ReaderKind, ReaderPlan, Scenario},
    serial::Write,
    witness::*,
};

/// All scenarios.
pub fn all() -> Vec<Scenario> {
    let mut all = vec![
        recovery(),
        late_replies(),
        forgetting(),
        late_and_forgotten(),
        one_group(),
        two_bodies(),
        key_skew(),
        range_skew(),
        blind_writes(),
        strict_read(),
        strict_absence(),
        blocked_get(),
        snapshots(),
        collected(),
        read_by_vote(),
        request_twice(),
        abandoned_stage(),
    ];
    all.extend(wider::all());
    all
}

fn recovery() -> Scenario {
    Scenario {
        name: "recovery",
        about: "one transfer; its driver may stop anywhere, two recoverers may start anywhere",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![transfer(1)],
        recoverers: vec![0, 0],
        gives_up: true,
        stops: vec![0, 1],
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, RECOVERED_ROLLBACK, HALF_DECIDED],
        unique_states: Some(363_378),
        ..Scenario::default()
    }
}

fn late_replies() -> Scenario {
    Scenario {
        name: "late-replies",
        about: "one transfer with a recoverer; replies may be lost, late and repeated",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![transfer(1)],
        recoverers: vec![0],
        gives_up: true,
        late_replies_max: 1,
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, RECOVERED_ROLLBACK, HALF_DECIDED],
        unique_states: Some(360_337),
        ..Scenario::default()
    }
}

fn late_and_forgotten() -> Scenario {
    Scenario {
        name: "late-and-forgotten",
        about: "one transfer that both groups may forget, with replies lost, late and repeated",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![transfer(1)],
        recoverers: vec![0],
        late_replies_max: 1,
        forgets: vec![(0, 0), (1, 0)],
        witnesses: vec![COMMITS, FORCED, RECOVERED_COMMIT, STALE, STALE_AT_HOME, FORGOTTEN],
        unique_states: Some(280_752),
        ..Scenario::default()
    }
}

fn forgetting() -> Scenario {
    Scenario {
        name: "forgetting",
        about: "one transfer that both groups may forget, with a late recoverer",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![transfer(1)],
        recoverers: vec![0],
        gives_up: true,
        stops: vec![0],
        forgets: vec![(0, 0), (1, 0)],
        witnesses: vec![
            COMMITS,
            FORCED,
            RECOVERED_COMMIT,
            ABANDONED,
            STALE,
            STALE_AT_HOME,
            FORGOTTEN,
        ],
        unique_states: Some(55_652),
        ..Scenario::default()
    }
}

fn one_group() -> Scenario {
    Scenario {
        name: "one-group",
        about: "two transactions of one group commit in one entry each; votes repeat, also after \
                they are forgotten",
        keys: vec![at(0, "a"), at(0, "b")],
        plans: vec![
            Plan { identity: 1, writes: vec![(0, Write::Add(1))], ..Plan::default() },
            Plan {
                identity: 2,
                reads: vec![Item::Key(0)],
                writes: vec![(0, Write::Add(2)), (1, Write::Put(1))],
                ..Plan::default()
            },
        ],
        readers: vec![get(0)],
        gives_up: true,
        late_replies_max: 1,
        forgets: vec![(0, 0)],
        witnesses: vec![COMMITS, ALL_COMMIT, CONFLICT, FORCED, STALE_AT_HOME, GOT],
        unique_states: Some(105_582),
        ..Scenario::default()
    }
}

fn two_bodies() -> Scenario {
    Scenario {
        name: "two-bodies",
        about: "two bodies under one transaction id, each with its driver, and a recoverer",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![put_both(1, 1), put_both(1, 2)],
        recoverers: vec![0],
        stops: vec![0],
        forgets: vec![(0, 0), (1, 0)],
        witnesses: vec![COMMITS, SECOND_COMMITS, OTHER_BODY, FORCED],
        unique_states: Some(319_906),
        ..Scenario::default()
    }
}

fn key_skew() -> Scenario {
    Scenario {
        name: "key-skew",
        about: "write skew on keys: each transaction reads what the other one writes",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            Plan {
                identity: 1,
                reads: vec![Item::Key(0)],
                writes: vec![(1, Write::Put(1))],
                ..Plan::default()
            },
            Plan {
                identity: 2,
                reads: vec![Item::Key(1)],
                writes: vec![(0, Write::Put(2))],
                ..Plan::default()
            },
        ],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![COMMITS, SECOND_COMMITS, ALL_COMMIT, CONFLICT, BOTH_CONFLICT, FORCED],
        unique_states: Some(170_735),
        ..Scenario::default()
    }
}

fn range_skew() -> Scenario {
    let range = |group, sort| Place { group, collection: "seat", sort };
    Scenario {
        name: "range-skew",
        about: "write skew by phantoms: each transaction scans where the other one inserts",
        keys: vec![range(0, "1"), range(1, "1")],
        plans: vec![
            Plan {
                identity: 1,
                reads: vec![Item::Range(vec![0])],
                writes: vec![(1, Write::Put(1))],
                ..Plan::default()
            },
            Plan {
                identity: 2,
                reads: vec![Item::Range(vec![1])],
                writes: vec![(0, Write::Put(2))],
                ..Plan::default()
            },
        ],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![COMMITS, SECOND_COMMITS, ALL_COMMIT, CONFLICT, BOTH_CONFLICT, FORCED],
        unique_states: Some(170_735),
        ..Scenario::default()
    }
}

fn blind_writes() -> Scenario {
    Scenario {
        name: "blind-writes",
        about: "two blind writers of the same two records in both groups, and a strict reader",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![put_both(1, 1), put_both(2, 2)],
        readers: vec![ReaderPlan {
            kind: ReaderKind::Strict { attempts_max: 2 },
            items: vec![Item::Key(0), Item::Key(1)],
        }],
        witnesses: vec![ALL_COMMIT, CONFLICT, BOTH_CONFLICT, TWO_PASSES, GAVE_UP],
        unique_states: Some(1_125_077),
        ..Scenario::default()
    }
}

fn strict_read() -> Scenario {
    Scenario {
        name: "strict-read",
        about: "a transfer, a deposit, and a strict reader of one account and of the other's range",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            transfer(1),
            Plan { identity: 2, writes: vec![(0, Write::Add(10))], ..Plan::default() },
        ],
        readers: vec![ReaderPlan {
            kind: ReaderKind::Strict { attempts_max: 2 },
            items: vec![Item::Key(0), Item::Range(vec![1])],
        }],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![ALL_COMMIT, CONFLICT, TWO_PASSES, GAVE_UP],
        unique_states: Some(1_465_534),
        ..Scenario::default()
    }
}

fn strict_absence() -> Scenario {
    Scenario {
        name: "strict-absence",
        about: "two records are made and removed together, under a strict reader of one and of the \
                other's range",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            put_both(1, 1),
            Plan {
                identity: 2,
                writes: vec![(0, Write::Delete), (1, Write::Delete)],
                ..Plan::default()
            },
        ],
        readers: vec![ReaderPlan {
            kind: ReaderKind::Strict { attempts_max: 1 },
            items: vec![Item::Key(0), Item::Range(vec![1])],
        }],
        witnesses: vec![ALL_COMMIT, CONFLICT, TWO_PASSES, GAVE_UP],
        unique_states: Some(236_885),
        ..Scenario::default()
    }
}

fn blocked_get() -> Scenario {
    Scenario {
        name: "blocked-get",
        about: "a transfer whose driver may stop, a deposit, and a reader of each account",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            transfer(1),
            Plan { identity: 2, writes: vec![(0, Write::Add(10))], ..Plan::default() },
        ],
        readers: vec![get(0), get(1)],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![ALL_COMMIT, CONFLICT, BLOCKED, GOT, RECOVERED_COMMIT],
        unique_states: Some(243_353),
        ..Scenario::default()
    }
}

fn snapshots() -> Scenario {
    Scenario {
        name: "snapshots",
        about: "a transaction that reads in a slow group and writes in a fast one, a later writer \
                in the slow one, and a snapshot between them",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            Plan {
                identity: 1,
                reads: vec![Item::Key(0)],
                writes: vec![(1, Write::Put(1))],
                hints: vec![0, 5],
                ..Plan::default()
            },
            Plan { identity: 2, writes: vec![(0, Write::Put(2))], ..Plan::default() },
        ],
        readers: vec![snapshot(3)],
        recoverers: vec![0],
        stops: vec![0],
        advances: vec![(0, 3), (1, 3)],
        witnesses: vec![ALL_COMMIT, CONFLICT, SNAPSHOT, CLOCK_BEHIND],
        unique_states: Some(259_192),
        ..Scenario::default()
    }
}

fn collected() -> Scenario {
    Scenario {
        name: "collected",
        about: "a writer, a later one that also deletes, a snapshot of ranges that may fall \
                between them, and collection of versions",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            put_both(1, 1),
            Plan {
                identity: 2,
                writes: vec![(0, Write::Delete), (1, Write::Put(2))],
                ..Plan::default()
            },
        ],
        readers: vec![ReaderPlan {
            kind: ReaderKind::Snapshot { at: 2 },
            items: vec![Item::Range(vec![0]), Item::Range(vec![1])],
        }],
        advances: vec![(0, 2), (1, 2)],
        collects: vec![(0, 3)],
        witnesses: vec![
            ALL_COMMIT,
            SNAPSHOT,
            SNAPSHOT_OF_PAST,
            SNAPSHOT_BLOCKED,
            CLOCK_BEHIND,
            BELOW_HORIZON,
        ],
        unique_states: Some(474_745),
        ..Scenario::default()
    }
}

fn read_by_vote() -> Scenario {
    Scenario {
        name: "read-by-vote",
        about: "a reader of both accounts that votes, as a strict read does when its tries are \
                used up, and a transfer whose driver may stop",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![
            transfer(1),
            Plan { identity: 2, reads: vec![Item::Key(0), Item::Key(1)], ..Plan::default() },
        ],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![ALL_COMMIT, CONFLICT, FORCED, RECOVERED_COMMIT],
        unique_states: Some(172_496),
        ..Scenario::default()
    }
}

fn request_twice() -> Scenario {
    let attempt = |identity| Plan {
        identity,
        writes: vec![(1, Write::Add(1))],
        claim: Some(0),
        ..Plan::default()
    };
    Scenario {
        name: "request-twice",
        about: "two attempts of one request, each with its own transaction id",
        keys: vec![
            Place { group: 0, collection: crate::commit::client::REQUESTS, sort: "" },
            at(1, "b"),
        ],
        plans: vec![attempt(1), attempt(2)],
        recoverers: vec![0],
        stops: vec![0],
        witnesses: vec![COMMITS, SECOND_COMMITS, REQUEST_SERVED, CONFLICT, FORCED],
        unique_states: Some(159_064),
        ..Scenario::default()
    }
}

fn abandoned_stage() -> Scenario {
    Scenario {
        name: "abandoned-stage",
        about: "one transfer whose transitions are staged first; whoever finds the stage may sweep",
        keys: vec![at(0, "a"), at(1, "b")],
        plans: vec![Plan { staged: true, ..transfer(1) }],
        recoverers: vec![0],
        gives_up: true,
        stops: vec![0],
        forgets: vec![(0, 0), (1, 0)],
        witnesses: vec![COMMITS, FORCED, STAGED, RECOVERED_ROLLBACK],
        unique_states: Some(117_986),
        ..Scenario::default()
    }
}

pub(super) fn at(group: usize, sort: &'static str) -> Place {
    Place { group, collection: "account", sort }
}

/// Moves 1 from the first record to the second.
pub(super) fn transfer(identity: u64) -> Plan {
    Plan { identity, writes: vec![(0, Write::Add(-1)), (1, Write::Add(1))], ..Plan::default() }
}

/// Sets both records.
fn put_both(identity: u64, value: i64) -> Plan {
    let writes = vec![(0, Write::Put(value)), (1, Write::Put(value))];
    Plan { identity, writes, ..Plan::default() }
}

fn get(key: usize) -> ReaderPlan {
    ReaderPlan { kind: ReaderKind::Get, items: vec![Item::Key(key)] }
}

fn snapshot(at: u64) -> ReaderPlan {
    ReaderPlan { kind: ReaderKind::Snapshot { at }, items: vec![Item::Key(0), Item::Key(1)] }
}
