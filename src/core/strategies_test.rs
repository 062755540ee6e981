//! What property tests draw from: keys, values, operations, whole transactions. Small alphabets, so
//! that draws meet, with the odd bytes (NUL, FF-near, empty) that encodings trip over.

use crate::{
    chain::{self, Seal, Segment, Transition},
    codec,
    delta::{Delta, Expect, Op},
    hash::Hash,
    id::{GroupId, Timestamp},
    key::Key,
    value::{Fields, Scalar, Value},
};
use alloc::{string::String, vec::Vec};
use proptest::{collection, option, prelude::*, sample};

pub(crate) fn component() -> impl Strategy<Value = String> {
    let letter = sample::select(alloc::vec!['\0', '\u{1}', 'a', 'b', '~', 'ÿ', '\u{10FFFF}']);
    collection::vec(letter, 1..4).prop_map(|letters| letters.into_iter().collect())
}

pub(crate) fn sort() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), component()]
}

pub(crate) fn key() -> impl Strategy<Value = Key> {
    (component(), component(), sort()).prop_map(|(collection, partition, sort)| Key {
        collection,
        partition,
        sort,
    })
}

pub(crate) fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<bool>().prop_map(Scalar::Bool),
        (-3i64..3).prop_map(Scalar::I64),
        any::<i64>().prop_map(Scalar::I64),
        any::<u64>().prop_map(Scalar::F64),
        component().prop_map(Scalar::String),
        collection::vec(any::<u8>(), 0..4).prop_map(Scalar::Bytes),
    ]
}

pub(crate) fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        scalar().prop_map(Value::One),
        (-3i64..3).prop_map(Value::from),
        collection::vec(scalar(), 0..4).prop_map(Value::List),
    ]
}

pub(crate) fn field() -> impl Strategy<Value = String> {
    sample::select(alloc::vec!["a", "b", "c"]).prop_map(String::from)
}

pub(crate) fn fields() -> impl Strategy<Value = Fields> {
    collection::btree_map(field(), value(), 0..4)
}

pub(crate) fn image() -> impl Strategy<Value = Option<Fields>> {
    option::weighted(0.8, fields())
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let values = || collection::vec(scalar(), 0..3);
    prop_oneof![
        fields().prop_map(Op::Put),
        fields().prop_map(Op::Merge),
        (field(), -9i64..9).prop_map(|(field, by)| Op::Add { field, by }),
        (field(), any::<i64>()).prop_map(|(field, by)| Op::Add { field, by }),
        (field(), values()).prop_map(|(field, values)| Op::Append { field, values }),
        (field(), values()).prop_map(|(field, values)| Op::Union { field, values }),
        field().prop_map(Op::RemoveField),
        Just(Op::Delete),
        expect().prop_map(Op::Expect),
    ]
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        (0u64..3).prop_map(|version| Expect::Version(Timestamp(version))),
        (field(), option::of(value())).prop_map(|(field, value)| Expect::Field { field, value }),
        Just(Expect::Absent),
        Just(Expect::Present),
    ]
}

pub(crate) fn delta() -> impl Strategy<Value = Delta> {
    (key(), op()).prop_map(|(key, op)| Delta { key, op })
}

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash)
}

/// A sealed stream: who takes which transition, chained and cut into segments.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) seal: Seal,
    pub(crate) segments: Vec<Segment>,
    pub(crate) transitions: Vec<Transition>,
}

impl Stream {
    /// The transitions of one segment.
    pub(crate) fn run(&self, segment: &Segment) -> Vec<Transition> {
        let inside = |seq| segment.first <= seq && seq <= segment.last;
        self.transitions.iter().filter(|transition| inside(transition.seq)).cloned().collect()
    }
}

pub(crate) fn stream() -> impl Strategy<Value = Stream> {
    let taken = (0u32..3, collection::vec(any::<u8>(), 1..6));
    (hash(), collection::vec(taken, 1..10)).prop_map(|(seed, taken)| {
        let mut stream = Stream {
            seal: Seal { seed, count: 0, head: seed },
            segments: Vec::new(),
            transitions: Vec::new(),
        };
        for (group, delta) in taken {
            push(&mut stream, GroupId(group), delta);
        }
        stream
    })
}

fn push(stream: &mut Stream, group: GroupId, delta: Vec<u8>) {
    let before = stream.seal.head;
    let seq = stream.seal.count + 1;
    let after = chain::link(&before, seq, &delta);
    match stream.segments.last_mut() {
        Some(last) if last.group == group => (last.last, last.after) = (seq, after),
        _ => stream.segments.push(Segment { group, first: seq, last: seq, before, after }),
    }
    stream.transitions.push(Transition { seq, delta });
    (stream.seal.count, stream.seal.head) = (seq, after);
}

/// A delta's bytes.
pub(crate) fn bytes(delta: &Delta) -> Vec<u8> {
    codec::encode(delta)
}
