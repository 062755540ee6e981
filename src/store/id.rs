//! Names: which replica, which incarnation of its state, and how far it has applied.

use bytes::Bytes;

/// One replica of a group on this node.
///
/// The generation tells a replica that was removed and added again from its former self: the
/// two share no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId {
    pub group: u32,
    pub generation: u32,
}

/// How far a state has come: the index of the last log entry that it contains.
///
/// `meta` is opaque here; consensus keeps the applied log id and the membership in it. It is
/// stored in the same LMDB transaction as the state that it describes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub index: u64,
    pub meta: Bytes,
}

/// Which copy of a replica's state: each snapshot install starts a new one.
///
/// Numbers are drawn from one durable counter for the whole store and never used twice, so that
/// what an interrupted install left behind cannot be taken for live state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Incarnation(pub(crate) u32);

impl Incarnation {
    /// Holds nothing, ever: the counter starts at one.
    pub(crate) const NONE: Incarnation = Incarnation(0);
}
