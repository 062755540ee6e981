//! Where every live entry lies, and each replica's state, as the fsynced frames tell it.
//!
//! A pure fold over frames: the writer folds a batch once it is fsynced, recovery folds what it
//! reads, so that both agree by construction. Opening frames are taken from it and, in recovery,
//! checked against it.
//!
//! Invariants: the entries of a replica have no gap; a segment's live counts equal the places that
//! point into it; epochs of segments have no gap.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::record::{Entry, Extent, Opening, Record, ReplicaId};

/// Where an entry's frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u32,
    pub(crate) offset: u32,
    /// The whole frame.
    pub(crate) bytes: u32,
    pub(crate) term: u64,
}

/// A frame that cannot follow those before it: damage, or a bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inconsistent(pub(crate) String);

#[derive(Debug, Default)]
pub(crate) struct Index {
    replicas: BTreeMap<ReplicaId, ReplicaIndex>,
    segments: BTreeMap<u32, Live>,
}

#[derive(Debug, Default)]
pub(crate) struct ReplicaIndex {
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
    first: u64,
    /// `None` while recovery has not met the entry yet: it was carried to a later segment.
    places: VecDeque<Option<Place>>,
    last_term: Option<u64>,
    /// Of its entries' frames.
    live_bytes: u64,
}

/// What is live in one segment.
#[derive(Debug, Default)]
struct Live {
    bytes: u64,
    entries: BTreeMap<ReplicaId, u64>,
}

impl Index {
    pub(crate) fn replica(&self, replica: ReplicaId) -> Option<&ReplicaIndex> {
        self.replicas.get(&replica)
    }

    pub(crate) fn replicas(&self) -> impl Iterator<Item = (ReplicaId, &ReplicaIndex)> {
        self.replicas.iter().map(|(id, replica)| (*id, replica))
    }

    pub(crate) fn open_segment(&mut self, epoch: u32) {
        debug_assert!(self.newest().is_none_or(|newest| newest + 1 == epoch));
        self.segments.insert(epoch, Live::default());
    }

    pub(crate) fn oldest(&self) -> Option<u32> {
        self.segments.first_key_value().map(|(epoch, _)| *epoch)
    }

    pub(crate) fn newest(&self) -> Option<u32> {
        self.segments.last_key_value().map(|(epoch, _)| *epoch)
    }

    pub(crate) fn segment_count(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn live_bytes(&self) -> u64 {
        self.segments.values().map(|live| live.bytes).sum()
    }

    pub(crate) fn live_bytes_in(&self, epoch: u32) -> u64 {
        self.segments.get(&epoch).map_or(0, |live| live.bytes)
    }

    /// The first epoch that is needed, where that is not the oldest there is. The newest always is.
    pub(crate) fn releasable(&self) -> Option<u32> {
        let newest = self.newest()?;
        let needed = self.segments.iter().find(|(epoch, live)| live.bytes > 0 || **epoch == newest);
        let needed = *needed?.0;
        (Some(needed) != self.oldest()).then_some(needed)
    }

    /// Forgets the segments before `oldest`; they hold nothing live.
    pub(crate) fn release(&mut self, oldest: u32) {
        let kept = self.segments.split_off(&oldest);
        debug_assert!(self.segments.values().all(|live| live.bytes == 0));
        self.segments = kept;
    }

    /// Entries of one segment, up to a number of bytes, though at least one if there is any.
    pub(crate) fn live_entries(&self, epoch: u32, bytes: u32) -> Vec<(ReplicaId, u64, Place)> {
        let (mut taken, mut left) = (Vec::new(), bytes);
        let Some(live) = self.segments.get(&epoch) else { return taken };
        for id in live.entries.keys() {
            let replica = &self.replicas[id];
            for (at, place) in replica.places.iter().enumerate() {
                let Some(place) = place.filter(|p| p.epoch == epoch) else { continue };
                if place.bytes > left && !taken.is_empty() {
                    return taken;
                }
                left = left.saturating_sub(place.bytes);
                taken.push((*id, replica.first + at as u64, place));
            }
        }
        taken
    }

    /// Folds one frame that was written at `place`.
    pub(crate) fn apply(
        &mut self,
        id: ReplicaId,
        record: &Record,
        place: Place,
    ) -> Result<(), Inconsistent> {
        match record {
            Record::Entry(entry) => self.append(id, entry, place),
            Record::Carried(entry) => self.carry(id, entry, place),
            Record::Vote(vote) => {
                self.replicas.entry(id).or_default().vote = Some(vote.clone());
                Ok(())
            }
            Record::Committed(committed) => {
                self.replicas.entry(id).or_default().committed = Some(committed.clone());
                Ok(())
            }
            Record::Truncate { from } => self.truncate(id, *from),
            Record::Purge { to, last_purged } => {
                self.purge(id, *to, last_purged);
                Ok(())
            }
            Record::Remove => {
                if let Some(replica) = self.replicas.remove(&id) {
                    replica.places.into_iter().flatten().for_each(|p| self.forget(id, p));
                }
                Ok(())
            }
            Record::Opening(_) | Record::Release { .. } | Record::Close | Record::Barrier => Ok(()),
        }
    }

    /// State of all replicas for a segment's opening.
    pub(crate) fn openings(&self) -> Vec<(ReplicaId, Opening)> {
        self.replicas.iter().map(|(id, replica)| (*id, replica.opening())).collect()
    }

    /// Takes an opening of the first segment that recovery reads.
    pub(crate) fn restore(&mut self, id: ReplicaId, opening: &Opening) -> Result<(), Inconsistent> {
        let mut replica = ReplicaIndex {
            purged: opening.purged.clone(),
            vote: opening.vote.clone(),
            committed: opening.committed.clone(),
            ..ReplicaIndex::default()
        };
        if let Some(extent) = opening.entries {
            let count = extent.last.checked_sub(extent.first).map(|n| n + 1);
            let count = count.ok_or_else(|| inconsistent(id, "opens with last before first"))?;
            replica.first = extent.first;
            replica.places = std::iter::repeat_n(None, count as usize).collect();
            replica.last_term = Some(extent.last_term);
        } else if let Some((purged, _)) = opening.purged {
            replica.first = purged + 1;
        }
        self.replicas.insert(id, replica);
        Ok(())
    }

    /// Compares the openings of a later segment with what the frames before it say.
    pub(crate) fn check(&self, openings: &[(ReplicaId, Opening)]) -> Result<(), Inconsistent> {
        let ids = openings.iter().map(|(id, _)| *id);
        if !ids.eq(self.replicas.keys().copied()) {
            return Err(Inconsistent("the openings name other replicas than the frames".into()));
        }
        for (id, opening) in openings {
            let mut known = self.replicas[id].opening();
            if let (Some(known), Some(said)) = (&mut known.entries, opening.entries)
                && self.replicas[id].last_term.is_none()
            {
                known.last_term = said.last_term;
            }
            if known != *opening {
                return Err(inconsistent(*id, &format!("opens as {opening:?}, not {known:?}")));
            }
        }
        Ok(())
    }

    /// Every entry of every replica must have been met.
    pub(crate) fn check_complete(&self) -> Result<(), Inconsistent> {
        for (id, replica) in &self.replicas {
            if let Some(at) = replica.places.iter().position(Option::is_none) {
                let index = replica.first + at as u64;
                return Err(inconsistent(*id, &format!("entry {index} is in no segment")));
            }
        }
        Ok(())
    }

    /// What of the invariants does not hold.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn violation(&self) -> Option<String> {
        let mut counted: BTreeMap<u32, Live> = BTreeMap::new();
        for (id, replica) in &self.replicas {
            let bytes: u64 = replica.places.iter().flatten().map(|p| u64::from(p.bytes)).sum();
            if bytes != replica.live_bytes {
                return Some(format!("{id:?} counts {} bytes, has {bytes}", replica.live_bytes));
            }
            for place in replica.places.iter().flatten() {
                let live = counted.entry(place.epoch).or_default();
                live.bytes += u64::from(place.bytes);
                *live.entries.entry(*id).or_default() += 1;
            }
        }
        for (epoch, live) in &self.segments {
            let real = counted.remove(epoch).unwrap_or_default();
            if (real.bytes, &real.entries) != (live.bytes, &live.entries) {
                return Some(format!("segment {epoch} counts {live:?}, holds {real:?}"));
            }
        }
        let gap =
            self.segments.keys().zip(self.segments.keys().skip(1)).find(|(a, b)| *a + 1 != **b);
        let orphan = counted.keys().next().map(|epoch| format!("entries in no segment: {epoch}"));
        orphan.or_else(|| gap.map(|gap| format!("segments are not in a row: {gap:?}")))
    }

    fn append(&mut self, id: ReplicaId, entry: &Entry, place: Place) -> Result<(), Inconsistent> {
        let replica = self.replicas.entry(id).or_default();
        if replica.places.is_empty() && replica.purged.is_none() {
            replica.first = entry.index;
        }
        if entry.index != replica.next() {
            let why = format!("entry {} where {} is next", entry.index, replica.next());
            return Err(inconsistent(id, &why));
        }
        replica.places.push_back(Some(place));
        replica.last_term = Some(entry.term);
        self.remember(id, place);
        Ok(())
    }

    fn carry(&mut self, id: ReplicaId, entry: &Entry, place: Place) -> Result<(), Inconsistent> {
        let lacks = || inconsistent(id, &format!("carries entry {} it lacks", entry.index));
        let replica = self.replicas.get_mut(&id).ok_or_else(lacks)?;
        let is_last = entry.index + 1 == replica.next();
        let last_term = replica.last_term;
        let slot = replica.slot(entry.index).ok_or_else(lacks)?;
        if slot.is_some_and(|old| old.term != place.term) {
            return Err(inconsistent(
                id,
                &format!("carries entry {} of another term", entry.index),
            ));
        }
        let old = slot.replace(place);
        if is_last {
            // Not known where a truncation made this the last entry before recovery met it.
            replica.last_term = last_term.or(Some(place.term));
        }
        if let Some(old) = old {
            self.forget(id, old);
        }
        self.remember(id, place);
        Ok(())
    }

    fn truncate(&mut self, id: ReplicaId, from: u64) -> Result<(), Inconsistent> {
        let Some(replica) = self.replicas.get_mut(&id).filter(|r| r.first <= from) else {
            return Err(inconsistent(id, &format!("truncates from {from}, below its log")));
        };
        let kept = usize::try_from(from - replica.first).unwrap_or(usize::MAX);
        let cut = replica.places.split_off(kept.min(replica.places.len()));
        if !cut.is_empty() {
            replica.last_term = replica.places.back().and_then(|p| p.map(|p| p.term));
        }
        if let (true, Some((purged, _))) = (replica.places.is_empty(), &replica.purged) {
            replica.first = purged + 1;
        }
        cut.into_iter().flatten().for_each(|p| self.forget(id, p));
        Ok(())
    }

    fn purge(&mut self, id: ReplicaId, to: u64, last_purged: &Bytes) {
        let replica = self.replicas.entry(id).or_default();
        let gone = (to + 1).saturating_sub(replica.first).min(replica.places.len() as u64);
        let cut: Vec<_> = replica.places.drain(..gone as usize).flatten().collect();
        replica.first = replica.first.max(to + 1);
        if replica.places.is_empty() {
            (replica.first, replica.last_term) = (to + 1, None);
        }
        replica.purged = Some((to, last_purged.clone()));
        cut.into_iter().for_each(|p| self.forget(id, p));
    }

    fn remember(&mut self, id: ReplicaId, place: Place) {
        let live = self.segments.entry(place.epoch).or_default();
        live.bytes += u64::from(place.bytes);
        *live.entries.entry(id).or_default() += 1;
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.live_bytes += u64::from(place.bytes);
        }
    }

    fn forget(&mut self, id: ReplicaId, place: Place) {
        if let Some(replica) = self.replicas.get_mut(&id) {
            replica.live_bytes -= u64::from(place.bytes);
        }
        let Some(live) = self.segments.get_mut(&place.epoch) else { return };
        live.bytes -= u64::from(place.bytes);
        if let Some(count) = live.entries.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                live.entries.remove(&id);
            }
        }
    }
}

impl ReplicaIndex {
    pub(crate) fn opening(&self) -> Opening {
        Opening {
            purged: self.purged.clone(),
            entries: self.extent(),
            vote: self.vote.clone(),
            committed: self.committed.clone(),
        }
    }

    pub(crate) fn extent(&self) -> Option<Extent> {
        (!self.places.is_empty()).then(|| Extent {
            first: self.first,
            last: self.next() - 1,
            // Unknown only while recovery runs, between a truncation and the entry's carried frame.
            last_term: self.last_term.unwrap_or(0),
        })
    }

    pub(crate) fn place(&self, index: u64) -> Option<Place> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.places.get(at).copied().flatten()
    }

    /// Bytes that its entries take on disk.
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The last entry behind which at most `bytes` live; `None` where that is all of them.
    pub(crate) fn last_beyond(&self, bytes: u64) -> Option<u64> {
        let mut left = bytes;
        let newest_first = self.places.iter().enumerate().rev();
        let mut sizes = newest_first.map(|(at, place)| (at, place.map_or(0, |it| it.bytes)));
        let beyond = sizes.find(|(_, size)| match left.checked_sub(u64::from(*size)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        beyond.map(|(at, _)| self.first + at as u64)
    }

    /// The index that the next entry has, unless the log is empty and was never purged.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.places.len() as u64
    }

    fn slot(&mut self, index: u64) -> Option<&mut Option<Place>> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.places.get_mut(at)
    }
}

fn inconsistent(id: ReplicaId, why: &str) -> Inconsistent {
    Inconsistent(format!("group {} generation {} {why}", id.group, id.generation))
}
