//! How much room is left: in memory for overlays, in the map, on the disk.
//!
//! A full map inside a flush is fatal, since the entry that did not fit is committed; a full disk
//! holds the flush back until there is room. So the numbers are watched here, and whoever proposes
//! asks first.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::cell::lock;
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
    overlay_bytes: AtomicUsize,
    map_used_bytes: AtomicU64,
    disk_free_bytes: AtomicU64,
    disk_full: AtomicBool,
    /// Commits fail as on a full disk.
    #[cfg(test)]
    pub(crate) pretend_full: AtomicBool,
    /// A flush was asked for because of size and has not begun.
    kicked: AtomicBool,
    gate: Mutex<()>,
    freed: Condvar,
}

impl Room {
    pub(crate) fn usage(&self, limits: &Limits) -> Usage {
        Usage {
            overlay_bytes: self.overlay_bytes.load(Ordering::Relaxed),
            overlay_max_bytes: limits.overlay_max_bytes,
            map_used_bytes: self.map_used_bytes.load(Ordering::Relaxed),
            map_bytes: limits.map_bytes as u64,
            disk_free_bytes: self.disk_free_bytes.load(Ordering::Relaxed),
            disk_full: self.disk_full.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_disk(&self, map_used_bytes: u64, disk_free_bytes: u64) {
        self.map_used_bytes.store(map_used_bytes, Ordering::Relaxed);
        self.disk_free_bytes.store(disk_free_bytes, Ordering::Relaxed);
    }

    /// Whether a flush found the disk full. Returns what was known before.
    pub(crate) fn set_disk_full(&self, full: bool) -> bool {
        self.disk_full.swap(full, Ordering::Relaxed)
    }

    /// An overlay went from `before` to `after` bytes.
    pub(crate) fn resize(&self, before: usize, after: usize) {
        if after >= before {
            self.overlay_bytes.fetch_add(after - before, Ordering::Relaxed);
            return;
        }
        self.overlay_bytes.fetch_sub(before - after, Ordering::Relaxed);
        drop(lock(&self.gate));
        self.freed.notify_all();
    }

    /// Whether the overlays are large enough for a flush out of turn that nobody asked for yet.
    pub(crate) fn wants_kick(&self, limits: &Limits) -> bool {
        self.overlay_bytes.load(Ordering::Relaxed) >= limits.overlay_flush_bytes
            && !self.kicked.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn flush_begins(&self) {
        self.kicked.store(false, Ordering::Relaxed);
    }

    pub(crate) fn overlays_fit(&self, limits: &Limits) -> bool {
        self.overlay_bytes.load(Ordering::Relaxed) < limits.overlay_max_bytes
    }

    /// Waits until the overlays are within bounds, at most `longest`. Returns whether they are.
    pub(crate) fn wait(&self, limits: &Limits, longest: Duration) -> bool {
        if self.overlays_fit(limits) {
            return true;
        }
        let deadline = Instant::now() + longest;
        let mut gate = lock(&self.gate);
        while !self.overlays_fit(limits) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.freed.wait_timeout(gate, left);
            gate = waited.map_or_else(|poison| poison.into_inner().0, |(gate, _)| gate);
        }
        true
    }
}
