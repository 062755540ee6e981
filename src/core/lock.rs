//! The lock table: exactly the Yes votes without a decision, by key and by range.
//!
//! It is volatile and rebuilt from the prepared votes when a group opens: the votes are the truth.
//! Invariant: a key has at most one writer, and no readers beside it, since a vote that would break
//! this is a No.

use crate::{
    id::{Tid, Timestamp},
    key::KeyRange,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Keys are in encoded form throughout.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LockTable {
    writers: BTreeMap<Vec<u8>, (Tid, Timestamp)>,
    readers: BTreeMap<Vec<u8>, BTreeSet<Tid>>,
    ranges: BTreeMap<Tid, Vec<KeyRange>>,
    held: BTreeMap<Tid, Held>,
}

/// What one undecided transaction holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Held {
    /// Keys that it writes.
    pub writes: Vec<Vec<u8>>,
    /// Keys that it read and does not write.
    pub reads: Vec<Vec<u8>>,
    /// Ranges that it scanned.
    pub ranges: Vec<KeyRange>,
}

impl LockTable {
    /// Takes the locks of a Yes vote.
    pub fn acquire(&mut self, tid: Tid, ts: Timestamp, held: Held) {
        for key in &held.writes {
            let before = self.writers.insert(key.clone(), (tid, ts));
            debug_assert!(before.is_none_or(|(other, _)| other == tid), "two writers on one key");
        }
        for key in &held.reads {
            self.readers.entry(key.clone()).or_default().insert(tid);
        }
        if !held.ranges.is_empty() {
            self.ranges.insert(tid, held.ranges.clone());
        }
        self.held.insert(tid, held);
    }

    /// Releases whatever the transaction holds.
    pub fn release(&mut self, tid: Tid) {
        let Some(held) = self.held.remove(&tid) else { return };
        for key in &held.writes {
            self.writers.remove(key);
        }
        for key in &held.reads {
            if let Some(readers) = self.readers.get_mut(key) {
                readers.remove(&tid);
                if readers.is_empty() {
                    self.readers.remove(key);
                }
            }
        }
        self.ranges.remove(&tid);
    }

    /// Who writes the key, and that vote's timestamp.
    pub fn writer(&self, key: &[u8]) -> Option<(Tid, Timestamp)> {
        self.writers.get(key).copied()
    }

    /// Who read the key and relies on it.
    pub fn reader(&self, key: &[u8]) -> Option<Tid> {
        self.readers.get(key).and_then(|readers| readers.first().copied())
    }

    /// Who scanned a range that holds the key.
    pub fn range_reader(&self, key: &[u8]) -> Option<Tid> {
        let covers = |ranges: &Vec<KeyRange>| ranges.iter().any(|range| range.contains(key));
        self.ranges.iter().find(|(_, ranges)| covers(ranges)).map(|(&tid, _)| tid)
    }

    /// Writers inside a range, in key order.
    pub fn writers_in(&self, range: &KeyRange) -> impl Iterator<Item = (&[u8], Tid, Timestamp)> {
        let (from, to) = range.bounds();
        let inside = (from < to).then(|| self.writers.range(from..to));
        inside.into_iter().flatten().map(|(key, &(tid, ts))| (key.as_slice(), tid, ts))
    }

    /// The undecided transactions that hold locks, by id.
    pub fn holders(&self) -> impl Iterator<Item = (Tid, &Held)> {
        self.held.iter().map(|(&tid, held)| (tid, held))
    }
}
