//! The log's numbers, with their units. Tiny ones reach the corners (rolls, carries, evictions)
//! within a few operations; they are what the simulation runs on.
//!
//! Invariant: the frames that open a segment fit into one half of it and the largest entry into the
//! other, so that a fresh segment always takes the next entry.

use crate::frame::{frame_bytes_for, opening_payload_bytes_max};
use crate::segment::{SEGMENT_HEADER_BYTES, header_offsets};
use crate::writer::RESERVED_FRAMES;
use serde::{Deserialize, Serialize};

/// Sizes and thresholds of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Length of every segment file. It is part of the format: a log opens with the size it has.
    pub segment_bytes: u32,
    /// A batch closes at this size; what is left goes into the next.
    pub batch_bytes_max: u32,
    /// Largest payload of one entry.
    pub entry_bytes_max: u32,
    /// Largest vote, committed and purged value, each.
    pub meta_bytes_max: u32,
    /// Entries kept in memory; what is not yet fsynced is kept beyond it.
    pub cache_bytes_max: u64,
    /// Live entries of the oldest segment that one batch may carry forward.
    pub carry_bytes_per_batch: u32,
    /// Above this number of segments live tails are carried forward so that old segments can go.
    pub segments_target: u32,
    /// Free segments kept for recycling; more are deleted.
    pub spares_max: u32,
    /// With the disk full, the number of batches between two attempts to create a segment.
    pub full_retry_batches: u32,
    /// With the disk full and no room left, the pause between two attempts.
    pub stall_retry_ms: u64,
}

impl Limits {
    pub fn production() -> Limits {
        Limits {
            segment_bytes: 64 << 20,
            batch_bytes_max: 4 << 20,
            entry_bytes_max: 24 << 20,
            meta_bytes_max: 512,
            cache_bytes_max: 64 << 20,
            carry_bytes_per_batch: 1 << 20,
            segments_target: 8,
            spares_max: 2,
            full_retry_batches: 1024,
            stall_retry_ms: 1_000,
        }
    }

    pub const fn simulation() -> Limits {
        Limits {
            segment_bytes: 4096,
            batch_bytes_max: 768,
            entry_bytes_max: 512,
            meta_bytes_max: 32,
            cache_bytes_max: 512,
            carry_bytes_per_batch: 320,
            segments_target: 4,
            spares_max: 1,
            full_retry_batches: 3,
            stall_retry_ms: 1,
        }
    }

    /// Where the frames of a segment end: behind them its header is kept again.
    pub(crate) fn frames_end(&self) -> u32 {
        header_offsets(self.segment_bytes)[1]
    }

    /// Replicas that one log can hold: their opening frames fill at most half a segment.
    pub fn replicas_max(&self) -> usize {
        let opening = frame_bytes_for(opening_payload_bytes_max(self.meta_bytes_max as usize));
        (self.segment_bytes as usize / 2).saturating_sub(SEGMENT_HEADER_BYTES) / opening
    }

    /// Why these limits cannot work, if they cannot.
    pub fn objection(&self) -> Option<String> {
        let half = self.segment_bytes as usize / 2;
        let entry = frame_bytes_for(self.entry_bytes_max as usize)
            + RESERVED_FRAMES * frame_bytes_for(0)
            + SEGMENT_HEADER_BYTES;
        if !self.segment_bytes.is_multiple_of(8) {
            return Some(format!("segment_bytes {} is no multiple of 8", self.segment_bytes));
        }
        if entry > half {
            return Some(format!(
                "entry_bytes_max {} does not fit into half of segment_bytes {}",
                self.entry_bytes_max, self.segment_bytes
            ));
        }
        if self.replicas_max() == 0 {
            return Some(format!("segment_bytes {} is too small", self.segment_bytes));
        }
        None
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}
