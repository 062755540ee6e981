//! The flush: overlays into LMDB, behind the log.
//!
//! openraft may apply an entry before this node's own log has it on disk. Were such an entry's
//! effects to reach LMDB first, a crash would leave a state that is ahead of its log. So each
//! replica's frozen overlay waits for its fence; one that is not there yet keeps its overlay for
//! the next round, and the others go on.
//!
//! All that is ready goes into one transaction, replica by replica in key order, each with its
//! mark: after a crash a replica is at exactly one mark.
//!
//! A disk without room holds the flush back: overlays stay frozen, and the log, which is not purged
//! past what is flushed, keeps what they hold.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cell::Cell;
use crate::committer::Committer;
use crate::id::{Mark, ReplicaId};
use crate::job::Flushed;
use crate::layout::Pointer;
use crate::lmdb::{Batch, StorageError};
use crate::published::Published;
use crate::seeded::{Bug, planted};

/// A replica with a frozen overlay.
pub(crate) struct Candidate {
    pub(crate) cell: Arc<Cell>,
    pub(crate) pair: Arc<Published>,
}

impl Candidate {
    fn mark(&self) -> &Mark {
        &self.pair.frozen.as_ref().expect("a candidate has a frozen overlay").mark
    }
}

impl Committer {
    /// Flushes what is there and durable in the log.
    pub(crate) fn flush(&mut self) {
        self.shared.room.flush_begins();
        let mut waiting = Vec::new();
        for cell in self.shared.all_cells() {
            waiting.extend(cell.freeze().map(|pair| Candidate { cell, pair }));
        }
        if waiting.is_empty() {
            // What found no room is gone, with a replica or under an install.
            self.shared.room.set_disk_full(false);
        }
        let ready = self.await_fences(waiting);
        if ready.is_empty() {
            return self.measure().unwrap_or_else(|error| self.stop("measure", &error));
        }
        self.write(ready);
    }

    /// Flushes everything that was published before the call, if the log lets it.
    pub(crate) fn flush_all(&mut self) -> Flushed {
        let wanted: Vec<(ReplicaId, Option<Mark>)> = self
            .shared
            .all_cells()
            .iter()
            .map(|cell| (cell.id, cell.pair().mark.clone()))
            .collect();
        // The first round writes overlays that were frozen already, and freezes the others if
        // there were none; the second writes what the first could not freeze.
        self.flush();
        self.flush();
        let cells = self.shared.all_cells();
        let is_behind = |(id, mark): &(ReplicaId, Option<Mark>)| {
            let index = |mark: &Option<Mark>| mark.as_ref().map(|mark| mark.index);
            let cell = cells.iter().find(|cell| cell.id == *id);
            cell.is_some_and(|cell| index(&cell.pair().flushed) < index(mark))
        };
        Flushed { held_back: wanted.iter().filter(|w| is_behind(w)).map(|(id, _)| *id).collect() }
    }

    /// Those whose log is durable up to the frozen mark, after a bounded wait.
    fn await_fences(&self, mut waiting: Vec<Candidate>) -> Vec<Candidate> {
        let deadline = Instant::now() + Duration::from_millis(self.shared.limits.fence_wait_ms);
        let mut ready = Vec::new();
        loop {
            let is_durable = |it: &mut Candidate| it.cell.is_durable(it.mark().index);
            ready.extend(waiting.extract_if(.., is_durable));
            if waiting.is_empty() || Instant::now() >= deadline {
                return ready;
            }
            std::thread::sleep(Duration::from_micros(self.shared.limits.fence_poll_us));
        }
    }

    fn write(&mut self, mut ready: Vec<Candidate>) {
        ready.sort_by_key(|candidate| candidate.cell.id);
        let overlays = ready.iter().filter_map(|candidate| candidate.pair.frozen.as_ref());
        let bytes = overlays.map(|frozen| frozen.overlay.bytes()).sum();
        let timer = self.shared.metrics.flush_seconds.start_timer();
        let flushed = self.transact_if_room("flush", bytes, |batch| {
            let mut flushed = Vec::with_capacity(ready.len());
            for candidate in &ready {
                if write_one(batch, candidate)? {
                    flushed.push(candidate.cell.clone());
                }
            }
            Ok(flushed)
        });
        timer.observe_duration();
        let was_full = self.shared.room.set_disk_full(flushed.is_none());
        let Some(flushed) = flushed else {
            if !was_full {
                tracing::warn!("the disk is full: state is held in memory until there is room");
            }
            return self.measure().unwrap_or_else(|error| self.stop("measure", &error));
        };
        if was_full {
            tracing::info!("the disk has room again: state is flushed");
        }
        drop(ready);
        self.renew_base(&flushed);
    }
}

/// Writes one overlay and its mark. An overlay of an incarnation that is not the live one is
/// not written: its changes belong to a state that an install has replaced.
pub(crate) fn write_one(
    batch: &mut Batch<'_>,
    candidate: &Candidate,
) -> Result<bool, StorageError> {
    let Published { incarnation, prefix, frozen, .. } = &*candidate.pair;
    let live = batch.pointer(candidate.cell.id)?;
    if live.is_none_or(|live| live.incarnation != *incarnation) {
        return Ok(false);
    }
    for (key, value) in frozen.iter().flat_map(|frozen| frozen.overlay.iter()) {
        let dropped = value.is_none() && planted(Bug::FlushDropsDeletions);
        if !dropped && !planted(Bug::MarkWithoutState) {
            batch.write(prefix, key, value)?;
        }
    }
    let mark = match planted(Bug::StateWithoutMark) {
        true => candidate.pair.flushed.clone(),
        false => Some(candidate.mark().clone()),
    };
    let pointer = Pointer { incarnation: *incarnation, mark };
    batch.set_pointer(candidate.cell.id, Some(&pointer))?;
    Ok(true)
}
