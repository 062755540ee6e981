//! Stores to walk over: the same sources, once over LMDB and once over what stands in for it.

use bytes::Bytes;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};
use vatic_core::state::State;

/// In memory where the machine has that: commits are synced, and nobody needs them tomorrow.
const MEMORY: &str = "/dev/shm";

static SHELVES: AtomicU64 = AtomicU64::new(0);

/// A store with one replica of each group.
pub trait Shelf {
    /// An empty one, in a folder of its own.
    fn open(groups: usize) -> Self;

    /// What is written and not yet published, above what is.
    fn state(&mut self, group: usize) -> &mut impl State;

    /// Makes what was written visible.
    fn publish(&mut self, group: usize);

    /// What a reader sees.
    fn rows(&self, group: usize) -> BTreeMap<Vec<u8>, Vec<u8>>;

    /// Brings what is published to disk.
    fn flush(&mut self);

    /// Closes the store and opens it again.
    fn restart(&mut self);

    /// Removes all rows, one by one, as a machine does.
    fn clear(&mut self);
}

fn folder() -> PathBuf {
    let memory = PathBuf::from(MEMORY);
    let above = if memory.is_dir() { memory } else { std::env::temp_dir() };
    let shelf = SHELVES.fetch_add(1, Ordering::Relaxed);
    above.join(format!("vatic-paths-{}-{shelf}", std::process::id()))
}

/// LMDB keeps nothing outside its folder.
fn nothing_else(_: &Path) {}

/// The two stores are crates with the same sources, whose types differ all the same.
macro_rules! shelf {
    ($(#[$about:meta])* $shelf:ident over $store:ident, forgotten by $forget:path) => {
        $(#[$about])*
        pub struct $shelf {
            folder: PathBuf,
            open: Option<($store::Store, Vec<($store::Replica, $store::Writer)>)>,
            groups: usize,
            index: u64,
        }

        impl $shelf {
            fn start(&mut self) {
                let limits = $store::Limits {
                    publish_wait_max_ms: 0,
                    fence_wait_ms: 0,
                    overlay_flush_bytes: usize::MAX,
                    ..$store::Limits::simulation()
                };
                let fatal = std::sync::Arc::new(|reason: &str| panic!("the store: {reason}"));
                let store = $store::Store::open_stepped(&self.folder, limits, fatal);
                let store = store.expect("a folder of its own");
                let replica = |group: usize| {
                    let id = $store::ReplicaId { group: group as u32 + 1, generation: 1 };
                    let replica = store.replica(id);
                    replica.set_fence(|| u64::MAX);
                    let writer = replica.writer();
                    (replica, writer)
                };
                let replicas = (0..self.groups).map(replica).collect();
                self.open = Some((store, replicas));
            }

            fn replica(&self, group: usize) -> &$store::Replica {
                &self.open.as_ref().expect("open").1[group].0
            }

            fn writer(&mut self, group: usize) -> &mut $store::Writer {
                &mut self.open.as_mut().expect("open").1[group].1
            }
        }

        impl Shelf for $shelf {
            fn open(groups: usize) -> $shelf {
                let mut shelf = $shelf { folder: folder(), open: None, groups, index: 0 };
                shelf.start();
                shelf
            }

            fn state(&mut self, group: usize) -> &mut impl State {
                self.writer(group)
            }

            fn publish(&mut self, group: usize) {
                self.index += 1;
                let mark = $store::Mark { index: self.index, meta: Bytes::new() };
                self.writer(group).publish(mark);
            }

            fn rows(&self, group: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
                let mut rows = BTreeMap::new();
                self.replica(group).view().scan_all(&mut |key, value| {
                    rows.insert(key.to_vec(), value.to_vec());
                    true
                });
                rows
            }

            fn flush(&mut self) {
                let flushed = self.open.as_ref().expect("open").0.flush_now();
                assert!(flushed.held_back.is_empty(), "no fence holds anything back");
            }

            fn restart(&mut self) {
                self.open = None;
                self.start();
            }

            fn clear(&mut self) {
                for group in 0..self.groups {
                    let rows = self.rows(group);
                    rows.keys().for_each(|key| self.writer(group).delete(key));
                    self.publish(group);
                }
            }
        }

        impl Drop for $shelf {
            fn drop(&mut self) {
                self.open = None;
                $forget(&self.folder);
                // Left behind it takes room, no more.
                let _ = std::fs::remove_dir_all(&self.folder);
            }
        }
    };
}

shelf!(
    /// Over LMDB.
    InLmdb over vatic_lmdb_store, forgotten by nothing_else
);
shelf!(
    /// Over what stands in for LMDB.
    InMemory over vatic_store, forgotten by heed::forget
);
