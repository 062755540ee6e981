//! Why a log does not open, and why it refuses one write.
//!
//! Damage is an error with a place in it, never a silent loss: a node that dropped fsynced frames
//! would break the promises it made to its peers.

use std::io;

use crate::record::ReplicaId;

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("log segment {segment}, offset {offset}: {why}; fsynced data is damaged")]
    Damaged { segment: String, offset: u64, why: String },
    /// Its file is gone, or is one of `unread` (slots whose headers say nothing), or the frame that
    /// let it go is damaged, which then lies at or behind `end` of the segment `newest`.
    #[error(
        "log segment of epoch {epoch} is missing: its file is gone, or its headers are damaged \
         (one of {unread:?}), or {newest} is damaged at offset {end} or later"
    )]
    Missing { epoch: u32, unread: Vec<String>, newest: String, end: u64 },
    #[error("log segment {segment} has format version {found}, this build reads {supported}")]
    Version { segment: String, found: u32, supported: u32 },
    #[error(
        "log segment {segment} is {found} bytes long, others have {configured}: it was cut, or \
         `segment_bytes` was another when it was made"
    )]
    SegmentBytes { segment: String, found: u64, configured: u32 },
    #[error("log limits: {0}")]
    Limits(String),
    #[error("log disk: {0}")]
    Disk(#[from] io::Error),
}

/// A write that the log takes no part of. It reaches `done` inside an `io::Error` of kind
/// `InvalidInput` (or `BrokenPipe` when closed), at once, on the caller's thread.
#[derive(Debug, thiserror::Error, Clone, PartialEq, Eq)]
pub enum Refusal {
    #[error("{replica:?}: entry {found} does not follow the log, whose next index is {expected}")]
    NotNext { replica: ReplicaId, expected: u64, found: u64 },
    #[error("{replica:?}: value of {bytes} bytes is over {limit} = {max}")]
    TooLarge { replica: ReplicaId, bytes: usize, limit: &'static str, max: u32 },
    #[error("{replica:?}: cannot truncate from {from}, entries up to {purged} are purged")]
    TruncatesPurged { replica: ReplicaId, from: u64, purged: u64 },
    #[error("{replica:?}: the log holds its {max} replicas already")]
    TooManyReplicas { replica: ReplicaId, max: usize },
    #[error("the log is closed")]
    Closed,
}

/// The disk gives no segment after the current one. What is left of that is for records that must
/// go on (decisions, what lets go of room, what leaders send): propose nothing new until it ends.
#[derive(Debug, thiserror::Error, Clone, Copy, PartialEq, Eq)]
#[error("the log's disk is full: its last segment has {left_bytes} bytes left, kept for decisions")]
pub struct DiskFull {
    pub left_bytes: u64,
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> io::Error {
        let kind = match refusal {
            Refusal::Closed => io::ErrorKind::BrokenPipe,
            _ => io::ErrorKind::InvalidInput,
        };
        io::Error::new(kind, refusal)
    }
}
