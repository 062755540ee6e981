//! What votes teach, through the thread that learns.

use super::*;
use crate::{
    config::Config,
    limits::Limits as NodeLimits,
    peer::{Proposed, Times},
};
use std::time::{Duration, Instant};
use vatic_core::{
    body::{Body, Part},
    chain::{Seal, Transition},
    command::Applied,
    delta::Op,
    expected::Score,
    finding::Finding,
    footprint::Footprint,
    hash::Hash,
    history::Strayed,
    id::Timestamp,
    limits::Limits as GroupLimits,
    policy::{Policies, Policy, Validation},
    strategy::Basis,
    value::Fields,
    verdict::{self, Conditions, Forecast, Judgement},
};

const GROUP: GroupId = GroupId(1);
const EVENTS_MAX: u64 = 10_000;
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
        finding: Finding::Nothing,
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
    let origin = Origin { token, user: 1, ..Origin::default() };
    Asked { origin, key, ahead: 0, by_hotness: false }
}

/// A claim and its vote, which meets a conflict or does not; the score that it was given.
fn attempt(conflicts: &Conflicts, token: u64, key: &Key, conflict: bool) -> Option<u32> {
    let (advice, _) = conflicts.advise(asked(token, key));
    let origin = Origin { token, user: 1, ..Origin::default() };
    let proposing = conflicts.proposing(GROUP, &vote(token, key), origin);
    let by = Tid { mint: Timestamp(0), home: GROUP, nonce: 0 };
    let why = conflict.then(|| Why::Locked { key: key.clone(), by });
    proposing.end(&reply(why));
    advice.score_ppm
}

fn conflicts(node: u32) -> Conflicts {
    let single = Config::single("unused".into(), String::new(), String::new());
    let limits = NodeLimits { history_buffer_max: EVENTS_MAX, ..single.limits };
    Conflicts::new(&Config { node, limits, ..single })
}

#[test]
fn record_that_conflicts_gets_a_higher_score_than_one_that_does_not() {
    let conflicts = conflicts(1);
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
        assert!(Instant::now() < ends, "{scores:?}, {:?}", conflicts.account());
        std::thread::sleep(Duration::from_millis(20));
    }
    let delta = Delta { key: fought.clone(), op: Op::Put(Fields::new()) };
    let outlook = conflicts.outlook(1, &fought, &[delta], 0);
    assert!(outlook.score_ppm.is_some() && !outlook.reasons.is_empty(), "{outlook:?}");
}

/// The conflicts that wait for the group's history.
fn met(conflicts: &Conflicts) -> Vec<Event> {
    let waiting = conflicts.history.waiting(GROUP);
    waiting.into_iter().filter(|event| event.conflict().is_some()).collect()
}

#[test]
fn conflict_is_noted_with_what_was_known_of_its_claim() {
    let conflicts = conflicts(3);
    let at = key("k");
    attempt(&conflicts, 1, &at, true);
    attempt(&conflicts, 2, &at, false);
    let noted = met(&conflicts);
    assert_eq!(noted.len(), 1);
    let first = &noted[0];
    assert_eq!((first.claimed, first.in_turn, first.tid.nonce), (true, false, 1));
    let foreseen = first.foreseen.as_ref().expect("it had claimed the record");
    assert_eq!((foreseen.features.user, foreseen.score_ppm), (1, None));
    conflicts.advise(asked(4, &at));
    conflicts.in_turn(4, &at);
    let origin = Origin { token: 4, user: 1, ..Origin::default() };
    let waited = conflicts.proposing(GROUP, &vote(4, &at), origin);
    waited.end(&reply(Some(Why::Locked { key: at.clone(), by: first.tid })));
    assert!(met(&conflicts)[1].in_turn);
}

#[test]
fn vote_that_nobody_answers_leaves_nothing_in_flight() {
    let conflicts = conflicts(1);
    let at = key("k");
    drop(conflicts.proposing(GROUP, &vote(1, &at), Origin::default()));
    conflicts.proposing(GROUP, &vote(2, &at), Origin::default()).end(&PeerReply::Late);
    assert_eq!(conflicts.with(|present| present.claims.contention().in_flight()), 0);
    assert_eq!(conflicts.history.waiting(GROUP), []);
}

/// A leader fights over a record; the next one, which has seen nothing, knows of it.
#[test]
fn new_leader_learns_from_the_history_of_the_one_before() {
    let before = conflicts(1);
    let (fought, calm) = (key("fought"), key("calm"));
    for token in (1..1_600).step_by(2) {
        attempt(&before, token, &fought, token % 16 != 1);
        attempt(&before, token + 1, &calm, false);
    }
    let events = before.history.waiting(GROUP).into_iter();
    let row = |event| Row { clock: Timestamp(1), node: 1, event };
    let rows: Vec<(u64, Row)> = (1..).zip(events.map(row)).collect();
    let teaching = rows.iter().filter(|(_, row)| row.event.foreseen.is_some()).count();
    assert_eq!(before.past(rows.clone()), [], "it has learnt from what it saw itself");
    let restarted = conflicts(1);
    assert_eq!(restarted.past(rows.clone()).len(), teaching);
    let next = conflicts(2);
    next.recall(rows);
    let ends = Instant::now() + LEARNT_WITHIN;
    while next.account().mode == "none" {
        assert!(Instant::now() < ends, "{:?}", next.account());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(next.account().labels, teaching as u64);
}

/// A judgement that nothing but its verdict matters of.
fn judged(valid: bool) -> Judgement {
    let (seal, footprint) = (vote(1, &key("k")).body.seal, Footprint::default());
    let given = (Conditions::default(), Score::MAX);
    let mut judged = Judgement::of(7, Forecast::default(), given, (&footprint, &seal));
    judged.verdict = verdict::Verdict { valid, score: 30, tolerance: 20, ..judged.verdict };
    judged
}

#[test]
fn what_strayed_is_noted_beside_its_conflict_and_teaches_nothing() {
    let conflicts = conflicts(1);
    let (at, other) = (key("k"), vote(9, &key("k")).body.tid);
    let mut policies = Policies::default();
    let quarantine = Policy { validation: Validation::Quarantine, ..Policy::default() };
    policies.set.insert("c".into(), quarantine);
    let why = Why::Locked { key: at.clone(), by: other };
    let cause = Cause { group: GROUP, why: why.clone() };
    let lost = Vote {
        body: Body { finding: Finding::Judged(judged(false)), ..vote(1, &at).body },
        ..vote(1, &at)
    };
    conflicts.proposing(GROUP, &lost, Origin::default()).end(&reply(Some(why)));
    for decision in [Decision::RolledBack(cause.clone()), Decision::Committed { ts: Timestamp(1) }]
    {
        // The second time it is asked for again: it is told once.
        conflicts.ended(|| policies.clone(), (&lost.body, [&lost.part]), &decision);
    }
    let kept = Body { finding: Finding::Judged(judged(true)), ..vote(2, &at).body };
    conflicts.ended(
        || policies.clone(),
        (&kept, [&lost.part]),
        &Decision::Committed { ts: Timestamp(1) },
    );
    let waiting = conflicts.history.waiting(GROUP);
    let mut strayed = waiting.iter().filter_map(Event::strayed);
    let noted = Strayed {
        class: 7,
        score: 30,
        tolerance: 20,
        validation: Validation::Quarantine,
        rolled_back: Some(cause),
    };
    assert_eq!((strayed.next(), strayed.next()), (Some(&noted), None));
    assert_eq!(met(&conflicts).len(), 1, "its conflict is told as well: {waiting:?}");
    let row = |event| Row { clock: Timestamp(1), node: 2, event };
    let foreseen = waiting.iter().find_map(|event| event.foreseen.clone());
    assert!(foreseen.is_some(), "what was known of it beforehand is told of its conflict");
    let strayed = waiting.into_iter().filter(|event| event.strayed().is_some());
    let strayed = strayed.map(|event| Event { foreseen: foreseen.clone(), ..event });
    let rows = strayed.map(|event| (1, row(event))).collect();
    assert_eq!(conflicts.past(rows), []);
}

fn event_of(tid: Tid, what: What) -> Event {
    let (at_us, took_us, foreseen) = (0, 0, None);
    Event { at_us, tid, what, foreseen, claimed: false, in_turn: false, took_us }
}

#[test]
fn what_strayed_takes_little_room_and_makes_it_first() {
    let unwritten = Unwritten::new(1, 6);
    let strayed = |nonce| {
        let vote = vote(nonce, &key("k"));
        let (class, score, tolerance, validation) = (7, 30, 20, Validation::Observe);
        let strayed = Strayed { class, score, tolerance, validation, rolled_back: None };
        event_of(vote.body.tid, What::Strayed(Box::new(strayed)))
    };
    (1..=9).for_each(|nonce| unwritten.push(GROUP, strayed(nonce)));
    assert_eq!(unwritten.waiting(GROUP).len(), 4);
    for nonce in 10..=14 {
        let why = Why::Locked { key: key("k"), by: vote(99, &key("k")).body.tid };
        let conflict = What::Conflict(Cause { group: GROUP, why });
        unwritten.push(GROUP, event_of(vote(nonce, &key("k")).body.tid, conflict));
    }
    let waiting = unwritten.waiting(GROUP);
    let strays = waiting.iter().filter(|event| event.strayed().is_some()).count();
    assert_eq!((waiting.len(), strays), (6, 1), "{waiting:?}");
}

#[test]
fn success_makes_room_first_and_the_next_one_stands_for_it() {
    let unwritten = Unwritten::new(1, 3);
    let at = key("k");
    let event = |nonce, what| event_of(vote(nonce, &at).body.tid, what);
    let by = vote(9, &at).body.tid;
    let why = Why::Locked { key: at.clone(), by };
    let met = |nonce| event(nonce, What::Conflict(Cause { group: GROUP, why: why.clone() }));
    let accepted = |nonce, weight| event(nonce, What::Accepted { weight });
    for event in [met(1), accepted(2, 8), met(3), met(3), met(4), accepted(5, 8), met(6)] {
        unwritten.push(GROUP, event);
    }
    assert_eq!(unwritten.waiting(GROUP), [met(3), met(4), met(6)]);
    let limits = GroupLimits { history_batch_max: 2, ..GroupLimits::production() };
    let first = unwritten.batch(GROUP, &limits, || 70).expect("three wait");
    assert_eq!((first.sequence, &first.events[..]), (70, &[met(3), met(4)][..]));
    assert_eq!(unwritten.batch(GROUP, &limits, || 71), Some(first), "who knows what became of it");
    unwritten.settle(GROUP, true);
    unwritten.push(GROUP, accepted(7, 8));
    let second = unwritten.batch(GROUP, &limits, || 5).expect("two wait");
    assert_eq!((second.sequence, &second.events[..]), (71, &[met(6), accepted(7, 24)][..]));
    unwritten.settle(GROUP, true);
    assert_eq!(unwritten.batch(GROUP, &limits, || 72), None);
}

#[test]
fn more_labels_than_the_budget_are_not_learnt() {
    let mut budget = Budget { credit_us: COST_US * LABELS_AT_ONCE, at_us: 0 };
    let taken = (0..LABELS_AT_ONCE + 10).filter(|_| budget.take(1)).count() as u64;
    assert_eq!(taken, LABELS_AT_ONCE);
    let second = (1..=1_000).filter(|ms| budget.take(ms * 1_000)).count() as u64;
    assert!((LABELS_A_SECOND - 1..=LABELS_A_SECOND).contains(&second), "{second}");
}
