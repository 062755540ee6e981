//! The handle of one replica's log: what consensus calls.
//!
//! Every write is checked, made visible and queued under one lock, so calls take effect in the
//! order they are made; `done` follows on the writer's thread, after the fsync. It must be quick
//! and must not wait for another write.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Refusal;
use crate::frame::decode;
use crate::index::{Place, ReplicaIndex};
use crate::limits::Limits;
use crate::memory::{Done, Memory, Shared};
use crate::record::{Entry, Record, ReplicaId};
use crate::spare::Segment;

/// The log of one replica. Clones name the same log.
#[derive(Clone)]
pub struct ReplicaLog {
    pub(crate) id: ReplicaId,
    pub(crate) shared: Arc<Shared>,
}

/// What a replica is, apart from its entries; includes what is not yet fsynced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicaState {
    /// The last purged index, with the value that `purge_to` gave.
    pub purged: Option<(u64, Bytes)>,
    /// Index and term of the last entry; `None` when there is no entry (see `purged` then).
    pub last: Option<(u64, u64)>,
    pub vote: Option<Bytes>,
    pub committed: Option<Bytes>,
}

impl ReplicaLog {
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    pub fn state(&self) -> ReplicaState {
        let memory = self.shared.lock();
        let Some(front) = memory.replicas.get(&self.id) else { return ReplicaState::default() };
        let last = (!front.is_empty()).then(|| front.bounds().1 - 1);
        ReplicaState {
            purged: front.purged.clone(),
            last: last.map(|index| (index, term_of(&memory, self.id, index))),
            vote: front.vote.clone(),
            committed: front.committed.clone(),
        }
    }

    /// Appends entries that follow the log without a gap (an empty log that was never purged may
    /// begin anywhere). They are readable on return. If any is refused, none is taken.
    pub fn append(&self, entries: Vec<Entry>, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let (id, max) = (self.id, self.shared.limits.entry_bytes_max);
        let too_large = entries.iter().map(|e| e.payload.len()).find(|n| *n > max as usize);
        let refusal = too_large.map(|bytes| Refusal::TooLarge {
            replica: id,
            bytes,
            limit: "entry_bytes_max",
            max,
        });
        self.write(refusal, Box::new(done), |memory, limits, done| {
            let checked = memory.admit(id, limits).and_then(|f| f.check_append(id, &entries));
            match checked {
                Ok(()) => memory.append(id, entries, done),
                Err(refusal) => return Some((refusal, done)),
            }
            None
        });
    }

    pub fn save_vote(&self, vote: Bytes, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let (id, refusal) = (self.id, self.meta_refusal(&vote));
        self.write(refusal, Box::new(done), |memory, limits, done| {
            match memory.admit(id, limits) {
                Ok(_) => memory.save_vote(id, vote, done),
                Err(refusal) => return Some((refusal, done)),
            }
            None
        });
    }

    /// Remembers what is committed, a hint that may be lost: it is written with the next batch, and
    /// at the close.
    pub fn save_committed(&self, committed: Bytes) -> Result<(), Refusal> {
        if let Some(refusal) = self.meta_refusal(&committed) {
            return Err(refusal);
        }
        let mut memory = self.shared.lock();
        memory.admit(self.id, &self.shared.limits)?;
        memory.save_committed(self.id, committed);
        Ok(())
    }

    /// Removes the entries at and after `index`. Without effect where there are none; refused where
    /// `index` is purged.
    pub fn truncate_from(&self, index: u64, done: impl FnOnce(io::Result<()>) + Send + 'static) {
        let id = self.id;
        self.write(None, Box::new(done), |memory, limits, done| {
            let purged = memory.admit(id, limits).map(|f| f.purged.as_ref().map(|(to, _)| *to));
            match purged {
                Ok(Some(purged)) if index <= purged => {
                    let refusal = Refusal::TruncatesPurged { replica: id, from: index, purged };
                    return Some((refusal, done));
                }
                Ok(_) => memory.truncate(id, index, done),
                Err(refusal) => return Some((refusal, done)),
            }
            None
        });
    }

    /// Removes the entries at and before `index`, which may lie beyond the last one (a snapshot
    /// was installed): the log then goes on after it. Without effect where it is purged already.
    pub fn purge_to(
        &self,
        index: u64,
        last_purged: Bytes,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let (id, refusal) = (self.id, self.meta_refusal(&last_purged));
        self.write(refusal, Box::new(done), |memory, limits, done| {
            match memory.admit(id, limits) {
                Ok(_) => memory.purge(id, index, last_purged, done),
                Err(refusal) => return Some((refusal, done)),
            }
            None
        });
    }

    /// The entries of `range` that there are: recent ones from memory, older ones from the segment
    /// files. An error means that the disk does not give back what was fsynced.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<Entry>> {
        let mut found = self.find(&range)?;
        let mut tried = false;
        loop {
            match found.iter().map(|f| f.load(self.id)).collect() {
                Ok(entries) => return Ok(entries),
                // The segment was recycled between the look-up and the read: look again. The
                // same places again mean that the frame itself is bad.
                Err(error) => {
                    let again = self.find(&range)?;
                    if tried && again == found {
                        return Err(error);
                    }
                    (found, tried) = (again, true);
                }
            }
        }
    }

    /// The highest index whose frame is fsynced, and all truncations before it, or that is purged;
    /// lower than the last index while writes are queued. `None` where nothing is.
    pub fn durable_index(&self) -> Option<u64> {
        let memory = self.shared.lock();
        memory.replicas.get(&self.id).and_then(|front| front.durable)
    }

    /// Whether the log up to `index`, as it now reads, survives a crash: what state up to `index`
    /// must wait for before it goes to disk.
    pub fn is_durable(&self, index: u64) -> bool {
        self.durable_index().is_some_and(|durable| durable >= index)
    }

    /// Bytes that its fsynced entries take in the log, for whoever bounds them: what purging them
    /// all would let go.
    pub fn live_bytes(&self) -> u64 {
        let memory = self.shared.lock();
        memory.index.replica(self.id).map_or(0, ReplicaIndex::live_bytes)
    }

    /// The last entry that must be purged so that those that are left take at most `bytes`; `None`
    /// where all of them do.
    pub fn last_beyond(&self, bytes: u64) -> Option<u64> {
        let memory = self.shared.lock();
        memory.index.replica(self.id)?.last_beyond(bytes)
    }

    fn meta_refusal(&self, value: &Bytes) -> Option<Refusal> {
        let max = self.shared.limits.meta_bytes_max;
        (value.len() > max as usize).then(|| Refusal::TooLarge {
            replica: self.id,
            bytes: value.len(),
            limit: "meta_bytes_max",
            max,
        })
    }

    fn write(
        &self,
        refusal: Option<Refusal>,
        done: Done,
        queue: impl FnOnce(&mut Memory, &Limits, Done) -> Option<(Refusal, Done)>,
    ) {
        let left = match refusal {
            Some(refusal) => Err((refusal, done)),
            None => self
                .shared
                .leave(|memory| queue(memory, &self.shared.limits, done).map_or(Ok(()), Err)),
        };
        if let Err((refusal, done)) = left {
            done(Err(refusal.into()));
        }
    }

    fn find(&self, range: &Range<u64>) -> io::Result<Vec<Found>> {
        let memory = self.shared.lock();
        let Some(front) = memory.replicas.get(&self.id) else { return Ok(Vec::new()) };
        let (first, next) = front.bounds();
        let indexes = range.start.max(first)..range.end.min(next);
        let find = |index| {
            if let Some(cached) = front.cached(index) {
                return Ok(Found::Cached(cached.entry.clone()));
            }
            let place = memory.index.replica(self.id).and_then(|r| r.place(index));
            let found = place.and_then(|place| {
                let segment = memory.segments.get(&place.epoch)?.clone();
                Some(Found::OnDisk(OnDisk { index, place, segment }))
            });
            found.ok_or_else(|| {
                let message = format!("{:?}: entry {index} is neither cached nor indexed", self.id);
                io::Error::new(io::ErrorKind::InvalidData, message)
            })
        };
        indexes.map(find).collect()
    }
}

/// Where an entry of a read is.
#[derive(PartialEq)]
enum Found {
    Cached(Entry),
    OnDisk(OnDisk),
}

struct OnDisk {
    index: u64,
    place: Place,
    segment: Segment,
}

impl PartialEq for OnDisk {
    fn eq(&self, other: &OnDisk) -> bool {
        (self.index, self.place) == (other.index, other.place)
    }
}

impl Found {
    fn load(&self, id: ReplicaId) -> io::Result<Entry> {
        match self {
            Found::Cached(entry) => Ok(entry.clone()),
            Found::OnDisk(at) => read_entry(&at.segment, id, at.index, at.place),
        }
    }
}

/// Reads one entry's frame, and checks that it is that entry's.
pub(crate) fn read_entry(
    segment: &Segment,
    id: ReplicaId,
    index: u64,
    place: Place,
) -> io::Result<Entry> {
    let mut bytes = vec![0; place.bytes as usize];
    segment.slot.file.read_at(u64::from(place.offset), &mut bytes)?;
    let frame = decode(&Bytes::from(bytes), segment.salt.at(place.offset));
    let entry = frame.and_then(|(header, record)| match record {
        Record::Entry(entry) | Record::Carried(entry)
            if (header.replica, entry.index, entry.term) == (id, index, place.term) =>
        {
            Some(entry)
        }
        _ => None,
    });
    entry.ok_or_else(|| {
        let message = format!("{id:?}: frame of entry {index} at {place:?} is damaged");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn term_of(memory: &Memory, id: ReplicaId, index: u64) -> u64 {
    let cached = memory.replicas.get(&id).and_then(|front| front.cached(index));
    let placed = || memory.index.replica(id)?.place(index).map(|place| place.term);
    let term = cached.map(|c| c.entry.term).or_else(placed);
    term.expect("an entry is neither cached nor in the index")
}
