//! What the log holds in memory, under one lock: each replica's front, the queue of records that
//! are not yet fsynced, the cache of recent entries, and the index of the fsynced ones.
//!
//! The order of the queue is the order of the frames: a vote is never written before an entry that
//! was appended before it, nor after one that came later.
//!
//! Invariants: an entry is in the cache or in the index, so a read never misses it; only what is
//! fsynced leaves the cache; the queue is empty once `failed` is set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::OnceLock;

use bytes::Bytes;
use vatic_sync::{Flag, Handoff, Inbox, Level, MutexGuard};

use crate::error::Refusal;
use crate::frame::{frame_bytes, frame_bytes_for};
use crate::front::{Cached, Front};
use crate::index::Index;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::record::{Entry, Record, ReplicaId};
use crate::seeded::{Bug, planted};
use crate::spare::Segment;

/// Called once with the fate of a write: on the writer's thread after the fsync, or at once, on the
/// caller's, with a refusal.
pub(crate) type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// What whoever steps the writer by hand wants called when there is something to write.
pub(crate) type OnQueued = Box<dyn Fn() + Send + Sync>;

/// Bookkeeping of a cached entry beside its payload, estimated.
const CACHED_OVERHEAD_BYTES: u64 = 96;

/// What the callers' handles and the writer share.
pub(crate) struct Shared {
    /// From the callers to the writer.
    pub(crate) handoff: Handoff<Memory>,
    /// Told as well, where no thread waits for it.
    pub(crate) on_queued: OnceLock<OnQueued>,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    full: Flag,
    /// Bytes of the current segment that nothing is written to yet.
    left_bytes: Level,
}

pub(crate) struct Memory {
    pub(crate) replicas: BTreeMap<ReplicaId, Front>,
    pub(crate) index: Index,
    /// Segments in use by epoch.
    pub(crate) segments: BTreeMap<u32, Segment>,
    /// No more writes are taken; the writer drains the queue and ends.
    pub(crate) closing: bool,
    /// The log on disk ends with a `Close`, or there is none, or no room for it.
    pub(crate) closed: bool,
    queue: VecDeque<Item>,
    /// Replicas whose committed value is newer than their frames.
    uncommitted: BTreeSet<ReplicaId>,
    position_next: u64,
    position_synced: u64,
    /// Cached entries by queue position, so oldest first.
    cache_order: BTreeMap<u64, ReplicaId>,
    cache_bytes: u64,
    cache_bytes_max: u64,
}

/// One queued record.
pub(crate) struct Item {
    pub(crate) position: u64,
    pub(crate) replica: ReplicaId,
    pub(crate) record: Record,
    pub(crate) done: Option<Done>,
}

impl Shared {
    pub(crate) fn new(memory: Memory, limits: Limits) -> Shared {
        let (full, left_bytes) = (Flag::default(), Level::default());
        let metrics = Metrics::new();
        metrics.hold(&memory.index);
        let (handoff, on_queued) = (Handoff::new(memory), OnceLock::new());
        Shared { handoff, on_queued, limits, metrics, full, left_bytes }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Memory> {
        self.handoff.lock()
    }

    /// Queues something for the writer, unless `leave` refuses.
    pub(crate) fn leave<R, E>(
        &self,
        leave: impl FnOnce(&mut Memory) -> Result<R, E>,
    ) -> Result<R, E> {
        let left = self.handoff.leave(leave)?;
        if let Some(on_queued) = self.on_queued.get() {
            on_queued();
        }
        Ok(left)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.full.is_up()
    }

    pub(crate) fn set_full(&self, full: bool) {
        self.full.set(full);
    }

    pub(crate) fn left_bytes(&self) -> u64 {
        self.left_bytes.get()
    }

    pub(crate) fn set_left_bytes(&self, bytes: u32) {
        self.left_bytes.set(u64::from(bytes));
    }
}

impl Inbox for Memory {
    fn has_work(&self) -> bool {
        self.first_bytes().is_some() || (self.closing && !self.closed)
    }

    fn is_closing(&self) -> bool {
        self.closing
    }

    fn close(&mut self) {
        self.closing = true;
    }
}

impl Memory {
    pub(crate) fn new(index: Index, segments: BTreeMap<u32, Segment>, limits: &Limits) -> Memory {
        let replicas = index.replicas().map(|(id, r)| (id, Front::recovered(r))).collect();
        Memory {
            replicas,
            index,
            segments,
            closing: false,
            closed: true,
            queue: VecDeque::new(),
            uncommitted: BTreeSet::new(),
            position_next: 1,
            position_synced: 0,
            cache_order: BTreeMap::new(),
            cache_bytes: 0,
            cache_bytes_max: limits.cache_bytes_max,
        }
    }

    /// The front of a replica that is about to be written to.
    pub(crate) fn admit(&mut self, id: ReplicaId, limits: &Limits) -> Result<&mut Front, Refusal> {
        if self.closing {
            return Err(Refusal::Closed);
        }
        let max = limits.replicas_max();
        if self.replicas.len() >= max && !self.replicas.contains_key(&id) {
            return Err(Refusal::TooManyReplicas { replica: id, max });
        }
        Ok(self.replicas.entry(id).or_default())
    }

    pub(crate) fn append(&mut self, id: ReplicaId, entries: Vec<Entry>, done: Done) {
        let Some(last) = entries.last().map(|e| e.index) else {
            return self.push(id, Record::Barrier, Some(done));
        };
        let mut done = Some(done);
        for entry in entries {
            let position = self.position_next;
            let bytes = entry.payload.len() as u64 + CACHED_OVERHEAD_BYTES;
            let its_done = if entry.index == last { done.take() } else { None };
            self.replicas.entry(id).or_default().append(entry.clone(), position);
            self.cache_order.insert(position, id);
            self.cache_bytes += bytes;
            self.push(id, Record::Entry(entry), its_done);
        }
        self.evict();
    }

    pub(crate) fn save_vote(&mut self, id: ReplicaId, vote: Bytes, done: Done) {
        self.replicas.entry(id).or_default().vote = Some(vote.clone());
        if planted(Bug::VoteAnsweredFirst) || planted(Bug::VoteBehindEntries) {
            done(Ok(()));
            return self.push(id, Record::Vote(vote), None);
        }
        self.push(id, Record::Vote(vote), Some(done));
    }

    /// Waits for a batch that is written anyway.
    pub(crate) fn save_committed(&mut self, id: ReplicaId, committed: Bytes) {
        self.replicas.entry(id).or_default().committed = Some(committed);
        self.uncommitted.insert(id);
    }

    pub(crate) fn truncate(&mut self, id: ReplicaId, from: u64, done: Done) {
        let position = self.position_next;
        let front = self.replicas.entry(id).or_default();
        if from >= front.bounds().1 || front.is_empty() {
            return self.push(id, Record::Barrier, Some(done));
        }
        let from = from.max(front.bounds().0);
        let cut = front.truncate(from, position);
        self.uncache(cut);
        self.push(id, Record::Truncate { from }, Some(done));
    }

    pub(crate) fn purge(&mut self, id: ReplicaId, to: u64, last_purged: Bytes, done: Done) {
        let position = self.position_next;
        let front = self.replicas.entry(id).or_default();
        if front.purged.as_ref().is_some_and(|(purged, _)| *purged >= to) {
            return self.push(id, Record::Barrier, Some(done));
        }
        let cut = front.purge(to, last_purged.clone(), position);
        self.uncache(cut);
        self.push(id, Record::Purge { to, last_purged }, Some(done));
    }

    pub(crate) fn remove(&mut self, id: ReplicaId, done: Done) {
        self.uncommitted.remove(&id);
        match self.replicas.remove(&id) {
            Some(front) => {
                self.uncache(front.into_cached());
                self.push(id, Record::Remove, Some(done));
            }
            None => self.push(id, Record::Barrier, Some(done)),
        }
    }

    /// Bytes of the first queued record; `None` when there is nothing to write.
    pub(crate) fn first_bytes(&self) -> Option<usize> {
        if let Some(item) = self.queue.front() {
            return Some(frame_bytes(&item.record));
        }
        let id = self.uncommitted.first().filter(|_| self.closing)?;
        let committed = self.replicas.get(id).and_then(|front| front.committed.as_ref());
        Some(committed.map_or(0, |committed| frame_bytes_for(committed.len())))
    }

    /// Takes records from the head of the queue: all that fit into `room`, and no more than about
    /// `batch_bytes`, but at least one.
    pub(crate) fn take(&mut self, room: usize, batch_bytes: usize) -> Vec<Item> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        let votes_last = planted(Bug::VoteBehindEntries);
        if votes_last {
            // Stable: among themselves all keep their order.
            let is_vote = |item: &Item| matches!(item.record, Record::Vote(_));
            self.queue.make_contiguous().sort_by_key(is_vote);
        }
        while let Some(first) = self.queue.front() {
            bytes += frame_bytes(&first.record);
            let waits = votes_last && matches!(first.record, Record::Vote(_)) && !items.is_empty();
            if bytes > room || (bytes > batch_bytes && !items.is_empty()) || waits {
                break;
            }
            items.extend(self.queue.pop_front());
        }
        items
    }

    /// Committed values to write behind the last queued record: never ahead of the entries that
    /// they speak of.
    pub(crate) fn take_committed(&mut self, mut room: usize) -> Vec<(ReplicaId, Record)> {
        let mut taken = Vec::new();
        if !self.queue.is_empty() && !planted(Bug::CommittedAhead) {
            return taken;
        }
        while let Some(id) = self.uncommitted.first().copied() {
            let committed = self.replicas.get(&id).and_then(|front| front.committed.clone());
            if let Some(committed) = committed {
                let record = Record::Committed(committed);
                let Some(left) = room.checked_sub(frame_bytes(&record)) else { break };
                room = left;
                taken.push((id, record));
            }
            self.uncommitted.remove(&id);
        }
        taken
    }

    /// All up to `position` is fsynced, and in the index. `touched` are the replicas concerned.
    pub(crate) fn synced(&mut self, position: u64, touched: &BTreeSet<ReplicaId>) {
        self.position_synced = self.position_synced.max(position);
        for id in touched {
            if let Some(front) = self.replicas.get_mut(id) {
                front.synced(self.position_synced);
            }
        }
        self.evict();
    }

    /// Takes no more writes, and hands back the callbacks of those that will not be made.
    pub(crate) fn fail(&mut self) -> Vec<Done> {
        self.closing = true;
        std::mem::take(&mut self.queue).into_iter().filter_map(|item| item.done).collect()
    }

    fn push(&mut self, replica: ReplicaId, record: Record, done: Option<Done>) {
        let position = self.position_next;
        self.position_next += 1;
        self.queue.push_back(Item { position, replica, record, done });
    }

    fn uncache(&mut self, cut: impl IntoIterator<Item = Cached>) {
        for cached in cut {
            self.cache_order.remove(&cached.position);
            self.cache_bytes -= cached.entry.payload.len() as u64 + CACHED_OVERHEAD_BYTES;
        }
    }

    fn evict(&mut self) {
        while self.cache_bytes > self.cache_bytes_max {
            let Some(first) = self.cache_order.first_entry() else { return };
            if *first.key() > self.position_synced {
                return;
            }
            let (position, id) = first.remove_entry();
            let evicted = self.replicas.get_mut(&id).and_then(Front::evict_first);
            debug_assert_eq!(evicted.as_ref().map(|cached| cached.position), Some(position));
            let Some(evicted) = evicted else { continue };
            self.cache_bytes -= evicted.entry.payload.len() as u64 + CACHED_OVERHEAD_BYTES;
        }
    }
}
