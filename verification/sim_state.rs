//! A replica's state: the core's sorted map, with a digest of its content kept up to date.
//!
//! The digest is the sum of the digests of all entries, so each write costs only itself, and two
//! replicas can be compared after every log entry instead of once at the end.

use crate::trace::digest_of;
use vatic_core::{
    memory::MemoryState,
    state::{Read, State},
};

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SimState {
    map: MemoryState,
    digest: u64,
}

impl SimState {
    pub(crate) fn new(map: MemoryState) -> SimState {
        let digest =
            map.0.iter().fold(0, |sum: u64, (key, value)| sum.wrapping_add(cell(key, value)));
        SimState { map, digest }
    }

    /// Equal maps have equal digests, and different ones almost surely do not.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn map(&self) -> &MemoryState {
        &self.map
    }
}

impl Read for SimState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.map.get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.map.scan(from, to, visit);
    }
}

impl State for SimState {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.delete(&key);
        self.digest = self.digest.wrapping_add(cell(&key, &value));
        self.map.put(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        if let Some(value) = self.map.0.remove(key) {
            self.digest = self.digest.wrapping_sub(cell(key, &value));
        }
    }
}

fn cell(key: &[u8], value: &[u8]) -> u64 {
    digest_of(key).wrapping_mul(3).wrapping_add(digest_of(value).rotate_left(17)) ^ 0x5851_F42D
}
