//! The decoders of the store, for fuzzing: bytes in, and whether they were taken for something.

use std::path::Path;

use bytes::Bytes;

use crate::id::{Incarnation, Mark, ReplicaId};
use crate::layout::{self, Pointer};
use crate::snapshot_file::{Chunk, SnapshotReader};
use crate::{Limits, Store};

/// A replica's record, as it lies behind its checksum; also a key of the table that it lies in.
pub fn pointer(bytes: &[u8]) -> bool {
    let replica = layout::replica_of(bytes);
    assert!(replica.is_none_or(|id| layout::replica_key(id) == bytes), "{replica:?}");
    let _ = layout::unseal(b"key", bytes);
    let Some(pointer) = Pointer::decode(bytes) else { return replica.is_some() };
    assert_eq!(Pointer::decode(&pointer.encode()), Some(pointer), "what was written is read");
    true
}

/// A snapshot file, read to its end as an install would. `scratch` is a path to write it to.
pub fn snapshot(bytes: &[u8], scratch: &Path) -> bool {
    std::fs::write(scratch, bytes).expect("the scratch file can be written");
    let Ok(mut reader) = SnapshotReader::open(scratch) else { return false };
    while let Ok(Chunk::Entries(_)) = reader.next_chunk() {}
    SnapshotReader::open(scratch).is_ok_and(|reader| reader.verify().is_ok())
}

/// Records with and without a mark.
pub fn pointers() -> Vec<Vec<u8>> {
    let mark = Mark { index: 7, meta: Bytes::from_static(b"meta") };
    let pointers = [None, Some(mark)].map(|mark| Pointer { incarnation: Incarnation(3), mark });
    let mut samples: Vec<Vec<u8>> = pointers.iter().map(Pointer::encode).collect();
    samples.push(layout::replica_key(ReplicaId { group: 1, generation: 2 }).to_vec());
    samples
}

/// The snapshot of a small replica, made in `dir`.
pub fn snapshots(dir: &Path) -> Vec<Vec<u8>> {
    let store = Store::open(dir, Limits::simulation()).expect("a fresh directory opens");
    let replica = store.replica(ReplicaId { group: 1, generation: 1 });
    replica.set_fence(|| u64::MAX);
    let mut writer = replica.writer();
    for index in 1..=2u64 {
        for n in 0..4 * index {
            let key = format!("key-{n}").into_bytes();
            vatic_core::state::State::put(&mut writer, key, vec![n as u8; 9]);
        }
        writer.publish(Mark { index, meta: Bytes::from_static(b"meta") });
    }
    let file = replica.snapshot().expect("a snapshot is made");
    vec![std::fs::read(file.path).expect("it can be read")]
}
