//! Advice follows what is known, labels say what was seen, and nothing is kept for good.

use super::{
    claims::{Ask, By, Claims, Course, EXPLORED_PPM, Label, Verdict},
    features::{FEATURES, Feature},
    fixed::{MILLION, ONE},
    limits::Limits,
    mutation::Touch,
    score::{Model, Term},
};
use crate::id::{GroupId, Tid, Timestamp};
use alloc::{vec, vec::Vec};
use proptest::prelude::*;

const MS: u64 = 1_000;
const NEVER: u32 = MILLION - 1;
const ACCEPTED: Verdict = Verdict::Accepted { decided: true };

fn touch(record: u64) -> Touch {
    Touch { record, area: 7, field: 9, writes: true, commutes: false, bytes: 10 }
}

fn tid(nonce: u64) -> Tid {
    Tid { mint: Timestamp(nonce), home: GroupId(1), nonce }
}

fn ask(token: u64, record: u64) -> Ask {
    Ask { token, user: 3, touch: touch(record), ahead: 0, dice_ppm: NEVER }
}

/// A model that looks at no feature and says about what its bias says.
fn model(bias: i32) -> Model {
    let terms = vec![Term::default(); FEATURES];
    Model { terms, bias, ..Model::constant(MILLION / 2) }
}

/// One that claims a record and votes on it after 10 ms.
fn attempt(claims: &mut Claims, token: u64, record: u64, verdict: Verdict, at: u64) -> Vec<Label> {
    claims.advise(ask(token, record), By::Hotness, at);
    let ballot = claims.propose(tid(token), (token, 3), vec![touch(record)], true, at + 9 * MS);
    claims.answered(ballot, verdict, at + 10 * MS)
}

#[test]
fn record_that_is_written_often_is_waited_for_and_another_is_not() {
    let mut claims = Claims::new(Limits::production());
    assert_eq!(claims.advise(ask(1, 1), By::Hotness, MS).course, Course::AtOnce);
    claims.given_up(1, 1);
    for turn in 1..=4 {
        let labels = attempt(&mut claims, turn, 1, ACCEPTED, turn * 10 * MS);
        assert!(!labels[0].conflict);
    }
    assert_eq!(claims.advise(ask(8, 1), By::Hotness, 60 * MS).course, Course::InTurn);
    assert_eq!(claims.advise(ask(8, 2), By::Hotness, 60 * MS).course, Course::AtOnce);
    // Its own claim is nobody else's; another's is.
    assert_eq!(claims.advise(ask(8, 2), By::Hotness, 60 * MS).course, Course::AtOnce);
    assert_eq!(claims.advise(ask(9, 2), By::Hotness, 60 * MS).course, Course::InTurn);
}

#[test]
fn turn_is_advised_while_conflicts_cost_more_than_its_wait() {
    let mut claims = Claims::new(Limits::production());
    attempt(&mut claims, 1, 1, ACCEPTED, 10 * MS);
    let mut course = |bias, ahead| {
        let ask = Ask { ahead, ..ask(2, 5) };
        claims.advise(ask, By::Model(&model(bias)), 20 * MS)
    };
    // Three of four conflict: three attempts are lost, thirty milliseconds.
    let (even, three_of_four) = (0, 72_000);
    assert_eq!(course(three_of_four, 40).course, Course::InTurn);
    assert_eq!(course(three_of_four, 56).course, Course::AtOnce);
    assert_eq!(course(even, 10).course, Course::InTurn);
    assert_eq!(course(even, 20).course, Course::AtOnce);
    assert_eq!(course(-5 * ONE, 0).course, Course::AtOnce);
    assert_eq!(course(even, 2).wait_us, 20 * MS);
    assert_eq!(course(even, 2).score_ppm, Some(500_000));
}

#[test]
fn odds_alone_advise_a_turn_however_long_it_takes_to_come() {
    let mut claims = Claims::new(Limits::production());
    attempt(&mut claims, 1, 1, ACCEPTED, 10 * MS);
    let mut course = |bias, ahead| {
        let ask = Ask { ahead, ..ask(2, 5) };
        claims.advise(ask, By::Odds(&model(bias)), 20 * MS).course
    };
    let (just_below, three_of_four) = (-1_000, 72_000);
    assert_eq!(course(three_of_four, 0), Course::InTurn);
    assert_eq!(course(three_of_four, 1_000), Course::InTurn);
    assert_eq!(course(just_below, 0), Course::AtOnce);
}

#[test]
fn model_that_was_never_fitted_is_not_asked() {
    let mut claims = Claims::new(Limits::production());
    let advice = claims.advise(ask(1, 1), By::Model(&Model::constant(999_999)), MS);
    assert_eq!((advice.course, advice.score_ppm), (Course::AtOnce, None));
}

#[test]
fn labels_are_of_claims_that_took_no_turn_with_their_propensity() {
    let mut claims = Claims::new(Limits::production());
    let certain = model(5 * ONE);
    let through = Ask { dice_ppm: EXPLORED_PPM - 1, ..ask(1, 1) };
    let advice = claims.advise(through, By::Model(&certain), MS);
    assert_eq!(advice.course, Course::AtOnce);
    assert_eq!(claims.advise(ask(1, 2), By::Model(&certain), MS).course, Course::InTurn);
    assert_eq!(claims.advise(ask(1, 3), By::Model(&certain), MS).course, Course::InTurn);
    claims.in_turn(1, 2);
    let touches = vec![touch(1), touch(2), touch(3)];
    let ballot = claims.propose(tid(1), (1, 3), touches, true, 2 * MS);
    assert!(ballot.known(Some(4)).is_none(), "its claims are its labels");
    assert_eq!(ballot.begun_us(), Some(MS));
    let known = |record| {
        let known = ballot.known(record).expect("it was claimed");
        (known.claimed, known.in_turn, known.propensity_ppm)
    };
    assert_eq!(known(Some(2)), (true, true, MILLION));
    assert_eq!([known(None), known(Some(1))], [(true, false, EXPLORED_PPM); 2]);
    let labels = claims.answered(ballot, Verdict::Conflict { record: Some(1) }, 3 * MS);
    let seen: Vec<(bool, u32)> = labels.iter().map(|it| (it.conflict, it.propensity_ppm)).collect();
    // The third was advised to wait and did not.
    assert_eq!(seen, [(true, EXPLORED_PPM), (false, MILLION)]);
    assert!(claims.is_empty());
    assert_eq!(claims.contention().in_flight(), 0);
}

#[test]
fn vote_without_claims_teaches_if_it_was_looked_at() {
    let mut claims = Claims::new(Limits::production());
    for scored in [true, false] {
        let ballot = claims.propose(tid(1), (0, 3), vec![touch(1)], scored, MS);
        assert_eq!(ballot.known(Some(1)).map(|known| known.claimed), scored.then_some(false));
        let labels = claims.answered(ballot, Verdict::Conflict { record: None }, 2 * MS);
        assert_eq!(labels.len(), usize::from(scored));
        assert!(labels.iter().all(|label| label.conflict));
    }
    let ballot = claims.propose(tid(2), (0, 3), vec![touch(1)], true, MS);
    assert_eq!(claims.answered(ballot, Verdict::Other, 2 * MS), []);
    assert_eq!(claims.contention().in_flight(), 0);
}

#[test]
fn claim_stands_until_its_vote_or_until_it_is_forgotten() {
    let mut claims = Claims::new(Limits::production());
    claims.advise(ask(1, 1), By::Hotness, MS);
    claims.advise(ask(2, 2), By::Hotness, MS);
    assert!(claims.is_claimed(1, 2 * MS) && !claims.is_claimed(3, 2 * MS));
    let ballot = claims.propose(tid(1), (1, 3), vec![touch(1)], true, 3 * MS);
    assert!(!claims.is_claimed(1, 3 * MS), "its vote says so from here on");
    claims.answered(ballot, ACCEPTED, 4 * MS);
    assert!(claims.is_claimed(2, 100 * MS));
    assert!(!claims.is_claimed(2, 100_000 * MS), "nobody is left who would write it");
}

#[test]
fn accepted_one_is_in_the_way_until_it_is_decided() {
    let mut claims = Claims::new(Limits::production());
    let ballot = claims.propose(tid(1), (0, 3), vec![touch(1)], false, MS);
    claims.answered(ballot, Verdict::Accepted { decided: false }, 2 * MS);
    let rivals = |claims: &Claims| {
        let (_, features) = claims.weigh_touches(4, vec![touch(1)], By::Hotness, 0, 3 * MS);
        [Feature::WritersMax, Feature::StagedSum].map(|feature| features.dense[feature as usize])
    };
    assert_eq!(rivals(&claims), [ONE, ONE]);
    claims.decided(tid(1), true, 3 * MS);
    assert_eq!(rivals(&claims), [0, 0]);
    claims.decided(tid(1), true, 4 * MS);
}

proptest! {
    #[test]
    fn nothing_is_kept_for_good(
        steps in prop::collection::vec((0u8..5, 0u64..6, 0u64..4), 1..200),
    ) {
        let limits = Limits::simulation();
        let most = limits.in_flight_max;
        let mut claims = Claims::new(limits);
        let mut now_us = 0;
        for (kind, token, record) in steps {
            now_us += MS;
            match kind {
                0 | 1 => {
                    claims.advise(ask(token, record), By::Hotness, now_us);
                }
                2 => claims.in_turn(token, record),
                3 => claims.given_up(token, record),
                _ => {
                    let touches = vec![touch(record), touch(record + 1)];
                    let ballot = claims.propose(tid(token), (token, 1), touches, true, now_us);
                    claims.answered(ballot, ACCEPTED, now_us);
                }
            }
            prop_assert!(claims.len() <= most && claims.contention().in_flight() <= most);
        }
        // All that is left are claims, which age.
        claims.advise(ask(99, 99), By::Hotness, now_us + 3_600_000_000);
        claims.given_up(99, 99);
        prop_assert!(claims.is_empty());
        prop_assert_eq!(claims.contention().in_flight(), 0);
    }
}
