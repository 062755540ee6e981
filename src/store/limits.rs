//! Numbers with a meaning, in one place: how much memory, how much disk, how often.

use serde::{Deserialize, Serialize};

/// A lock that another process holds is asked for again for so long.
pub(crate) const LOCK_WAIT_MS: u64 = 200;

/// The bounds within which a store works.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of LMDB's memory map: the most that the state can ever take. A multiple of the page
    /// size. Only address space is taken up front.
    pub map_bytes: usize,
    /// Room that must stay free in the map for proposals to be admitted: at least what the
    /// entries already in flight, and decisions, can still need.
    pub map_reserve_bytes: usize,
    /// Room that must stay free on the disk for proposals to be admitted.
    pub disk_reserve_bytes: u64,
    /// Time between two flushes when the overlays stay small.
    pub flush_interval_ms: u64,
    /// Overlay bytes, over all replicas, at which a flush starts at once.
    pub overlay_flush_bytes: usize,
    /// Overlay bytes, over all replicas, from which a publish waits for a flush.
    pub overlay_max_bytes: usize,
    /// The longest that one publish waits for room. It goes on then: a disk that is stuck must
    /// slow the node, not deadlock it; `Store::has_room` refuses new work meanwhile.
    pub publish_wait_max_ms: u64,
    /// How long a flush waits for the log to make a frozen overlay durable before it goes on
    /// without that replica.
    pub fence_wait_ms: u64,
    /// How often a flush asks again meanwhile.
    pub fence_poll_us: u64,
    /// Reader slots of LMDB; running out of them is fatal. Each moment of LMDB that some view
    /// still holds takes `base_shards`, however many views hold it. A slot costs 64 bytes.
    pub readers_max: u32,
    /// LMDB read transactions that one base holds, all at the same moment: readers on different
    /// shards do not wait for each other.
    pub base_shards: usize,
    /// Bytes of keys and values in one LMDB transaction of a snapshot install.
    pub install_batch_bytes: usize,
    /// Keys deleted in one LMDB transaction when an old incarnation is cleared.
    pub garbage_batch_keys: usize,
    /// Pause between two such transactions.
    pub garbage_pause_ms: u64,
    /// Bytes that one step of a scrub reads; other readers may have to wait for it.
    pub scrub_chunk_bytes: usize,
    /// Bytes of keys and values in one checksummed chunk of a snapshot file.
    pub snapshot_chunk_bytes: usize,
}

impl Limits {
    /// Settings of a running node.
    pub fn production() -> Limits {
        Limits {
            map_bytes: 1 << 40,
            map_reserve_bytes: 1 << 30,
            disk_reserve_bytes: 1 << 30,
            flush_interval_ms: 4_000,
            overlay_flush_bytes: 32 << 20,
            overlay_max_bytes: 128 << 20,
            publish_wait_max_ms: 10_000,
            fence_wait_ms: 200,
            fence_poll_us: 200,
            readers_max: 16_384,
            base_shards: 4,
            install_batch_bytes: 4 << 20,
            garbage_batch_keys: 4_096,
            garbage_pause_ms: 10,
            scrub_chunk_bytes: 256 << 10,
            snapshot_chunk_bytes: 1 << 20,
        }
    }

    /// Tiny settings, which reach the corners: many flushes, many batches, little room.
    pub fn simulation() -> Limits {
        Limits {
            map_bytes: 64 << 20,
            map_reserve_bytes: 1 << 20,
            disk_reserve_bytes: 1 << 20,
            flush_interval_ms: 5,
            overlay_flush_bytes: 4 << 10,
            overlay_max_bytes: 64 << 10,
            publish_wait_max_ms: 200,
            fence_wait_ms: 2,
            fence_poll_us: 100,
            readers_max: 126,
            base_shards: 2,
            install_batch_bytes: 256,
            garbage_batch_keys: 4,
            garbage_pause_ms: 1,
            scrub_chunk_bytes: 512,
            snapshot_chunk_bytes: 128,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}
