//! The reference implementation of [`State`]: a sorted map in memory.
//!
//! The models and the simulator run the core on it, and other implementations are tested against
//! it. It can be cloned, compared and hashed, which is what a model checker needs of a state.

use crate::state::{Read, State};
use alloc::{collections::BTreeMap, vec::Vec};

/// A sorted map in memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MemoryState(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Read for MemoryState {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.0.get(key).cloned()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        if from >= to {
            return;
        }
        for (key, value) in self.0.range(from.to_vec()..to.to_vec()) {
            if !visit(key, value) {
                return;
            }
        }
    }
}

impl State for MemoryState {
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.0.insert(key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.remove(key);
    }
}
