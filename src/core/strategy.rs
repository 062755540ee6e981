//! Conflict strategies: what a transaction does about others that change what it touches.
//!
//! A strategy is chosen by the transaction, or else by the collection of the first record that it
//! touches. What the transaction is voted on states its [`Basis`]: what of its reads holds at its
//! commit. So does its receipt.

use crate::{
    command::Why,
    hash::Hasher,
    id::{Tid, Timestamp},
};
use serde::{Deserialize, Serialize};

/// What is done about a conflict.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Strategy {
    /// It rolls back, and whoever asked may begin anew.
    #[default]
    Optimistic,
    /// It is moved onto the newer versions of the records that it writes, where its deltas commute
    /// or merge with what had changed there ([`crate::resolution`]).
    Rebase,
    /// Its reads are of one snapshot and need not hold; the first committer wins on writes.
    Snapshot,
    /// It waits for its turn with a record first.
    Lock,
    /// Its reads need not hold: what it writes goes over whatever is there.
    LastWriterWins,
    /// With each record what its leader foresees to be cheaper: it waits for its turn, or goes on
    /// at once.
    Adaptive,
}

/// What of a transaction's reads holds at its commit.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Basis {
    /// All of them: it is strictly serializable.
    #[default]
    Reads,
    /// Those of records that it does not write. Where one that it writes has changed since, its
    /// deltas there commute or merge with the changes.
    Rebase,
    /// None: they are of the snapshot at this time, since when nobody committed a write of the
    /// records that it writes.
    Snapshot(Timestamp),
    /// None.
    Nothing,
}

impl Strategy {
    /// What a transaction that chose nothing itself may go over to: what promises no less of what
    /// it read. One that read nothing of what it writes (`unread`) may be moved as well.
    pub fn alternatives(self, unread: bool) -> &'static [Strategy] {
        use Strategy::{Adaptive, LastWriterWins, Lock, Optimistic, Rebase, Snapshot};
        match self {
            Optimistic | Lock | Adaptive if !unread => &[Optimistic, Lock],
            Optimistic | Lock | Adaptive | Rebase => &[Optimistic, Rebase, Lock],
            Snapshot => &[Snapshot],
            LastWriterWins => &[LastWriterWins],
        }
    }

    /// All of them.
    pub const ALL: [Strategy; 6] = [
        Strategy::Optimistic,
        Strategy::Rebase,
        Strategy::Snapshot,
        Strategy::Lock,
        Strategy::LastWriterWins,
        Strategy::Adaptive,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Optimistic => "optimistic",
            Strategy::Rebase => "rebase",
            Strategy::Snapshot => "snapshot",
            Strategy::Lock => "lock",
            Strategy::LastWriterWins => "last-writer-wins",
            Strategy::Adaptive => "adaptive",
        }
    }

    /// Whom to wait for after a No, to be voted on again. Each attempt is a transaction of its own,
    /// so this takes a request id: without one nobody could tell which of them committed.
    pub fn waits_for(self, why: &Why) -> Option<Tid> {
        match why {
            Why::Locked { by, .. } | Why::RangeLocked { by, .. } => {
                Some(*by).filter(|_| self != Strategy::Optimistic)
            }
            _ => None,
        }
    }
}

impl Basis {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Basis::Reads => "reads",
            Basis::Rebase => "rebase",
            Basis::Snapshot(_) => "snapshot",
            Basis::Nothing => "nothing",
        }
    }

    /// The snapshot that its reads are of.
    pub fn snapshot(self) -> Option<Timestamp> {
        match self {
            Basis::Snapshot(at) => Some(at),
            Basis::Reads | Basis::Rebase | Basis::Nothing => None,
        }
    }

    pub(crate) fn feed(self, hasher: Hasher) -> Hasher {
        match self {
            Basis::Reads => hasher.u64(0),
            Basis::Rebase => hasher.u64(1),
            Basis::Snapshot(at) => hasher.u64(2).u64(at.0),
            Basis::Nothing => hasher.u64(3),
        }
    }
}
