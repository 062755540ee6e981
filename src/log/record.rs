//! What the log holds: entries and the small facts about a replica beside them.
//!
//! A `Record` is the one vocabulary of the queue, the frames and the index: what is queued is what
//! is framed is what recovery folds.

use bytes::Bytes;

/// One incarnation of a group's replica on this node. A replica that is removed and added again
/// has a new generation, so that nothing of the old one can be taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    pub group: u32,
    pub generation: u32,
}

/// A Raft log entry; the payload is opaque to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub index: u64,
    pub term: u64,
    pub payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Entry(Entry),
    /// An entry written again from an old segment: it moves, the log does not change.
    Carried(Entry),
    Vote(Bytes),
    Committed(Bytes),
    Truncate {
        from: u64,
    },
    Purge {
        to: u64,
        last_purged: Bytes,
    },
    Remove,
    /// A replica's state at the start of a segment.
    Opening(Opening),
    /// Segments before this epoch are free; it belongs to no replica.
    Release {
        oldest: u32,
    },
    /// The log was closed: all before it was fsynced. It belongs to no replica.
    Close,
    /// Writes nothing: its `done` waits for what was queued before it.
    Barrier,
}

/// All that a replica is at one point, except its entries' payloads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) purged: Option<(u64, Bytes)>,
    pub(crate) entries: Option<Extent>,
    pub(crate) vote: Option<Bytes>,
    pub(crate) committed: Option<Bytes>,
}

/// The entries `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) last_term: u64,
}
