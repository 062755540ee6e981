//! What counts against a group's quota, what is promised, and what is refused.

use crate::{
    command::{Cause, Command, Config, Decision, Reply, Standing, Vote, Why},
    fixture_test::{Groups, put},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::Key,
    limits::Limits,
    quota::Quota,
    request::RequestId,
};
use alloc::{vec, vec::Vec};

const ONE: GroupId = GroupId(1);
const TWO: GroupId = GroupId(2);

/// `n` and its value: name 1 + 2, value 8.
const FIELDS_BYTES: u64 = 11;

fn limited(records_bytes_max: u64) -> Groups {
    let mut groups = Groups::new(2);
    let limits = Limits { records_bytes_max, ..Limits::simulation() };
    for group in [ONE, TWO] {
        groups.apply(group, &[Command::Configure(Config::new(limits.clone(), None))]);
    }
    groups
}

fn bytes_of(key: &Key) -> u64 {
    (key.collection.len() + key.partition.len() + key.sort.len()) as u64 + FIELDS_BYTES
}

fn votes(groups: &Groups, nonce: u64, deltas: &[Vec<u8>]) -> (Tid, Vec<(GroupId, Command)>) {
    let mut draft = groups.draft(nonce);
    for delta in deltas {
        draft.push(delta.clone(), None, None).expect("a sound delta");
    }
    let (body, parts) = draft.finish().expect("it wrote");
    let vote = |part: &crate::body::Part| {
        let (body, part) = (body.clone(), part.clone());
        Command::Vote(Vote { body, part, hint: Timestamp::ZERO }.into())
    };
    (body.tid, parts.iter().map(|part| (part.group, vote(part))).collect())
}

fn standing(groups: &mut Groups, group: GroupId, command: &Command) -> Standing {
    match groups.apply(group, core::slice::from_ref(command)).remove(0).reply {
        Reply::Standing(standing) => standing,
        other => panic!("{other:?} is no standing"),
    }
}

fn decide(groups: &mut Groups, group: GroupId, tid: Tid, decision: Decision) {
    groups.apply(group, &[Command::Decide { tid, body: None, decision, proofs: vec![] }]);
}

fn quota(groups: &Groups, group: GroupId) -> Quota {
    groups.groups[&group].0.quota()
}

fn delete(key: &Key) -> Vec<u8> {
    let op = crate::delta::Op::Delete;
    crate::codec::encode(&crate::delta::Delta { key: key.clone(), op })
}

#[test]
fn group_at_its_limit_refuses_growth_by_name_and_takes_what_shrinks_it() {
    let key = limited(0).key_in(ONE);
    let bytes = bytes_of(&key);
    let mut groups = limited(bytes);
    let (_, first) = votes(&groups, 1, &[put(&key, 1)]);
    assert!(matches!(standing(&mut groups, ONE, &first[0].1), Standing::Decided(_)));
    assert_eq!(quota(&groups, ONE), Quota { held: bytes, promised: 0 });

    let other = Key { sort: "2".into(), ..key.clone() };
    let wanted = bytes_of(&other);
    let (_, second) = votes(&groups, 2, &[put(&other, 1)]);
    let why = Why::Quota { wanted, held: bytes, promised: 0, limit: bytes };
    let refused = Decision::RolledBack(Cause { group: ONE, why });
    assert_eq!(standing(&mut groups, ONE, &second[0].1), Standing::Decided(refused));

    // As large as before: no growth. Then smaller, and what that freed is free.
    for (nonce, deltas) in [
        (3, vec![put(&key, 2)]),
        (4, vec![delete(&key)]),
        (5, vec![put(&key, 3)]),
        (6, vec![delete(&key), put(&key, 4)]),
    ] {
        let (_, vote) = votes(&groups, nonce, &deltas);
        let committed = standing(&mut groups, ONE, &vote[0].1);
        assert!(matches!(committed, Standing::Decided(Decision::Committed { .. })), "{nonce}");
    }
    assert_eq!(quota(&groups, ONE), Quota { held: bytes, promised: 0 });
}

#[test]
fn undecided_yes_is_promised_its_growth_and_a_rollback_gives_it_back() {
    let groups = limited(0);
    let (one, two) = (groups.key_in(ONE), groups.key_in(TWO));
    let bytes = bytes_of(&one);
    let mut groups = limited(bytes + 20);
    let (tid, both) = votes(&groups, 1, &[put(&one, 1), put(&two, 1)]);
    assert!(matches!(standing(&mut groups, ONE, &both[0].1), Standing::Yes { .. }));
    assert_eq!(quota(&groups, ONE), Quota { held: 0, promised: bytes });

    let other = Key { sort: "2".into(), ..one.clone() };
    let (_, second) = votes(&groups, 2, &[put(&other, 1)]);
    let found = standing(&mut groups, ONE, &second[0].1);
    let Standing::Decided(Decision::RolledBack(cause)) = found else { panic!("{found:?}") };
    assert!(matches!(cause.why, Why::Quota { held: 0, promised, .. } if promised == bytes));

    let why = Why::Forced;
    decide(&mut groups, ONE, tid, Decision::RolledBack(Cause { group: TWO, why }));
    assert_eq!(quota(&groups, ONE), Quota::default());
    let (_, third) = votes(&groups, 3, &[put(&other, 1)]);
    assert!(matches!(standing(&mut groups, ONE, &third[0].1), Standing::Decided(_)));
    assert_eq!(quota(&groups, ONE), Quota { held: bytes_of(&other), promised: 0 });
}

#[test]
fn decision_is_applied_where_the_limit_was_lowered_after_its_vote() {
    let groups = limited(0);
    let (one, two) = (groups.key_in(ONE), groups.key_in(TWO));
    let mut groups = limited(1_000);
    let (tid, both) = votes(&groups, 1, &[put(&one, 1), put(&two, 1)]);
    for (group, vote) in &both {
        assert!(matches!(standing(&mut groups, *group, vote), Standing::Yes { .. }));
    }
    let limits = Limits { records_bytes_max: 1, ..Limits::simulation() };
    groups.apply(ONE, &[Command::Configure(Config::new(limits, None))]);
    let ts = groups.groups[&ONE].0.clock().max(groups.groups[&TWO].0.clock());
    decide(&mut groups, ONE, tid, Decision::Committed { ts });
    assert_eq!(quota(&groups, ONE), Quota { held: bytes_of(&one), promised: 0 });
}

#[test]
fn tombstone_that_is_collected_changes_no_count() {
    let key = limited(0).key_in(ONE);
    let mut groups = limited(1_000);
    for (nonce, delta) in [(1, put(&key, 1)), (2, delete(&key))] {
        let (_, vote) = votes(&groups, nonce, &[delta]);
        standing(&mut groups, ONE, &vote[0].1);
    }
    assert_eq!(quota(&groups, ONE), Quota::default());
    let horizon = groups.groups[&ONE].0.clock();
    groups.apply(ONE, &[Command::Collect { horizon, items_max: 100 }]);
    assert_eq!(quota(&groups, ONE), Quota::default());
}

/// Else a full group would take no delete from clients that name their requests.
#[test]
fn request_records_do_not_count() {
    let key = limited(0).key_in(ONE);
    let bytes = bytes_of(&key);
    let mut groups = limited(bytes);
    for (nonce, delta) in [(1, put(&key, 1)), (2, put(&key, 2)), (3, delete(&key))] {
        let mut draft = groups.draft(nonce);
        let (principal, id) = ("somebody".into(), vec![nonce as u8]);
        let (route, mint) = (key.partition.clone(), groups.groups[&ONE].0.clock().next());
        let request = RequestId { principal, id, route, mint };
        draft.claim(request, Hash::ZERO).expect("a sound request id");
        draft.push(delta, None, None).expect("a sound delta");
        let (body, parts) = draft.finish().expect("it wrote");
        let vote = Vote { body, part: parts[0].clone(), hint: Timestamp::ZERO };
        let decided = standing(&mut groups, ONE, &Command::Vote(vote.into()));
        assert!(matches!(decided, Standing::Decided(Decision::Committed { .. })), "{decided:?}");
    }
    assert_eq!(quota(&groups, ONE), Quota::default());
}
