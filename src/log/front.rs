//! One replica as its callers see it: ahead of the disk by what is queued.
//!
//! Entries are readable the moment `append` returns, and stay in `tail` at least until they are
//! fsynced (each remembers its position in the queue). `marks` turn queue positions back into
//! indexes: when position p is fsynced, the log is durable up to the top of the last mark at or
//! before p. A truncation lowers every pending top, and the durable index at once: entries above it
//! that come later are others, and not durable because their predecessors were.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::error::Refusal;
use crate::index::ReplicaIndex;
use crate::record::{Entry, ReplicaId};
use crate::seeded::{Bug, planted};

#[derive(Debug, Default)]
pub(crate) struct Front {
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    pub(crate) durable: Option<u64>,
    first: u64,
    next: u64,
    tail: VecDeque<Cached>,
    marks: VecDeque<Mark>,
}

#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) entry: Entry,
    pub(crate) position: u64,
}

#[derive(Debug)]
struct Mark {
    position: u64,
    top: Option<u64>,
}

impl Front {
    /// As recovery found it; all of it is durable.
    pub(crate) fn recovered(replica: &ReplicaIndex) -> Front {
        let next = replica.next();
        let extent = replica.extent();
        let purged_to = replica.purged.as_ref().map(|(to, _)| *to);
        Front {
            purged: replica.purged.clone(),
            vote: replica.vote.clone().filter(|_| !planted(Bug::VoteLostAtRestart)),
            committed: replica.committed.clone(),
            durable: extent.map(|e| e.last).or(purged_to),
            first: extent.map_or(next, |e| e.first),
            next,
            ..Front::default()
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first == self.next
    }

    /// The entries there are, from and to (exclusive).
    pub(crate) fn bounds(&self) -> (u64, u64) {
        (self.first, self.next)
    }

    pub(crate) fn cached(&self, index: u64) -> Option<&Cached> {
        let at = index.checked_sub(self.tail_start())?;
        self.tail.get(usize::try_from(at).ok()?)
    }

    /// An empty log that was never purged may begin anywhere.
    pub(crate) fn check_append(&self, id: ReplicaId, entries: &[Entry]) -> Result<(), Refusal> {
        let Some(first) = entries.first() else { return Ok(()) };
        let begins = self.is_empty() && self.purged.is_none();
        let next = if begins { first.index } else { self.next };
        let misplaced = (next..).zip(entries).find(|(expected, entry)| *expected != entry.index);
        misplaced.map_or(Ok(()), |(expected, entry)| {
            Err(Refusal::NotNext { replica: id, expected, found: entry.index })
        })
    }

    pub(crate) fn append(&mut self, entry: Entry, position: u64) {
        if self.is_empty() {
            self.first = entry.index;
        }
        self.next = entry.index + 1;
        self.marks.push_back(Mark { position, top: Some(entry.index) });
        self.tail.push_back(Cached { entry, position });
    }

    /// Removes `from` and all after it; returns what leaves the cache.
    pub(crate) fn truncate(&mut self, from: u64, position: u64) -> VecDeque<Cached> {
        debug_assert!(self.first <= from && from < self.next);
        let kept = from.saturating_sub(self.tail_start()) as usize;
        let cut = self.tail.split_off(kept.min(self.tail.len()));
        self.next = from;
        if self.is_empty() {
            // An emptied log goes on after what was purged, or anywhere: nothing of it is durable.
            self.next = self.purged.as_ref().map_or(from, |(to, _)| to + 1);
            self.first = self.next;
        }
        let kept_purged = self.purged.as_ref().map(|(to, _)| *to);
        let top = if self.is_empty() { kept_purged } else { Some(from - 1) };
        self.durable = self.durable.min(top);
        self.marks.iter_mut().for_each(|mark| mark.top = mark.top.min(top));
        self.marks.push_back(Mark { position, top });
        cut
    }

    /// Removes `to` and all before it; returns what leaves the cache.
    pub(crate) fn purge(&mut self, to: u64, value: Bytes, position: u64) -> Vec<Cached> {
        let gone = (to + 1).saturating_sub(self.tail_start()).min(self.tail.len() as u64);
        let cut = self.tail.drain(..gone as usize).collect();
        if to >= self.next || self.is_empty() {
            self.next = to + 1;
            self.first = self.next;
            self.marks.push_back(Mark { position, top: Some(to) });
        }
        self.first = self.first.max(to + 1);
        self.purged = Some((to, value));
        cut
    }

    /// Everything queued up to `position` is fsynced.
    pub(crate) fn synced(&mut self, position: u64) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.position <= position) {
            self.durable = mark.top;
            self.marks.pop_front();
        }
    }

    pub(crate) fn evict_first(&mut self) -> Option<Cached> {
        self.tail.pop_front()
    }

    pub(crate) fn into_cached(self) -> VecDeque<Cached> {
        self.tail
    }

    fn tail_start(&self) -> u64 {
        self.next - self.tail.len() as u64
    }
}
