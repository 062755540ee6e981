//! A state whose writes are hashed as they are made.
//!
//! The digest of all writes of an entry is a leaf of that entry's tree, so the group's chain covers
//! every byte that applying put or deleted, in order: what a decision installed, what a collection
//! removed. A replica that applies differently shows in its very next head, even where it gives the
//! same replies. Rows that are made from the chain itself (heads, proofs) are written past this.

use crate::{
    hash::Hasher,
    state::{Read, State},
};
use alloc::vec::Vec;

/// Passes everything on and remembers what was written.
pub(crate) struct Recorded<'a, S> {
    state: &'a mut S,
    writes: Hasher,
}

impl<'a, S: State> Recorded<'a, S> {
    pub(crate) fn new(state: &'a mut S) -> Self {
        Recorded { state, writes: Hasher::new("vatic/writes/v1") }
    }

    /// The digest so far, to which whoever closes it adds what is kept outside the state.
    pub(crate) fn into_writes(self) -> Hasher {
        self.writes
    }
}

impl<S: State> Read for Recorded<'_, S> {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.state.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.state.scan(from, to, visit);
    }
}

impl<S: State> State for Recorded<'_, S> {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.writes.feed_bytes(&key);
        self.writes.feed_u64(1);
        self.writes.feed_bytes(&value);
        self.state.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.writes.feed_bytes(key);
        self.writes.feed_u64(0);
        self.state.delete(key);
    }
}
