//! The key lane: one turn at a time, in order, and nobody is forgotten.

use crate::{
    command::Decision,
    id::{Tid, Timestamp},
    key::Key,
    lane::{LaneLimits, Lanes, Turn, Urgency, Waiter, WaiterId},
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
    Lanes::new(LaneLimits::simulation())
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
    assert_eq!(lanes.give_back(&key(), 2, 1), vec![], "only its owner gives it back");
    assert_eq!(lanes.give_back(&key(), 1, 1), vec![10]);
    assert!(!lanes.take(&key(), turn(3), 1), "it is the waiter's turn");
    assert_eq!(lanes.give_back(&key(), 10, 2), vec![11]);
    assert_eq!(lanes.give_back(&key(), 11, 2), vec![]);
    assert_eq!(lanes.count(), 0);
}

#[test]
fn nobody_goes_past_those_who_wait() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 1)));
    let over = HOLD_US + 1;
    assert!(!lanes.take(&key(), turn(3), over));
    assert_eq!(lanes.look_again(&key(), over), vec![10]);
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
    assert_eq!(lanes.give_back(&key(), 1, 1), vec![11]);
    let aged = LaneLimits::simulation().ageing_us;
    assert_eq!(lanes.give_back(&key(), 11, aged), vec![10]);
}

#[test]
fn vote_of_several_groups_keeps_the_record_until_its_decision_comes() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)));
    lanes.voted(tid(1), vec![key()], 1);
    assert_eq!(lanes.look_again(&key(), 1), vec![], "the vote's lock is still in the way");
    assert_eq!(lanes.deciding(tid(1), committed(), 2), vec![10]);
    assert_eq!(lanes.decision(tid(1)), Some(&committed()));
    lanes.decided(tid(1));
    assert_eq!(lanes.decision(tid(1)), None);
}

#[test]
fn vote_whose_decision_never_comes_keeps_nobody_for_good() {
    let mut lanes = lanes();
    lanes.voted(tid(1), vec![key()], 0);
    assert!(lanes.wait(&key(), waiter(10, 0)));
    assert_eq!(lanes.look_again(&key(), 1), vec![]);
    assert_eq!(lanes.look_again(&key(), LaneLimits::simulation().vote_us_max), vec![10]);
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
    assert_eq!(lanes.voted_alone(&[key()], 1), vec![10, 11, 12]);
}

#[test]
fn waiter_that_left_is_passed_over() {
    let mut lanes = lanes();
    assert!(lanes.take(&key(), turn(1), 0));
    assert!(lanes.wait(&key(), waiter(10, 0)) && lanes.wait(&key(), waiter(11, 0)));
    lanes.leave(&key(), 10);
    assert_eq!(lanes.give_back(&key(), 1, 1), vec![11]);
    assert_eq!(lanes.waiting_for(&key()), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Take(u8, u64),
    GiveBack(u8, u64),
    Wait(u8),
    Leave(u8),
    Vote(u8, u8),
    VoteAlone(u8),
    Decide(u8),
    LookAgain(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let (record, token, vote) = (0u8..3, 1u64..4, 0u8..3);
    prop_oneof![
        (record.clone(), token.clone()).prop_map(|(key, token)| Step::Take(key, token)),
        (record.clone(), token).prop_map(|(key, token)| Step::GiveBack(key, token)),
        record.clone().prop_map(Step::Wait),
        record.clone().prop_map(Step::Leave),
        (record.clone(), vote.clone()).prop_map(|(key, vote)| Step::Vote(key, vote)),
        record.clone().prop_map(Step::VoteAlone),
        vote.prop_map(Step::Decide),
        record.prop_map(Step::LookAgain),
    ]
}

proptest! {
    #[test]
    fn every_waiter_is_woken_once_or_leaves(steps in prop::collection::vec(step(), 0..60)) {
        let mut lanes = lanes();
        let mut waiting: BTreeMap<WaiterId, u8> = BTreeMap::new();
        let (mut next, mut now_us) = (100, 0);
        for step in steps {
            now_us += 1;
            let woken: Vec<WaiterId> = match step {
                Step::Take(key, token) => {
                    lanes.take(&key_of(key), turn(token), now_us);
                    vec![]
                }
                Step::GiveBack(key, token) => lanes.give_back(&key_of(key), token, now_us),
                Step::Wait(key) => {
                    next += 1;
                    if lanes.wait(&key_of(key), waiter(next, now_us)) {
                        waiting.insert(next, key);
                    }
                    vec![]
                }
                Step::Leave(key) => {
                    let id = waiting.iter().find(|(_, at)| **at == key).map(|(id, _)| *id);
                    if let Some(id) = id {
                        lanes.leave(&key_of(key), id);
                        waiting.remove(&id);
                    }
                    vec![]
                }
                Step::Vote(key, vote) => {
                    lanes.voted(tid(vote), vec![key_of(key)], now_us);
                    vec![]
                }
                Step::VoteAlone(key) => lanes.voted_alone(&[key_of(key)], now_us),
                Step::Decide(vote) => {
                    let woken = lanes.deciding(tid(vote), committed(), now_us);
                    lanes.decided(tid(vote));
                    woken
                }
                Step::LookAgain(key) => lanes.look_again(&key_of(key), now_us),
            };
            prop_assert!(woken.len() <= 1, "one turn, one waiter: {woken:?}");
            for id in woken {
                let key = waiting.remove(&id);
                prop_assert!(key.is_some(), "{id} was woken twice, or had left");
                prop_assert!(lanes.is_taken(&key_of(key.unwrap_or_default()), None, now_us));
            }
        }
        // With looks alone everybody gets a turn: all that is held ends by time.
        let bound = 3 * (HOLD_US + LaneLimits::simulation().vote_us_max) + 1;
        for _ in 0..bound {
            now_us += 1;
            for key in 0..3 {
                for id in lanes.look_again(&key_of(key), now_us) {
                    waiting.remove(&id);
                }
            }
        }
        prop_assert!(waiting.is_empty(), "{waiting:?} wait for ever");
    }
}
