//! How much room is left: in memory for overlays, in the map, on the disk.
//!
//! A full map inside a flush is fatal, since the entry that did not fit is committed; a full disk
//! holds the flush back until there is room. So the numbers are watched here, and whoever proposes
//! asks first.

use std::time::Duration;

use vatic_sync::{Flag, Gate, Level};

use crate::limits::Limits;

/// What the store takes, and of what. Overlay numbers are current, the others are from the
/// latest flush interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Memory of all overlays, about.
    pub overlay_bytes: usize,
    pub overlay_max_bytes: usize,
    /// Pages of LMDB that hold data; free pages, which LMDB uses first, are not counted.
    pub map_used_bytes: u64,
    pub map_bytes: u64,
    pub disk_free_bytes: u64,
    /// The latest flush found no room on the disk. It is tried again at every flush interval; what
    /// it would have written stays in memory and in the log.
    pub disk_full: bool,
}

#[derive(Default)]
pub(crate) struct Room {
    /// Bytes of all overlays.
    overlays: Gate,
    map_used_bytes: Level,
    disk_free_bytes: Level,
    disk_full: Flag,
    /// Commits fail as on a full disk.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) pretend_full: Flag,
    /// Commits fail as on a full disk, which says that it has room.
    #[cfg(any(test, feature = "faults"))]
    pub(crate) pretend_unwritable: Flag,
}

impl Room {
    pub(crate) fn usage(&self, limits: &Limits) -> Usage {
        Usage {
            overlay_bytes: self.overlays.bytes(),
            overlay_max_bytes: limits.overlay_max_bytes,
            map_used_bytes: self.map_used_bytes.get(),
            map_bytes: limits.map_bytes as u64,
            disk_free_bytes: self.disk_free_bytes.get(),
            disk_full: self.disk_full.is_up(),
        }
    }

    pub(crate) fn set_disk(&self, map_used_bytes: u64, disk_free_bytes: u64) {
        self.map_used_bytes.set(map_used_bytes);
        self.disk_free_bytes.set(disk_free_bytes);
    }

    /// Whether a flush found the disk full. Returns what was known before.
    pub(crate) fn set_disk_full(&self, full: bool) -> bool {
        self.disk_full.set(full)
    }

    /// Whether the latest flush found the disk full.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.disk_full.is_up()
    }

    /// An overlay went from `before` to `after` bytes.
    pub(crate) fn resize(&self, before: usize, after: usize) {
        self.overlays.resize(before, after);
    }

    /// Whether the overlays are large enough for a flush out of turn that nobody asked for yet.
    pub(crate) fn wants_kick(&self, limits: &Limits) -> bool {
        self.overlays.wants_kick(limits.overlay_flush_bytes)
    }

    pub(crate) fn flush_begins(&self) {
        self.overlays.freeing_begins();
    }

    /// Waits until the overlays are within bounds, at most `longest`. Returns whether they are.
    pub(crate) fn wait(&self, limits: &Limits, longest: Duration) -> bool {
        self.overlays.wait(limits.overlay_max_bytes, longest)
    }
}
