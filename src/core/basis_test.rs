//! What a transaction rests on, at its vote: moved over changes that it commutes with, of a
//! snapshot, or of nothing.

use crate::{
    codec,
    command::{Cause, Command, Decision, Reply, Standing, Vote, Why},
    delta::{Delta, Op},
    draft::Draft,
    fixture_test::{Groups, put},
    id::{GroupId, Timestamp},
    key::Key,
    read::Record,
    strategy::Basis,
    value::{Fields, Value},
};
use alloc::{boxed::Box, vec::Vec};

const ONE: GroupId = GroupId(1);
const BASES: [Basis; 2] = [Basis::Reads, Basis::Rebase];

struct One {
    groups: Groups,
    nonce: u64,
}

impl One {
    fn new() -> One {
        One { groups: Groups::new(1), nonce: 0 }
    }

    fn key(&self, sort: &str) -> Key {
        Key { sort: sort.into(), ..self.groups.key_in(ONE) }
    }

    fn draft(&mut self, basis: Basis) -> Draft {
        self.nonce += 1;
        let mut draft = self.groups.draft(self.nonce);
        draft.rest_on(basis);
        draft
    }

    fn clock(&self) -> Timestamp {
        self.groups.groups[&ONE].0.clock()
    }

    fn read(&self, key: &Key) -> Record {
        let (group, state) = &self.groups.groups[&ONE];
        group.peek(state, key).0
    }

    fn field(&self, key: &Key, field: &str) -> Option<Value> {
        self.read(key).fields?.get(field).cloned()
    }

    /// A transaction that read this record now and will make these deltas of it.
    fn reading(&mut self, basis: Basis, key: &Key, deltas: &[Vec<u8>]) -> Draft {
        let record = self.read(key);
        let mut draft = self.draft(basis);
        draft.note_read(&record).expect("readable");
        for delta in deltas {
            draft.push(delta.clone(), None, None).expect("a sound delta");
        }
        draft
    }

    fn commit(&mut self, draft: Draft) -> Result<Timestamp, Why> {
        let (body, mut parts) = draft.finish().expect("it touched something");
        let vote = Vote { body, part: parts.remove(0), hint: Timestamp::ZERO };
        let applied = self.groups.apply(ONE, &[Command::Vote(Box::new(vote))]).remove(0);
        match applied.reply {
            Reply::Standing(Standing::Decided(Decision::Committed { ts })) => Ok(ts),
            Reply::Standing(Standing::Decided(Decision::RolledBack(Cause { why, .. }))) => Err(why),
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, delta: Vec<u8>) -> Timestamp {
        let mut draft = self.draft(Basis::Reads);
        draft.push(delta, None, None).expect("a sound delta");
        self.commit(draft).expect("nothing is in the way")
    }
}

fn delta(key: &Key, op: Op) -> Vec<u8> {
    codec::encode(&Delta { key: key.clone(), op })
}

fn add(key: &Key, by: i64) -> Vec<u8> {
    delta(key, Op::Add { field: "n".into(), by })
}

fn set(key: &Key, field: &str, value: i64) -> Vec<u8> {
    delta(key, Op::Merge(Fields::from([(field.into(), value.into())])))
}

#[test]
fn additions_are_moved_over_additions_only_where_that_is_asked_for() {
    for basis in BASES {
        let mut one = One::new();
        let key = one.key("");
        one.write(put(&key, 1));
        let late = [add(&key, 10)];
        let late = one.reading(basis, &key, &late);
        one.write(add(&key, 100));
        let came_to = one.commit(late);
        let moved = basis == Basis::Rebase;
        assert_eq!(came_to.is_ok(), moved, "{came_to:?}");
        assert_eq!(one.field(&key, "n"), Some(Value::from(if moved { 111 } else { 101 })));
    }
}

#[test]
fn nothing_is_moved_over_what_it_would_undo() {
    let mut one = One::new();
    let (key, other) = (one.key(""), one.key("other"));
    let changes: [fn(&Key) -> Vec<u8>; 3] =
        [|key| set(key, "n", 7), |key| put(key, 7), |key| delta(key, Op::Delete)];
    for change in changes {
        one.write(put(&key, 1));
        for mine in [[set(&key, "n", 9)], [put(&key, 9)], [delta(&key, Op::Delete)]] {
            let late = one.reading(Basis::Rebase, &key, &mine);
            one.write(change(&key));
            let refused = matches!(one.commit(late), Err(Why::ReadChanged { .. }));
            let both_delete = mine[0] == change(&key);
            assert!(refused || both_delete);
            one.write(put(&key, 1));
        }
    }
    // Another field than was changed is as good as another record.
    let mine = [set(&key, "m", 9)];
    let late = one.reading(Basis::Rebase, &key, &mine);
    one.write(add(&key, 1));
    one.commit(late).expect("the fields differ");
    assert_eq!(one.field(&key, "n"), Some(Value::from(2)));
    assert_eq!(one.field(&key, "m"), Some(Value::from(9)));
    // What was read there may be why this is written here.
    let mine = [add(&other, 1)];
    let late = one.reading(Basis::Rebase, &key, &mine);
    one.write(add(&key, 1));
    assert!(matches!(one.commit(late), Err(Why::ReadChanged { key: at, .. }) if at == key));
}

#[test]
fn nothing_is_moved_from_a_version_that_is_no_longer_kept() {
    let mut one = One::new();
    let key = one.key("");
    one.write(put(&key, 1));
    let mine = [add(&key, 10)];
    let late = one.reading(Basis::Rebase, &key, &mine);
    one.write(add(&key, 100));
    let horizon = one.clock();
    one.groups.apply(ONE, &[Command::Collect { horizon, items_max: 100 }]);
    assert!(matches!(one.commit(late), Err(Why::ReadChanged { .. })));
}

#[test]
fn first_to_write_since_a_snapshot_wins_whatever_was_read() {
    let mut one = One::new();
    let (a, b) = (one.key("a"), one.key("b"));
    one.write(put(&a, 1));
    one.write(put(&b, 1));
    let at = one.clock();
    let basis = Basis::Snapshot(at);
    // Each reads what the other one writes: write skew, which a snapshot allows.
    let (to_a, to_b) = ([put(&a, 2)], [put(&b, 2)]);
    let first = one.reading(basis, &b, &to_a);
    let second = one.reading(basis, &a, &to_b);
    let late = one.reading(basis, &b, &to_a);
    let ts = one.commit(first).expect("nobody wrote it since");
    assert!(ts > at);
    one.commit(second).expect("what it read need not hold");
    let lost = one.commit(late);
    assert_eq!(lost, Err(Why::WrittenSince { key: a.clone(), at, found: ts }));
}

#[test]
fn removal_since_a_snapshot_counts_as_a_write() {
    let mut one = One::new();
    let key = one.key("");
    one.write(put(&key, 1));
    let at = one.clock();
    let mine = [put(&key, 2)];
    let (late, later) = [(); 2].map(|()| one.reading(Basis::Snapshot(at), &key, &mine)).into();
    let gone = one.write(delta(&key, Op::Delete));
    let lost = one.commit(late);
    assert_eq!(lost, Err(Why::WrittenSince { key: key.clone(), at, found: gone }));
    // Once that is collected nobody knows of it.
    let horizon = one.clock();
    one.groups.apply(ONE, &[Command::Collect { horizon, items_max: 100 }]);
    assert_eq!(one.commit(later), Err(Why::SnapshotTooOld { at, horizon }));
}

#[test]
fn transaction_is_later_than_its_snapshot_even_where_the_group_is_behind() {
    let mut one = One::new();
    let key = one.key("");
    let at = Timestamp(1_000);
    assert!(one.clock() < at);
    let mine = [put(&key, 1)];
    let draft = one.reading(Basis::Snapshot(at), &key, &mine);
    assert!(one.commit(draft).expect("nobody wrote it") > at);
}

#[test]
fn last_writer_writes_over_what_it_read() {
    let mut one = One::new();
    let key = one.key("");
    one.write(put(&key, 1));
    let mine = [put(&key, 3)];
    let late = one.reading(Basis::Nothing, &key, &mine);
    one.write(put(&key, 2));
    one.commit(late).expect("nothing that it read need hold");
    assert_eq!(one.field(&key, "n"), Some(Value::from(3)));
}

#[test]
fn body_states_what_it_rests_on() {
    let digests = [Basis::Reads, Basis::Rebase, Basis::Snapshot(Timestamp(1)), Basis::Nothing];
    let digests = digests.map(|basis| {
        let mut one = One::new();
        let key = one.key("");
        let mut draft = one.draft(basis);
        draft.push(put(&key, 1), None, None).expect("a sound delta");
        let (body, _) = draft.finish().expect("it touched something");
        body.digest()
    });
    for (at, digest) in digests.iter().enumerate() {
        assert!(!digests[..at].contains(digest));
    }
}
