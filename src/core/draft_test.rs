//! Drafts: what a stream sees of itself, what it refuses, and that its seal is what groups check.

use crate::{
    chain::{link, recompute, stitch},
    command::{Command, Decision, Reply, Standing, Vote},
    conflict::Touch,
    delta::{Delta, Expect, Op},
    draft::{Draft, DraftError},
    fixture_test::{Groups, put},
    footprint::Footprint,
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    limits::Limits,
    read::Record,
    ring::{Ring, RingSpec},
    strategies_test::{bytes, delta, image, op},
};
use alloc::{boxed::Box, vec, vec::Vec};
use proptest::{collection, prelude::*};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

fn wide(ring: Ring) -> Draft {
    Draft::begin(ring, Limits::production(), Timestamp(1), 1, Hash::ZERO)
}

proptest! {
    #[test]
    fn read_shows_own_deltas_laid_over_what_the_group_holds(
        image in image(), ops in collection::vec(op(), 0..6)
    ) {
        let groups = Groups::new(2);
        let (limits, key) = (Limits::production(), groups.key_in(TWO));
        let version = Timestamp(if image.is_some() { 5 } else { 0 });
        let mut draft = wide(groups.ring.clone());
        let mut expected = Ok(image.clone());
        for op in ops {
            draft.push(bytes(&Delta { key: key.clone(), op: op.clone() }), None, None).unwrap();
            expected = expected.and_then(|image| op.apply(version, image, &limits));
        }
        let record = Record { key: key.clone(), version, fields: image };
        match (draft.note_read(&record), expected) {
            (Ok(seen), Ok(fields)) => prop_assert_eq!(seen, Record { key, version, fields }),
            (Err(DraftError::Rejected { rejection, .. }), Err(expected)) => {
                prop_assert_eq!(rejection, expected);
            }
            (seen, expected) => prop_assert!(false, "{seen:?}, {expected:?}"),
        }
    }

    #[test]
    fn seal_segments_parts_and_footprints_are_those_of_what_was_sent(
        deltas in collection::vec(delta(), 1..10)
    ) {
        let groups = Groups::new(3);
        let mut draft = wide(groups.ring.clone());
        let (mut digest, mut footprint) = (Hash::ZERO, Footprint::default());
        for (at, delta) in deltas.iter().enumerate() {
            let sent = bytes(delta);
            digest = link(&digest, at as u64 + 1, &sent);
            footprint.add_delta(delta);
            let accepted = draft.push(sent, Some(at as u64 + 1), Some(digest)).unwrap();
            prop_assert_eq!(Some(accepted.group), groups.ring.group_of(&delta.key.partition));
        }
        let (body, parts) = draft.finish().unwrap();
        prop_assert_eq!(body.seal.head, digest);
        prop_assert_eq!(stitch(&body.seal, &body.segments), Ok(()));
        prop_assert_eq!(body.footprint(), footprint);
        for segment in &body.segments {
            let part = parts.iter().find(|part| part.group == segment.group).expect("a part");
            let inside = |seq| segment.first <= seq && seq <= segment.last;
            let run = part.transitions.iter().filter(|held| inside(held.seq));
            let run = run.map(|held| (held.seq, held.delta.as_slice()));
            prop_assert_eq!(recompute(segment, run), Ok(()));
        }
    }

    #[test]
    fn wrong_sequence_number_is_refused_and_changes_nothing(seq in 0u64..20) {
        let groups = Groups::new(2);
        let mut draft = groups.draft(1);
        draft.push(put(&groups.key_in(ONE), 1), Some(1), None).unwrap();
        let before = draft.seal().clone();
        let pushed = draft.push(put(&groups.key_in(ONE), 2), Some(seq), None);
        if seq == 2 {
            prop_assert!(pushed.is_ok());
        } else {
            prop_assert_eq!(pushed, Err(DraftError::Sequence { expected: 2, sent: seq }));
            prop_assert_eq!(draft.seal(), &before);
        }
    }

    #[test]
    fn wrong_digest_is_refused_and_changes_nothing(byte in 0usize..32, bit in 0u8..8) {
        let groups = Groups::new(2);
        let mut draft = groups.draft(1);
        let delta = put(&groups.key_in(ONE), 1);
        let before = draft.seal().clone();
        let expected = link(&before.seed, 1, &delta);
        let mut sent = expected;
        sent.0[byte] ^= 1 << bit;
        let pushed = draft.push(delta.clone(), None, Some(sent));
        prop_assert_eq!(pushed, Err(DraftError::Digest { seq: 1, expected, sent }));
        prop_assert_eq!(draft.seal(), &before);
        prop_assert!(draft.push(delta, None, Some(expected)).is_ok());
    }
}

#[test]
fn second_read_of_another_version_is_refused_by_both_versions() {
    let groups = Groups::new(2);
    let key = groups.key_in(ONE);
    let mut draft = groups.draft(1);
    let record = |version| Record { key: key.clone(), version: Timestamp(version), fields: None };
    draft.note_read(&record(1)).expect("a first read");
    draft.note_read(&record(1)).expect("the same again");
    let (first, second) = (Timestamp(1), Timestamp(2));
    let refused = draft.note_read(&record(2));
    assert_eq!(refused, Err(DraftError::Unrepeatable { key: key.clone(), first, second }));
}

#[test]
fn limits_are_named() {
    let groups = Groups::new(2);
    let most = Limits::simulation().transitions_max;
    let mut draft = groups.draft(1);
    for n in 0..most {
        draft.push(put(&groups.key_in(ONE), n as i64), None, None).expect("within the limit");
    }
    let refused = draft.push(put(&groups.key_in(ONE), 0), None, None);
    assert_eq!(
        refused,
        Err(DraftError::Limit { limit: "transitions_max", max: most, actual: most + 1 })
    );
    assert_eq!(draft.seal().count, most);
}

#[test]
fn draft_without_ring_or_content_or_with_reserved_keys_is_refused() {
    let groups = Groups::new(2);
    assert_eq!(groups.draft(1).finish().map(drop), Err(DraftError::Empty));
    let mut ringless = wide(Ring::new(RingSpec::default()));
    assert_eq!(ringless.push(put(&groups.key_in(ONE), 1), None, None), Err(DraftError::NoRing));
    let reserved = Key { collection: "$request".into(), partition: "p".into(), sort: "s".into() };
    let refused = groups.draft(1).push(put(&reserved, 1), None, None);
    assert!(matches!(refused, Err(DraftError::Key(_))), "{refused:?}");
    let garbage = groups.draft(1).push(vec![0xFF, 1], None, None);
    assert!(matches!(garbage, Err(DraftError::Delta { seq: 1, .. })), "{garbage:?}");
}

#[test]
fn home_is_the_group_touched_first_and_all_participants_vote_yes() {
    let mut groups = Groups::new(3);
    let mut draft = groups.draft(7);
    for group in [TWO, ONE, GroupId(3), TWO] {
        draft.push(put(&groups.key_in(group), 1), None, None).expect("accepted");
    }
    assert_eq!(draft.tid().map(|tid| tid.home), Some(TWO));
    let (body, parts) = draft.finish().expect("touched");
    assert_eq!(body.groups(), [ONE, TWO, GroupId(3)]);
    for part in parts {
        let group = part.group;
        let vote = Vote { body: body.clone(), part, hint: Timestamp::ZERO };
        let reply = groups.apply(group, &[Command::Vote(Box::new(vote))]).remove(0).reply;
        assert!(matches!(reply, Reply::Standing(Standing::Yes { .. })), "{reply:?}");
    }
    let mut alone = groups.draft(8);
    alone.push(put(&Key { sort: "other".into(), ..groups.key_in(ONE) }, 1), None, None).unwrap();
    let (body, mut parts): (_, Vec<_>) = alone.finish().expect("touched");
    let vote = Vote { body, part: parts.remove(0), hint: Timestamp::ZERO };
    let reply = groups.apply(ONE, &[Command::Vote(Box::new(vote))]).remove(0).reply;
    let committed = Standing::Decided(Decision::Committed { ts: Timestamp(2) });
    assert_eq!(reply, Reply::Standing(committed));
}

#[test]
fn transitions_taken_to_stage_are_not_carried_and_the_vote_finds_them() {
    let mut groups = Groups::new(1);
    let mut draft = groups.draft(7);
    let next = |n| put(&groups.key_in(ONE), n);
    draft.push(next(1), None, None).expect("accepted");
    draft.push(next(2), None, None).expect("accepted");
    assert_eq!(draft.take_to_stage(ONE, u64::MAX), vec![]);
    let taken = draft.take_to_stage(ONE, 1);
    assert_eq!(taken.iter().map(|transition| transition.seq).collect::<Vec<_>>(), [1, 2]);
    draft.push(next(3), None, None).expect("accepted");
    let (body, mut parts) = draft.finish().expect("touched");
    let (tid, part) = (body.tid, parts.remove(0));
    assert_eq!(part.transitions.len(), 1);
    let vote = Command::Vote(Box::new(Vote { body, part, hint: Timestamp::ZERO }));
    let early = groups.apply(ONE, core::slice::from_ref(&vote)).remove(0).reply;
    assert!(matches!(early, Reply::Fault(_)), "nothing is staged yet: {early:?}");
    groups.apply(ONE, &[Command::Stage { tid, transitions: taken }]);
    let reply = groups.apply(ONE, &[vote]).remove(0).reply;
    let committed = Decision::Committed { ts: Timestamp(1) };
    assert_eq!(reply, Reply::Standing(Standing::Decided(committed)));
}

#[test]
fn transition_past_the_transactions_bytes_is_refused_and_changes_nothing() {
    let groups = Groups::new(1);
    let delta = put(&groups.key_in(ONE), 1);
    let max = 2 * delta.len() as u64;
    let limits = Limits { transaction_bytes_max: max, ..Limits::production() };
    let mut draft = Draft::begin(groups.ring.clone(), limits, Timestamp(1), 1, Hash::ZERO);
    for _ in 0..2 {
        draft.push(delta.clone(), None, None).expect("within the limit");
    }
    let before = draft.seal().clone();
    let refused = draft.push(delta, None, None);
    let (limit, actual) = ("transaction_bytes_max", max + max / 2);
    assert_eq!(refused, Err(DraftError::Limit { limit, max, actual }));
    assert_eq!(draft.seal(), &before);
}

#[test]
fn touches_are_a_delta_each_and_of_what_was_only_read_one_that_writes_nothing() {
    let groups = Groups::new(2);
    let mut draft = groups.draft(7);
    let (written, read) = (groups.key_in(ONE), groups.key_in(TWO));
    let first = put(&written, 1);
    draft.push(first.clone(), None, None).expect("accepted");
    draft.push(put(&written, 2), None, None).expect("accepted");
    for key in [&written, &read] {
        let absent = Record { key: key.clone(), version: Timestamp::ZERO, fields: None };
        draft.note_read(&absent).expect("noted");
    }
    let put = Touch { bytes: first.len() as u64, ..Touch::of_key(&written) };
    let seen = Touch { writes: false, ..Touch::of_key(&read) };
    let touches = draft.touches(9);
    let of = |at: usize| (touches[at].0, touches[at].1.len());
    assert_eq!((of(0), of(1), touches.len()), ((ONE, 2), (TWO, 1), 2));
    let named = |touch: &Touch| (touch.record, touch.writes, touch.bytes);
    assert!(touches[0].1.iter().all(|touch| named(touch) == named(&put)), "{touches:?}");
    assert_eq!(touches[1].1, [seen]);
    assert_eq!(draft.touches(0), [(ONE, vec![]), (TWO, vec![])]);
}

#[test]
fn draft_has_written_what_it_put_and_not_what_it_read_or_expects_something_of() {
    let groups = Groups::new(2);
    let mut draft = groups.draft(7);
    let (written, read) = (groups.key_in(ONE), groups.key_in(TWO));
    let absent = Record { key: read.clone(), version: Timestamp::ZERO, fields: None };
    draft.note_read(&absent).expect("noted");
    let expected = Delta { key: read.clone(), op: Op::Expect(Expect::Absent) };
    draft.push(bytes(&expected), None, None).expect("accepted");
    assert!(!draft.writes(ONE, &written) && !draft.writes(TWO, &read));
    draft.push(put(&written, 1), None, None).expect("accepted");
    assert!(draft.writes(ONE, &written) && !draft.writes(TWO, &read));
    assert_eq!(draft.written(), [(ONE, written)]);
}
