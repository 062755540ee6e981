//! What a running stream is warned of: each read that a vote would refuse, and no other.

use crate::{
    body::KeyRead,
    command::{Command, Vote},
    disturbed::Disturbed,
    fixture_test::{Groups, put},
    id::{GroupId, Timestamp},
    key::Key,
    rules::Rules,
    strategy::Basis,
};
use alloc::{vec, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

/// Votes on writes of these records; undecided where there are several groups.
fn vote(groups: &mut Groups, nonce: u64, keys: &[&Key]) -> crate::id::Tid {
    let mut draft = groups.draft(nonce);
    for key in keys {
        draft.push(put(key, nonce as i64), None, None).unwrap();
    }
    let (body, parts) = draft.finish().unwrap();
    let tid = body.tid;
    for part in parts {
        let (body, group) = (body.clone(), part.group);
        let vote = Vote { body, part, hint: Timestamp::ZERO };
        groups.apply(group, &[Command::Vote(vote.into())]);
    }
    tid
}

fn disturbed(groups: &Groups, reads: &[(&Key, Timestamp)]) -> Vec<Disturbed> {
    let read =
        |(key, version): &(&Key, Timestamp)| KeyRead { key: (*key).clone(), version: *version };
    let reads: Vec<KeyRead> = reads.iter().map(read).collect();
    let (group, state) = &groups.groups[&ONE];
    group.disturbed(state, &reads)
}

#[test]
fn read_is_disturbed_by_another_version_and_by_an_undecided_writer_alone() {
    let mut groups = Groups::new(2);
    let (key, other) = (groups.key_in(ONE), groups.key_in(TWO));
    let absent = (&key, Timestamp::ZERO);
    assert_eq!(disturbed(&groups, &[absent]), []);
    vote(&mut groups, 1, &[&key]);
    let found = disturbed(&groups, &[absent]);
    assert_eq!(found.len(), 1);
    assert!(found[0].is_overwritten() && found[0].writer.is_none(), "{found:?}");
    let now = (&key, found[0].found);
    assert_eq!(disturbed(&groups, &[now]), [], "what is read now stands");
    let writer = vote(&mut groups, 2, &[&key, &other]);
    let found = disturbed(&groups, &[now, absent]);
    assert_eq!(found.iter().map(|read| read.writer).collect::<Vec<_>>(), vec![Some(writer); 2]);
    assert!(!found[0].is_overwritten(), "it may yet be let go");
    assert!(found[1].is_overwritten());
}

#[test]
fn open_stream_that_rests_on_its_reads_is_ended_by_another_version_alone() {
    let mut groups = Groups::new(2);
    let (key, other) = (groups.key_in(ONE), groups.key_in(TWO));
    let absent = (&key, Timestamp::ZERO);
    vote(&mut groups, 1, &[&key]);
    let overwritten = disturbed(&groups, &[absent]).remove(0);
    let mut draft = groups.draft(2);
    let rules = Rules::default();
    assert!(overwritten.ends(Some(&draft), rules));
    assert!(!overwritten.ends(None, rules), "it is sealed");
    for basis in [Basis::Rebase, Basis::Snapshot(Timestamp::ZERO), Basis::Nothing] {
        draft.rest_on(basis);
        assert!(!overwritten.ends(Some(&draft), rules), "{basis:?} may commit whatever it read");
    }
    draft.rest_on(Basis::Reads);
    vote(&mut groups, 3, &[&key, &other]);
    let now = (&key, overwritten.found);
    let locked = disturbed(&groups, &[now]).remove(0);
    assert!(!locked.ends(Some(&draft), rules), "it may yet be let go");
}
