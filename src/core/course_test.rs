//! The sequence of courses is numbered, bounded, and counts each batch once.

use crate::{
    codec,
    command::{Command, MetaCommand, Refusal, Reply},
    course::{
        self, BATCH_MAX, COURSE_BYTES_MAX, COURSES_MAX, Course, CourseBatch, GENERATION, Kind,
        OVERLAP, Step,
    },
    fixture_test::Groups,
    group::Group,
    id::GroupId,
    invariant,
    memory::MemoryState,
    meta,
    rules::Rules,
};
use alloc::{boxed::Box, string::String, vec, vec::Vec};

/// A course of one step, told from others by its user.
fn course(user: u32) -> Course {
    let fields = vec!["total".into()];
    let kind = Kind { collection: "order".into(), operation: "put".into(), fields };
    let steps = vec![Step { kind: 0, after_us: 0 }];
    Course { user, kinds: vec![kind], steps, groups: vec![GroupId(1)] }
}

fn batch(node: u64, sequence: u64, courses: Vec<Course>) -> MetaCommand {
    MetaCommand::AppendCourses(Box::new(CourseBatch { node, sequence, courses }))
}

fn append(state: &mut MemoryState, node: u64, sequence: u64, courses: Vec<Course>) -> Reply {
    let reply = meta::apply(state, &batch(node, sequence, courses), Rules::default());
    course::check(state).expect("courses lie where the ledger says");
    reply
}

/// What is kept: the number and the user of each.
fn kept(state: &MemoryState) -> Vec<(u64, u32)> {
    let newer = course::after(state, 0, usize::MAX);
    newer.courses.into_iter().map(|(number, course)| (number, course.user)).collect()
}

#[test]
fn courses_of_all_nodes_are_one_sequence() {
    let mut state = MemoryState::default();
    assert_eq!(course::after(&state, 0, 9).newest, 0);
    assert_eq!(append(&mut state, 1, 10, vec![course(1), course(2)]), Reply::Done);
    assert_eq!(append(&mut state, 2, 7, vec![course(3)]), Reply::Done);
    assert_eq!(append(&mut state, 1, 11, vec![course(4)]), Reply::Done);
    assert_eq!(kept(&state), [(1, 1), (2, 2), (3, 3), (4, 4)]);
    let newer = course::after(&state, 1, 2);
    assert_eq!((newer.courses.len(), newer.courses[0].0), (2, 2));
    assert_eq!((newer.oldest, newer.newest), (1, 4));
    for far in [4, 5, u64::MAX] {
        assert_eq!(course::after(&state, far, 9).courses, []);
    }
}

#[test]
fn batch_that_is_proposed_again_counts_once() {
    let mut state = MemoryState::default();
    for (sequence, user) in [(5, 1), (5, 1), (4, 2)] {
        assert_eq!(append(&mut state, 1, sequence, vec![course(user)]), Reply::Done);
    }
    assert_eq!(kept(&state), [(1, 1)]);
    assert_eq!(course::last_batch(&state, 1), Some(5));
    assert_eq!(course::last_batch(&state, 2), None);
    append(&mut state, 2, 1, vec![course(3)]);
    append(&mut state, 1, 6, vec![course(4)]);
    assert_eq!(kept(&state), [(1, 1), (2, 3), (3, 4)], "nodes count for themselves");
}

#[test]
fn oldest_courses_go_first_beyond_the_count_and_numbers_are_not_given_again() {
    let mut state = MemoryState::default();
    let batches = COURSES_MAX / BATCH_MAX as u64 + 3;
    for sequence in 1..=batches {
        append(&mut state, 1, sequence, vec![course(sequence as u32); BATCH_MAX]);
    }
    let (newest, kept) = (batches * BATCH_MAX as u64, kept(&state));
    assert_eq!((kept.len() as u64, kept.last().unwrap().0), (COURSES_MAX, newest));
    assert_eq!(kept[0], (newest - COURSES_MAX + 1, 4), "the first three batches have gone");
    let rows = state.0.keys().filter(|place| place.starts_with(b"mcourse/")).count();
    assert_eq!(rows as u64, COURSES_MAX);
    let newer = course::after(&state, 1, 1);
    assert_eq!((newer.courses[0].0, newer.oldest), (kept[0].0, kept[0].0), "on from the oldest");
}

#[test]
fn batch_that_is_too_large_or_makes_no_sense_is_refused_and_changes_nothing() {
    let mut state = MemoryState::default();
    append(&mut state, 1, 1, vec![course(1)]);
    let before = state.clone();
    let refused = |state: &mut MemoryState, courses| append(state, 1, 2, courses);
    let many = refused(&mut state, vec![course(2); BATCH_MAX + 1]);
    assert_eq!(many, Reply::Refused(Refusal::Courses { limit: BATCH_MAX as u64 }));
    let mut wide = course(2);
    wide.kinds[0].fields.push(String::from_utf8(vec![b'x'; COURSE_BYTES_MAX]).unwrap());
    let wide = refused(&mut state, vec![course(2), wide]);
    assert_eq!(wide, Reply::Refused(Refusal::CourseBytes { limit: COURSE_BYTES_MAX as u64 }));
    let unknown = Course { steps: vec![Step { kind: 1, after_us: 0 }], ..course(2) };
    for odd in [unknown, Course { steps: vec![], ..course(2) }] {
        assert_eq!(refused(&mut state, vec![odd]), Reply::Refused(Refusal::NoCourse));
    }
    assert_eq!(state, before);
}

#[test]
fn largest_course_is_taken_and_one_byte_more_is_not() {
    let mut state = MemoryState::default();
    let mut largest = course(1);
    let room = COURSE_BYTES_MAX - largest.bytes();
    // The name's length takes one byte more than it did.
    largest.kinds[0].fields[0] += &"x".repeat(room - 1);
    assert_eq!(largest.bytes(), COURSE_BYTES_MAX);
    assert_eq!(append(&mut state, 1, 1, vec![largest.clone()]), Reply::Done);
    largest.kinds[0].fields[0].push('x');
    assert!(matches!(append(&mut state, 1, 2, vec![largest]), Reply::Refused(_)));
}

/// Group 0 keeps them, and no other; and a command is read as it was written.
#[test]
fn courses_are_for_group_0_alone() {
    let mut groups = Groups::new(1);
    let command = Command::Meta(batch(1, 1, vec![course(1)]));
    assert_eq!(codec::decode(&codec::encode(&command)), Ok(command.clone()));
    let refused = groups.apply(GroupId(1), core::slice::from_ref(&command)).remove(0).reply;
    assert_eq!(refused, Reply::Refused(Refusal::NotMeta));
    assert!(command.adds_work(), "where there is no room they can be missed");
    let mut state = MemoryState::default();
    let mut group = Group::open(GroupId::META, &state, Rules::default());
    let bytes = codec::encode(&command);
    group.apply_entry(&mut state, 1, [&bytes[..], &bytes[..]]).unwrap();
    assert_eq!(kept(&state), [(1, 1)]);
    invariant::check(&group, &state).unwrap();
    state.0.remove(&b"mcourse/0000000000000001"[..]);
    assert!(invariant::check(&group, &state).is_err(), "one is missing");
}

/// Whoever begins now finds all that the newest version was learnt from.
#[test]
fn what_is_kept_reaches_back_to_where_the_newest_version_began() {
    let mut began = 0;
    for version in 0..6 * GENERATION {
        let next = course::begins(version);
        assert!(next >= began && next.is_multiple_of(GENERATION), "{version}: {next}");
        assert!(course::takes_over(next) <= version, "{version}: {next}");
        let oldest = (version + 1).saturating_sub(COURSES_MAX).max(1);
        assert!(oldest <= next + 1, "{version}: {next} is below {oldest}");
        began = next;
    }
    assert_eq!(course::begins(GENERATION + OVERLAP - 1), 0);
    assert_eq!(course::begins(GENERATION + OVERLAP), GENERATION);
    assert_eq!(course::takes_over(GENERATION), GENERATION + OVERLAP);
}
