//! The types that openraft runs on, and the names it goes by in this crate.
//!
//! Why a Raft id is not a node id: Raft must never meet an id again that lost its log. A replica
//! that is removed and added again gets the next generation, and so a new Raft id.
//!
//! Invariant: a log id is (term, index) — the standard mode with one leader a term — so that what
//! the log stores beside its payload is the whole log id.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::batch::{Commands, Replies};
use crate::state_machine::StateMachine;

/// One replica of a group, for Raft: the node that holds it and its generation there.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RaftId(u64);

impl RaftId {
    pub fn new(node: u32, generation: u32) -> Self {
        Self(u64::from(node) << 32 | u64::from(generation))
    }

    pub fn node(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub fn generation(self) -> u32 {
        self.0 as u32
    }

    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl From<u64> for RaftId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for RaftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node(), self.generation())
    }
}

/// What the membership says about a replica beside its id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// Where its node listens for peers, `host:port`.
    pub(crate) address: String,
}

openraft::declare_raft_types!(
    /// The one instantiation of openraft.
    pub(crate) Types:
        D = Commands,
        R = Replies,
        NodeId = RaftId,
        Node = Place,
        Term = u64,
        // By the name of its own crate, which a simulation puts another runtime behind.
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
        LeaderId = openraft::impls::leader_id_std::LeaderId<Self::Term, Self::NodeId>,
);

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;
pub(crate) type Entry = openraft::alias::EntryOf<Types>;
pub(crate) type Payload = openraft::alias::PayloadOf<Types>;
pub(crate) type LogId = openraft::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::alias::VoteOf<Types>;
pub(crate) type Membership = openraft::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<Types>;
pub(crate) type Members = openraft::Membership<RaftId, Place>;
pub(crate) type Metrics = openraft::RaftMetrics<Types>;

/// The log id of an entry that a leader of `term` wrote at `index`.
pub(crate) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(term.into(), index)
}
