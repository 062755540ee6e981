//! The rows of a group's state, for fuzzing: bytes in, and whether they were taken for something.
//!
//! A group trusts what it reads of its own state ([`crate::tables`]): a row that does not parse
//! ends the replica, and the store's checksums keep damaged ones from it. What is tried here is
//! that reading ends for any bytes, with a value that is written and read again as the same, or
//! with an error; and that whoever reads the first fields alone is told what the whole row says.

use crate::{
    checkpoint::Checkpoint,
    codec,
    command::{ChainHead, Config},
    conflict::Features,
    course,
    delta::{Delta, Op},
    hash::Hash,
    history::{self, Row},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    memory::MemoryState,
    meta::NodeRecord,
    policy::Policies,
    request::Held,
    ring::RingSpec,
    shelf::{SharedModel, Shelf},
    tables::{self, Attested, Garbage, Head, Kept, Leaves, Prepared, Stored},
    tolerance::Tolerance,
    value::{Scalar, Value},
};
use alloc::{collections::BTreeMap, vec, vec::Vec};
use serde::{Serialize, de::DeserializeOwned};

/// Tables, and kinds of things that group 0 keeps.
const KINDS: usize = 17 + 7;

/// A row: the length of its key in one byte, the key, the value.
pub fn row(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first() else { return false };
    let Some((key, value)) = rest.split_at_checked(usize::from(*length)) else { return false };
    let Some((tag, rest)) = key.split_first() else { return false };
    match *tag {
        tables::META => meta(rest, value),
        tag => at_its_place(tag, rest) && in_table(tag, value),
    }
}

/// One row of each table of these states, and of each thing that group 0 keeps, as [`row`] takes
/// it; and of tables that a transaction leaves behind seldom one that is made up.
pub fn rows(states: &[&MemoryState]) -> Vec<Vec<u8>> {
    let key = Key::new("account", "ada", "").expect("a valid key");
    let made = made_up(&key);
    let all = states.iter().flat_map(|state| &state.0).chain(&made.0);
    let mut found: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (place, value) in all {
        found.entry(kind(place)).or_insert_with(|| {
            let length = u8::try_from(place.len()).expect("keys of samples are short");
            [&[length][..], place, value].concat()
        });
    }
    assert_eq!(found.len(), KINDS, "a table without a sample: {:?}", found.keys());
    found.into_values().collect()
}

/// The table; of group 0's things also the name, up to their number.
fn kind(place: &[u8]) -> Vec<u8> {
    let end = place.iter().position(|byte| *byte == b'/').unwrap_or(place.len());
    let length = if place[0] == tables::META { end } else { 1 };
    place[..length].to_vec()
}

fn made_up(key: &Key) -> MemoryState {
    let (tid, ts) = (Tid { mint: Timestamp(5), home: GroupId(1), nonce: 7 }, Timestamp(9));
    let stored = Stored { version: ts, bytes: 1, fields: None };
    let older = Garbage::Version { key: key.clone(), version: ts };
    let ranges = vec![KeyRange::partition("account", "ada")];
    let staged = Delta { key: key.clone(), op: Op::Delete };
    let heads = vec![ChainHead { index: 3, digest: Hash([3; 32]) }];
    let checkpoint = Checkpoint::over(GroupId(1), &heads).expect("there is a head");
    let attested = Attested { checkpoint, signatures: Vec::new(), heads };
    let rows = [
        (tables::history(key, ts), codec::encode(&stored)),
        (tables::garbage(ts, &older), codec::encode(&vec![Garbage::Outcome(tid)])),
        (tables::read_lock(key, tid), Vec::new()),
        (tables::range_lock(tid), codec::encode(&ranges)),
        (tables::stage(tid, 2), codec::encode(&staged)),
        (tables::attested(3), codec::encode(&attested)),
        (tables::TOLERANCE.to_vec(), codec::encode(&Tolerance::default())),
    ];
    MemoryState(rows.into())
}

/// Whether what lies behind the tag is a key of that table.
fn at_its_place(tag: u8, rest: &[u8]) -> bool {
    let is_key = |bytes: &[u8]| Key::decode(bytes).is_some();
    match tag {
        tables::LATEST | tables::WRITE_LOCK => is_key(rest),
        b'h' => rest.split_last_chunk::<8>().is_some_and(|(key, _)| is_key(key)),
        tables::READ_LOCK => rest.split_last_chunk::<20>().is_some_and(|(key, _)| is_key(key)),
        tables::TXN | tables::PREPARED | tables::RANGE_LOCK => Tid::from_bytes(rest).is_some(),
        tables::STAGE => rest.len() == 28,
        tables::GARBAGE => rest.get(8..).is_some_and(again::<Garbage>),
        b'e' | tables::CHAIN_HEAD | tables::ATTESTED | tables::EVENT => rest.len() == 8,
        _ => rest.is_empty(),
    }
}

fn in_table(tag: u8, value: &[u8]) -> bool {
    match [tag].as_slice() {
        tables::CONFIG => return again::<Config>(value),
        tables::HEAD => return again::<Head>(value),
        tables::TOLERANCE => return again::<Tolerance>(value),
        tables::LEDGER => return again::<history::Ledger>(value),
        _ => {}
    }
    match tag {
        tables::LATEST | b'h' => stored(value),
        tables::GARBAGE => value.is_empty() || again::<Vec<Garbage>>(value),
        tables::TXN => kept(value),
        tables::PREPARED => again::<Prepared>(value),
        b'e' => again::<Leaves>(value),
        tables::WRITE_LOCK => again::<(Tid, Timestamp)>(value),
        tables::READ_LOCK => value.is_empty(),
        tables::RANGE_LOCK => again::<Vec<KeyRange>>(value),
        tables::STAGE => again::<Delta>(value),
        tables::CHAIN_HEAD => again::<Hash>(value),
        tables::ATTESTED => again::<Attested>(value),
        tables::EVENT => event(value),
        _ => false,
    }
}

/// What group 0 keeps: settings, nodes, models, policies, courses.
fn meta(name: &[u8], value: &[u8]) -> bool {
    let end = name.iter().position(|byte| *byte == b'/').map_or(name.len(), |at| at + 1);
    match &name[..end] {
        b"ring" => again::<RingSpec>(value),
        b"node/" => again::<NodeRecord>(value),
        b"models" => again::<Shelf>(value),
        b"model/" => model(value),
        b"policies" => again::<Policies>(value),
        b"courses" => again::<course::Ledger>(value),
        b"course/" => again::<course::Course>(value),
        _ => false,
    }
}

/// One that any node may score with.
fn model(value: &[u8]) -> bool {
    let Ok(shared) = codec::decode::<SharedModel>(value) else { return false };
    let features = Features::default();
    let _ = (shared.model.score(&features), shared.model.shares(&features));
    again::<SharedModel>(value)
}

fn stored(value: &[u8]) -> bool {
    let Ok(stored) = codec::decode::<Stored>(value) else { return false };
    assert_eq!(tables::measure_of(value), (stored.version, stored.bytes), "its first fields");
    let held = stored.fields.as_ref().and_then(|fields| fields.get("held"));
    if let Some(Value::One(Scalar::Bytes(bytes))) = held {
        again::<Held>(bytes);
    }
    again::<Stored>(value)
}

fn kept(value: &[u8]) -> bool {
    let Ok(kept) = codec::decode::<Kept>(value) else { return false };
    assert_eq!(tables::txn_of(value), kept.txn, "its first field");
    again::<Kept>(value)
}

fn event(value: &[u8]) -> bool {
    let Ok(row) = codec::decode::<Row>(value) else { return false };
    assert_eq!(history::clock_of(value), row.clock, "its first field");
    again::<Row>(value)
}

/// What was read is written again, and read again from that.
fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(value) = codec::decode::<T>(bytes) else { return false };
    let written = codec::encode(&value);
    let reread = codec::decode::<T>(&written).expect("what was written is read");
    assert_eq!(codec::encode(&reread), written, "and is the same");
    true
}
