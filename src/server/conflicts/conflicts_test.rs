//! What votes teach, through the thread that learns.

use super::*;
use crate::peer::{Proposed, Times};
use std::time::{Duration, Instant};
use vatic_core::{
    body::{Body, Part},
    chain::{Seal, Transition},
    command::Applied,
    delta::Op,
    hash::Hash,
    id::Timestamp,
    strategy::Basis,
    value::Fields,
};

const GROUP: GroupId = GroupId(1);
const LEARNT_WITHIN: Duration = Duration::from_secs(120);

fn key(name: &str) -> Key {
    Key::new("c", name, "").unwrap()
}

/// A vote on one record.
fn vote(nonce: u64, key: &Key) -> Vote {
    let delta = codec::encode(&Delta { key: key.clone(), op: Op::Put(Fields::new()) });
    let tid = Tid { mint: Timestamp(nonce), home: GROUP, nonce };
    let seal = Seal { seed: Hash::ZERO, count: 1, head: Hash::ZERO };
    let body = Body {
        tid,
        seal,
        segments: vec![],
        participants: vec![],
        claim: None,
        judgement: None,
        basis: Basis::Reads,
    };
    let transitions = vec![Transition { seq: 1, delta }];
    let part = Part { group: GROUP, reads: vec![], ranges: vec![], transitions };
    Vote { body, part, hint: Timestamp::ZERO }
}

fn reply(why: Option<Why>) -> PeerReply {
    let decision = match why {
        None => Decision::Committed { ts: Timestamp(1) },
        Some(why) => Decision::RolledBack(Cause { group: GROUP, why }),
    };
    let reply = Reply::Standing(Standing::Decided(decision));
    let applied = Applied { reply, proof: None };
    PeerReply::Applied(Proposed { applied, endorsement: None, times: Times::default() })
}

fn asked(token: u64, key: &Key) -> Asked<'_> {
    Asked { origin: Origin { token, user: 1 }, key, ahead: 0, by_hotness: false }
}

/// A claim and its vote, which meets a conflict or does not; the score that it was given.
fn attempt(conflicts: &Conflicts, token: u64, key: &Key, conflict: bool) -> Option<u32> {
    let (advice, _) = conflicts.advise(asked(token, key));
    let origin = Origin { token, user: 1 };
    let proposing = conflicts.proposing(GROUP, &vote(token, key), origin);
    let by = Tid { mint: Timestamp(0), home: GROUP, nonce: 0 };
    let why = conflict.then(|| Why::Locked { key: key.clone(), by });
    proposing.end(&reply(why));
    advice.score_ppm
}

#[test]
fn record_that_conflicts_gets_a_higher_score_than_one_that_does_not() {
    let conflicts = Conflicts::new(1);
    let (fought, calm) = (key("fought"), key("calm"));
    let ends = Instant::now() + LEARNT_WITHIN;
    let mut tokens = 1..;
    let mut next = |key, conflict| attempt(&conflicts, tokens.next().unwrap(), key, conflict);
    // They go on while the model is fitted: what is scored is what was learnt from.
    loop {
        let mut scores = [0u64; 2];
        for round in 0..LABELS_AT_ONCE / 2 {
            scores[0] += u64::from(next(&fought, round % 8 != 0).unwrap_or(0));
            scores[1] += u64::from(next(&calm, false).unwrap_or(0));
        }
        if scores[0] > 2 * scores[1] {
            break;
        }
        assert!(Instant::now() < ends, "{scores:?}, {:?}", conflicts.account(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    let delta = Delta { key: fought.clone(), op: Op::Put(Fields::new()) };
    let outlook = conflicts.outlook(1, &fought, &[delta], 0);
    assert!(outlook.score_ppm.is_some() && !outlook.reasons.is_empty(), "{outlook:?}");
}

#[test]
fn conflict_is_kept_with_its_claim_and_the_oldest_goes_first() {
    let conflicts = Conflicts::new(3);
    let at = key("k");
    attempt(&conflicts, 1, &at, true);
    attempt(&conflicts, 2, &at, false);
    let met = conflicts.account(10).conflicts;
    assert_eq!(met.len(), 1);
    let first = (met[0].node, met[0].claimed, met[0].in_turn, met[0].tid.nonce);
    assert_eq!(first, (3, true, false, 1));
    conflicts.advise(asked(4, &at));
    conflicts.in_turn(4, &at);
    let waited = conflicts.proposing(GROUP, &vote(4, &at), Origin { token: 4, user: 1 });
    waited.end(&reply(Some(Why::Locked { key: at.clone(), by: met[0].tid })));
    assert!(conflicts.account(1).conflicts[0].in_turn);
    let kept = conflicts.account(usize::MAX).conflicts.len();
    assert_eq!(kept, 2);
}

#[test]
fn vote_that_nobody_answers_leaves_nothing_in_flight() {
    let conflicts = Conflicts::new(1);
    let at = key("k");
    drop(conflicts.proposing(GROUP, &vote(1, &at), Origin::default()));
    conflicts.proposing(GROUP, &vote(2, &at), Origin::default()).end(&PeerReply::Late);
    assert_eq!(conflicts.with(|present| present.claims.contention().in_flight()), 0);
    assert!(conflicts.account(1).conflicts.is_empty());
}

#[test]
fn more_labels_than_the_budget_are_not_learnt() {
    let mut budget = Budget { credit_us: COST_US * LABELS_AT_ONCE, at_us: 0 };
    let taken = (0..LABELS_AT_ONCE + 10).filter(|_| budget.take(1)).count() as u64;
    assert_eq!(taken, LABELS_AT_ONCE);
    let second = (1..=1_000).filter(|ms| budget.take(ms * 1_000)).count() as u64;
    assert!((LABELS_A_SECOND - 1..=LABELS_A_SECOND).contains(&second), "{second}");
}
