//! The key lane: one turn at a time, in order, and nobody is forgotten.

use crate::{
    command::Decision,
    id::{GroupId, Tid, Timestamp},
    key::Key,
    lane::{LaneLimits, Lanes, Now, Turn, Urgency, Waiter, WaiterId},
    rules::Rules,
};
use alloc::{collections::BTreeMap, format, vec, vec::Vec};
use proptest::prelude::*;

const HOLD_US: u64 = 5;

fn key() -> Key {
    key_of(0)
}

fn key_of(number: u8) -> Key {
    Key::new("c", &format!("p{number}"), "").expect("valid")
}

fn turn(token: u64) -> Turn {
    Turn { token, hold_us: HOLD_US }
}

fn tid(number: u8) -> Tid {
    Tid::from_bytes(&[number; 20]).expect("20 bytes")
}

fn waiter(id: WaiterId, since_us: u64) -> Waiter {
    Waiter { id, turn: Some(turn(id)), urgency: Urgency::default(), since_us }
}

fn committed() -> Decision {
    Decision::Committed { ts: Timestamp(7) }
}

fn lanes() -> Lanes {
    Lanes::new(LaneLimits::simulation(), Rules::default())
}

/// Nobody has a lock.
fn at(us: u64) -> Now<'static> {
    Now { group: GroupId(1), us, holder: &|_| None }
}

/// The first transaction has all locks.
fn locked(us: u64) -> Now<'static> {
    Now { group: GroupId(1), us, holder: &|_| Some(tid(1)) }
}

#[test]
fn second_turn_is_refused_until_the_first_is_over() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.take(&key(), turn(1), 1), "one's own turn is in nobody's way");
    assert!(!lanes.take(&key(), turn(2), 2));
    assert!(lanes.is_taken(&key(), None, 2) && !lanes.is_taken(&key(), Some(1), 2));
    assert!(lanes.take(&key(), turn(2), 1 + HOLD_US));
}

#[test]
fn turn_given_back_goes_to_whoever_waited_longest() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(11, 1)) && lanes.wait(&key(), waiter(10, 1)));
    assert_eq!(lanes.give_back(&key(), 2, at(1)), vec![], "only its owner gives it back");
    assert_eq!(lanes.give_back(&key(), 1, at(1)), vec![10]);
    assert!(!lanes.take(&key(), turn(3), 1), "it is the waiter's turn");
    assert_eq!(lanes.give_back(&key(), 10, at(2)), vec![11]);
    assert_eq!(lanes.give_back(&key(), 11, at(2)), vec![]);
    assert_eq!(lanes.count(), 0);
}

#[test]
fn nobody_goes_past_those_who_wait() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 1)));
    let over = HOLD_US + 1;
    assert!(!lanes.take(&key(), turn(3), over));
    assert_eq!(lanes.next(&key(), at(over)), vec![10]);
}

#[test]
fn urgent_waiter_goes_first_until_another_has_waited_too_long() {
    let mut lanes = lanes();
    let urgent = |id, since_us| {
        let urgency = Urgency { rollbacks: 2, ..Urgency::default() };
        Waiter { urgency, ..waiter(id, since_us) }
    };
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)));
    assert!(lanes.wait(&key(), urgent(11, 1)) && lanes.wait(&key(), urgent(12, 1)));
    assert_eq!(lanes.give_back(&key(), 1, at(1)), vec![11]);
    let aged = LaneLimits::simulation().ageing_us;
    assert_eq!(lanes.give_back(&key(), 11, at(aged)), vec![10]);
}

#[test]
fn locked_record_is_nobodys_turn_until_its_decision_comes() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)));
    assert_eq!(lanes.voted(&[key()], locked(1)), vec![], "the vote's lock is in the way");
    assert_eq!(lanes.deciding(tid(2), committed(), &[key()], locked(1)), vec![]);
    assert_eq!(lanes.deciding(tid(1), committed(), &[key()], locked(2)), vec![10]);
    assert_eq!(lanes.decision(GroupId(1), tid(1)), Some(&committed()));
    assert_eq!(lanes.decided(tid(1), &[key()], at(3)), vec![]);
    assert_eq!(lanes.decision(GroupId(1), tid(1)), None);
}

#[test]
fn decision_in_another_groups_log_frees_nothing_here() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)));
    assert_eq!(lanes.voted(&[key()], locked(1)), vec![]);
    let elsewhere = Now { group: GroupId(2), ..at(1) };
    assert_eq!(lanes.deciding(tid(1), committed(), &[], elsewhere), vec![]);
    assert_eq!(lanes.decision(GroupId(1), tid(1)), None);
    assert_eq!(lanes.next(&key(), locked(1)), vec![]);
}

#[test]
fn decision_that_came_before_its_vote_frees_the_record_when_the_vote_is_applied() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)));
    assert_eq!(lanes.deciding(tid(1), committed(), &[], at(1)), vec![]);
    assert_eq!(lanes.voted(&[key()], locked(2)), vec![10]);
}

#[test]
fn those_who_only_want_to_be_told_are_told_together() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    for id in [10, 11] {
        assert!(lanes.wait(&key(), Waiter { turn: None, ..waiter(id, 0) }));
    }
    assert!(lanes.wait(&key(), waiter(12, 1)));
    assert!(!lanes.wait(&key(), waiter(13, 1)), "there is room for three");
    assert_eq!(lanes.voted(&[key()], at(1)), vec![10, 11, 12]);
}

#[test]
fn waiter_that_left_is_passed_over() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)) && lanes.wait(&key(), waiter(11, 0)));
    lanes.leave(&key(), 10);
    assert_eq!(lanes.give_back(&key(), 1, at(1)), vec![11]);
    assert_eq!(lanes.waiting_for(&key()), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u8, u64),
    GiveBack(u8, u64),
    Wait(u8),
    Leave(u8),
    Vote(u8),
    Decide(u8),
    Applied(u8),
    Next(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (record, token) = (0u8..3, 1u64..4);
    prop_oneof![
        (record.clone(), token.clone()).prop_map(|(key, token)| Step::Take(key, token)),
        (record.clone(), token).prop_map(|(key, token)| Step::GiveBack(key, token)),
        record.clone().prop_map(Step::Wait),
        record.clone().prop_map(Step::Leave),
        record.clone().prop_map(Step::Vote),
        record.clone().prop_map(Step::Decide),
        record.clone().prop_map(Step::Applied),
        record.prop_map(Step::Next),
    ]
}

/// The transaction of each record's lock: one a record.
fn holder(locks: [bool; 3]) -> impl Fn(&Key) -> Option<Tid> {
    move |key| (0..3).find(|&at| locks[usize::from(at)] && key_of(at) == *key).map(tid)
}

proptest! {
    #[test]
    fn every_waiter_is_woken_once_or_leaves(steps in prop::collection::vec(step(), 0..60)) {
        let mut lanes = lanes();
        let mut waiting: BTreeMap<WaiterId, u8> = BTreeMap::new();
        let mut locks = [false; 3];
        let (mut next, mut us) = (100, 0);
        for step in steps {
            us += 1;
            let mut woken: Vec<WaiterId> = vec![];
            let free = locks;
            let holder = holder(locks);
            let now = Now { group: GroupId(1), us, holder: &holder };
            match step {
                Step::Take(key, token) => {
                    lanes.take(&key_of(key), turn(token), us);
                }
                Step::GiveBack(key, token) => woken = lanes.give_back(&key_of(key), token, now),
                Step::Wait(key) => {
                    next += 1;
                    if lanes.wait(&key_of(key), waiter(next, us)) {
                        waiting.insert(next, key);
                    }
                }
                Step::Leave(key) => {
                    let id = waiting.iter().find(|(_, at)| **at == key).map(|(id, _)| *id);
                    if let Some(id) = id {
                        lanes.leave(&key_of(key), id);
                        waiting.remove(&id);
                    }
                }
                Step::Vote(key) => {
                    locks[usize::from(key)] = true;
                    woken = lanes.voted(&[key_of(key)], now);
                }
                Step::Decide(key) => {
                    woken = lanes.deciding(tid(key), committed(), &[key_of(key)], now);
                }
                Step::Applied(key) => {
                    locks[usize::from(key)] = false;
                    woken = lanes.decided(tid(key), &[], now);
                }
                Step::Next(key) => woken = lanes.next(&key_of(key), now),
            }
            prop_assert!(woken.len() <= 1, "one turn, one waiter: {woken:?}");
            for id in woken {
                let key = waiting.remove(&id);
                prop_assert!(key.is_some(), "{id} was woken twice, or had left");
                let key = key.unwrap_or_default();
                prop_assert!(lanes.is_taken(&key_of(key), None, us));
                let decided = lanes.decision(GroupId(1), tid(key)).is_some();
                prop_assert!(!free[usize::from(key)] || decided, "{key} is locked");
            }
        }
        // With looks alone everybody gets a turn: all that is held ends by time.
        for _ in 0..3 * HOLD_US + 1 {
            us += 1;
            for key in 0..3 {
                for id in lanes.next(&key_of(key), at(us)) {
                    waiting.remove(&id);
                }
            }
        }
        prop_assert!(waiting.is_empty(), "{waiting:?} wait for ever");
    }
}
