//! How far a node is in the sequence of courses, and what it gives to it.

use super::{
    counters::Counters,
    courses::{Place, Unsent},
    kinds::Kinds,
    learner::COURSES_WAITING_MAX,
    walk::{Ended, Walk},
};
use std::sync::Arc;
use tokio::sync::mpsc;
use vatic_core::{
    course::{self, BATCH_MAX, COURSE_BYTES_MAX, COURSES_MAX, GENERATION, Newer},
    delta::{Delta, Op},
    key::Key,
};

/// What is told of a sequence by its newest number.
fn told(newest: u64) -> Newer {
    let oldest = (newest + 1).saturating_sub(COURSES_MAX).max(1);
    Newer { courses: Vec::new(), oldest, newest }
}

fn ended(user: u32, field: &str) -> Arc<Ended> {
    let mut walk = Walk::new(user, 32);
    let delta =
        Delta { key: Key::new("c", "p", "").unwrap(), op: Op::Add { field: field.into(), by: 1 } };
    walk.step(Kinds::default().of(&delta), 0);
    let class = walk.class().unwrap();
    Arc::new(Ended { class, steps: walk.steps, kinds: walk.kinds, groups: Vec::new() })
}

fn unsent() -> (Unsent, mpsc::Sender<Arc<Ended>>, Arc<Counters>) {
    let (sender, ended) = mpsc::channel(100);
    let counters = Arc::new(Counters::new());
    (Unsent::new(3, ended, counters.clone()), sender, counters)
}

#[test]
fn node_begins_where_the_newest_version_does_and_skips_what_has_gone() {
    let mut place = Place::default();
    assert_eq!((place.moved(&told(0)), place.handed_on), (0, None), "there is nothing yet");
    assert_eq!((place.moved(&told(5)), place.handed_on), (0, Some(0)));
    let mut late = Place::default();
    let newest = 9 * GENERATION + 700;
    assert_eq!((late.moved(&told(newest)), late.handed_on), (0, Some(9 * GENERATION)));
    place.handed_on = Some(100);
    let oldest = 100 + COURSES_MAX;
    assert_eq!((place.moved(&told(oldest)), place.handed_on), (0, Some(100)), "none has gone");
    let begins = course::begins(newest);
    assert_eq!((place.moved(&told(newest)), place.handed_on), (begins - 100, Some(begins)));
    assert_eq!(place.moved(&told(5)), 0, "a replica that lags moves nothing");
    assert_eq!((place.handed_on, place.newest), (Some(begins), newest));
}

#[test]
fn node_has_caught_up_once_it_has_learnt_what_there_was_when_it_asked_first() {
    let mut place = Place::default();
    assert!(!place.has_caught_up(0), "nobody has told yet what there is");
    place.moved(&told(0));
    assert!(place.has_caught_up(0), "there is nothing");
    let mut late = Place::default();
    late.moved(&told(70));
    late.handed_on = Some(64);
    assert!(!late.has_caught_up(0), "six are to come");
    late.moved(&told(90));
    late.handed_on = Some(70);
    assert!(!late.has_caught_up(3), "three of them wait for the learner");
    assert!(late.has_caught_up(0), "what came since others have not learnt either");
}

#[test]
fn node_gives_nothing_while_its_learner_has_enough_to_learn() {
    let mut place = Place::default();
    place.moved(&told(10));
    place.handed_on = Some(10);
    assert_eq!(place.room(0), BATCH_MAX);
    assert_eq!(place.room(COURSES_WAITING_MAX - 3), 3);
    assert_eq!(place.room(COURSES_WAITING_MAX), 0);
    place.moved(&told(10 + COURSES_WAITING_MAX as u64));
    assert_eq!(place.room(0), 0, "as many wait in group 0");
}

#[test]
fn batch_is_the_same_until_it_is_known_what_became_of_it() {
    let (mut unsent, sender, counters) = unsent();
    assert_eq!(unsent.batch(0, 9), None);
    (1..=3).for_each(|user| sender.try_send(ended(user, "f")).unwrap());
    let users = |unsent: &mut Unsent, most| {
        let batch = unsent.batch(0, most)?;
        assert_eq!(batch.node, 3);
        let users = batch.courses.iter().map(|course| course.user).collect::<Vec<_>>();
        Some((batch.sequence, users))
    };
    assert_eq!(users(&mut unsent, 0), None, "there is no room");
    let (first, sent) = users(&mut unsent, 2).unwrap();
    assert_eq!(sent, [1, 2]);
    assert_eq!(users(&mut unsent, 9), Some((first, vec![1, 2])), "though more could go by now");
    unsent.settle(true);
    let (second, sent) = users(&mut unsent, 9).unwrap();
    assert_eq!(sent, [3]);
    assert!(second > first, "{second} is no new batch after {first}");
    unsent.settle(false);
    assert_eq!((counters.shared.get(), counters.left_out.get()), (2, 1));
}

#[test]
fn batch_of_a_node_whose_clock_was_set_back_is_above_its_last_one() {
    let (mut unsent, sender, _) = unsent();
    let above = u64::MAX / 2;
    sender.try_send(ended(1, "f")).unwrap();
    assert_eq!(unsent.batch(above, 9).unwrap().sequence, above + 1);
}

#[test]
fn stream_that_is_too_large_is_left_out_and_counted() {
    let (mut unsent, sender, counters) = unsent();
    sender.try_send(ended(1, &"x".repeat(COURSE_BYTES_MAX))).unwrap();
    sender.try_send(ended(2, "f")).unwrap();
    assert_eq!(unsent.batch(0, 1).unwrap().courses[0].user, 2);
    assert_eq!(counters.oversized.get(), 1);
}
