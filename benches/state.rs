//! A replica's state as a store holds it while it works: half of it flushed, the other half in the
//! overlay.

use tempfile::TempDir;
use vatic_core::state::{Read, State};
use vatic_store::{Limits, Mark, Replica, ReplicaId, Store, View, Writer};

/// Entries of one scan.
pub(crate) const SCANNED: u64 = 1_000;

const VALUE: [u8; 300] = [7; 300];
/// Writes of one entry, about what a put makes.
const WRITES: u64 = 8;

pub(crate) struct Overlays {
    writer: Writer,
    view: View,
    entries: u64,
    /// Where the next publish writes, and its mark.
    at: u64,
    replica: Replica,
    // Last, in this order: the store before its files.
    _store: Store,
    _dir: TempDir,
}

impl Overlays {
    /// So many entries in LMDB, under even numbers, and as many in the overlay, under odd ones.
    pub(crate) fn new(entries: u64) -> Overlays {
        let dir = tempfile::tempdir().expect("there is a place for temporary files");
        // Nothing is flushed but on demand.
        let limits = Limits {
            flush_interval_ms: 3_600_000,
            overlay_flush_bytes: usize::MAX,
            overlay_max_bytes: usize::MAX,
            ..Limits::production()
        };
        let store = Store::open(dir.path(), limits).expect("an empty store opens");
        let replica = store.replica(ReplicaId { group: 1, generation: 1 });
        replica.set_fence(|| u64::MAX);
        let mut writer = replica.writer();
        fill(&mut writer, entries, 0);
        writer.publish(mark(1));
        store.flush_now();
        fill(&mut writer, entries, 1);
        writer.publish(mark(2));
        let view = replica.view();
        Overlays { writer, view, entries, at: 3, replica, _store: store, _dir: dir }
    }

    /// Rewrites what the overlay holds already, so that it keeps its size.
    pub(crate) fn publish(&mut self) {
        for nth in 0..WRITES {
            let number = self.at.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(nth);
            self.writer.put(key(2 * (number % self.entries) + 1), VALUE.to_vec());
        }
        self.writer.publish(mark(self.at));
        self.at += 1;
        // As long as a view is held its overlay is copied, which is so in a node too.
        self.view = self.replica.view();
    }

    pub(crate) fn get(&mut self, in_overlay: bool) -> Option<Vec<u8>> {
        self.at += 1;
        let number = self.at.wrapping_mul(0x9E37_79B9_7F4A_7C15) % self.entries;
        self.view.get(&key(2 * number + u64::from(in_overlay)))
    }

    pub(crate) fn scan(&self) -> u64 {
        let mut bytes = 0;
        self.view.scan(&key(0), &key(SCANNED), &mut |key, value| {
            bytes += (key.len() + value.len()) as u64;
            true
        });
        bytes
    }
}

fn fill(writer: &mut Writer, entries: u64, odd: u64) {
    (0..entries).for_each(|number| writer.put(key(2 * number + odd), VALUE.to_vec()));
}

fn key(number: u64) -> Vec<u8> {
    let mut key = b"a key's common front: ".to_vec();
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn mark(index: u64) -> Mark {
    Mark { index, meta: Default::default() }
}
