//! A look at what is at rest, by whoever wants to know whether a reader would get through it.
//!
//! Views stop the node at damage, since their readers cannot be told; an opening can be: a replica
//! that is damaged in what its opening reads is opened without its state. So the same reads are
//! made here first, and damage is kept instead.
//!
//! Invariant: what was read is believed only where [`Probe::damage`] is none afterwards.

use std::cell::RefCell;
use std::sync::Arc;

use vatic_core::state::Read;

use crate::damage::Damage;
use crate::lmdb::StorageError;
use crate::published::Published;
use crate::replica::Replica;

/// Rows that a scan reads at once.
const CHUNK_ENTRIES: usize = 256;
const CHUNK_BYTES: usize = 256 << 10;

/// One replica's state at rest, without its overlays. Where damage was met, what it answers from
/// then on may lack anything.
pub struct Probe {
    pair: Arc<Published>,
    shard: usize,
    damage: RefCell<Option<Damage>>,
}

impl Replica {
    /// Looks at what is at rest of this replica now.
    pub fn probe(&self) -> Probe {
        let (pair, shard) = (self.cell.pair(), self.shared.next_shard());
        Probe { pair, shard, damage: RefCell::new(None) }
    }
}

impl Probe {
    /// The first damage that a read has met.
    pub fn damage(&self) -> Option<Damage> {
        self.damage.borrow().clone()
    }

    /// Where LMDB itself fails there is nothing to say of a row: whoever reads next meets it.
    fn note<T>(&self, read: Result<T, StorageError>) -> Option<T> {
        match read {
            Ok(read) => return Some(read),
            Err(StorageError::Damaged(damage)) => {
                self.damage.borrow_mut().get_or_insert(damage);
            }
            Err(StorageError::Lmdb(error)) => {
                tracing::warn!(%error, "the state cannot be looked at")
            }
        }
        None
    }
}

impl Read for Probe {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.note(self.pair.base.get(self.shard, &self.pair.prefix, key)).flatten()
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        if to <= from {
            return;
        }
        let Published { base, prefix, .. } = &*self.pair;
        let (mut next, mut chunk) = (from.to_vec(), Vec::new());
        loop {
            let most = (CHUNK_ENTRIES, CHUNK_BYTES);
            let read = base.chunk(self.shard, prefix, (&next, Some(to)), most, &mut chunk);
            let more = self.note(read).unwrap_or(false);
            let Some((last, _)) = chunk.last() else { return };
            next = [&**last, &[0]].concat();
            let wanted = chunk.drain(..).all(|(key, value)| visit(&key, &value));
            if !wanted || !more {
                return;
            }
        }
    }
}
