//! What the committer can be asked to do. Each job but `Kick` and `Stop` is answered.

use std::sync::mpsc::SyncSender;

use crate::error::InstallError;
use crate::id::{Incarnation, Mark, ReplicaId};

/// What a flush on demand has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Replicas of which something published before the call is not in LMDB, because their log
    /// (the fence) has not made it durable in time, or no fence was set, or the disk is full.
    pub held_back: Vec<ReplicaId>,
}

pub(crate) type Reply<T> = SyncSender<T>;

/// Keys and values of a snapshot, in key order.
pub(crate) type Entries = Vec<(Vec<u8>, Vec<u8>)>;

pub(crate) enum Job {
    /// The overlays are large: flush now.
    Kick,
    /// Flush everything published so far.
    Flush(Reply<Flushed>),
    /// Make sure that the replica exists.
    Create(ReplicaId, Reply<()>),
    /// Forget the replica, and delete its state in time.
    Remove(ReplicaId, Reply<()>),
    /// Draw a new incarnation for an install.
    BeginInstall(ReplicaId, Reply<Result<Installing, InstallError>>),
    /// Write a part of it. Answers whether the disk had room.
    Fill(Installing, Entries, Reply<bool>),
    /// Make it the live one, with its mark. Answers whether it was still wanted.
    Flip(Installing, Mark, Reply<bool>),
    /// Give it up.
    Abandon(Installing, Reply<()>),
    /// End, without a flush.
    Stop,
    #[cfg(test)]
    /// Runs inside a write transaction of its own.
    Tamper(Box<dyn FnOnce(&mut crate::lmdb::Batch<'_>) + Send>, Reply<()>),
}

/// An install under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Installing {
    pub(crate) id: ReplicaId,
    /// The incarnation that was live when the install began; it must still be when it ends.
    pub(crate) replaces: Incarnation,
    pub(crate) incarnation: Incarnation,
}
