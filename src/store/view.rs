//! A view: one replica's state at one mark, for as long as it is held.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use vatic_core::state::Read;

use crate::id::Mark;
use crate::published::{Lens, Published};
use crate::store::Shared;

/// A consistent moment of one replica. Cheap to take and to clone; any thread may read it.
///
/// LMDB cannot reuse what a view still sees, so drop it soon: a view that outlives many flushes
/// makes the file grow.
#[derive(Clone)]
pub struct View {
    pub(crate) pair: Arc<Published>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) shard: usize,
}

impl View {
    /// How far this state has come; `None` where nothing was ever applied.
    pub fn mark(&self) -> Option<Mark> {
        self.pair.mark.clone()
    }

    /// Visits every entry in key order, until the visitor returns `false`.
    pub fn scan_all(&self, visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.pair.scan((&[], None), None, self.lens(), visit);
    }

    /// A digest of the whole state, for comparing replicas: equal states, and no others, have
    /// equal digests. Reads everything.
    pub fn digest(&self) -> Digest {
        let mut hasher = EntryHasher::default();
        self.scan_all(&mut |key, value| {
            hasher.add(key, value);
            true
        });
        hasher.finish()
    }

    fn lens(&self) -> Lens<'_> {
        Lens { shard: self.shard, fatal: &self.shared.fatal }
    }
}

impl Read for View {
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.pair.get(key, self.lens())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool) {
        self.pair.scan((from, Some(to)), None, self.lens(), visit);
    }
}

/// SHA-256 over all entries in key order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Builds a [`Digest`]. Lengths go in first, so that no two states give the same bytes.
#[derive(Default)]
pub(crate) struct EntryHasher(Sha256);

impl EntryHasher {
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.0.update((key.len() as u32).to_be_bytes());
        self.0.update((value.len() as u32).to_be_bytes());
        self.0.update(key);
        self.0.update(value);
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
