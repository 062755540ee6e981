//! Locks: exactly the Yes votes without a decision, by key and by range.
//!
//! They lie in the group's own map beside the votes, so that a reader of any view sees locks and
//! versions of one moment: a reader that took them apart could miss a write that is already
//! acknowledged. A vote takes them, its decision releases them, nothing else touches them.
//! Invariant: a key has at most one writer, and no readers beside it, since a vote that would break
//! this is a No.

use crate::{
    id::{Tid, Timestamp},
    key::{Key, KeyRange},
    state::{Read, State},
    tables::{self, Prepared},
};
use alloc::{collections::BTreeSet, vec::Vec};

/// An undecided write: who holds it and when it was voted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Writer {
    pub(crate) tid: Tid,
    pub(crate) ts: Timestamp,
}

/// Takes the locks of a Yes vote.
pub(crate) fn acquire(state: &mut impl State, tid: Tid, prepared: &Prepared) {
    for image in &prepared.images {
        debug_assert!(writer(state, &image.key).is_none(), "two writers on {}", image.key);
        tables::save(state, tables::write_lock(&image.key), &(tid, prepared.ts));
    }
    for key in &prepared.reads {
        state.put(tables::read_lock(key, tid), Vec::new());
    }
    if !prepared.ranges.is_empty() {
        tables::save(state, tables::range_lock(tid), &prepared.ranges);
    }
}

/// Releases the locks of a Yes vote.
pub(crate) fn release(state: &mut impl State, tid: Tid, prepared: &Prepared) {
    for image in &prepared.images {
        state.delete(&tables::write_lock(&image.key));
    }
    for key in &prepared.reads {
        state.delete(&tables::read_lock(key, tid));
    }
    if !prepared.ranges.is_empty() {
        state.delete(&tables::range_lock(tid));
    }
}

/// Who is about to write the key.
pub(crate) fn writer(state: &impl Read, key: &Key) -> Option<Writer> {
    let (tid, ts) = tables::load(state, &tables::write_lock(key))?;
    Some(Writer { tid, ts })
}

/// Who read the key and relies on it.
pub(crate) fn reader(state: &impl Read, key: &Key) -> Option<Tid> {
    let (from, to) = tables::read_locks(key);
    let mut found = None;
    state.scan(&from, &to, &mut |place, _| {
        found = Tid::from_bytes(&place[from.len()..]);
        false
    });
    found
}

/// The first of these keys that lies in a range that somebody scanned. Every range lock is read
/// once, however many keys there are.
pub(crate) fn range_reader<'a>(
    state: &impl Read,
    keys: &BTreeSet<&'a Key>,
) -> Option<(&'a Key, Tid)> {
    if keys.is_empty() {
        return None;
    }
    let encoded: Vec<(&Key, Vec<u8>)> = keys.iter().map(|&key| (key, key.encode())).collect();
    let (from, to) = tables::whole(tables::RANGE_LOCK);
    let mut found = None;
    state.scan(&from, &to, &mut |place, value| {
        let ranges: Vec<KeyRange> = tables::stored(value);
        let held = ranges.iter().find_map(|range| first_within(&encoded, range));
        found = held.map(|key| (key, tables::tid_of(place)));
        found.is_none()
    });
    found
}

/// The first of these keys, which ascend, that lies in the range.
fn first_within<'a>(keys: &[(&'a Key, Vec<u8>)], range: &KeyRange) -> Option<&'a Key> {
    let (from, to) = range.bounds();
    let next = keys.partition_point(|(_, encoded)| encoded < &from);
    keys.get(next).filter(|(_, encoded)| encoded < &to).map(|(key, _)| *key)
}

/// The first key in a range that somebody is about to write, of those votes that `counts` admits.
pub(crate) fn writer_in(
    state: &impl Read,
    range: &KeyRange,
    counts: impl Fn(&Writer) -> bool,
) -> Option<(Key, Writer)> {
    let (from, to) = tables::write_locks(range);
    let mut found = None;
    state.scan(&from, &to, &mut |place, value| {
        let (tid, ts) = tables::stored(value);
        let writer = Writer { tid, ts };
        if counts(&writer) {
            let key = Key::decode(&place[1..]).expect("lock places hold encoded keys");
            found = Some((key, writer));
        }
        found.is_none()
    });
    found
}
