//! What a group says of itself: who leads, how far it has come, who its members are.
//!
//! Why beside openraft's metrics: callers act on these, and must not know what Raft runs below.

use openraft::async_runtime::WatchReceiver;
use openraft::errors::ForwardToLeader;

use crate::types::{Metrics, Place, RaftId, Types};

/// Where to send a request instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderHint {
    pub id: RaftId,
    /// The node's address for peers, as the membership has it.
    pub address: String,
}

/// Who leads, as this replica knows. A term has at most one leader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<RaftId>,
    /// Whether that leader is this replica.
    pub local: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub id: RaftId,
    pub address: String,
    pub voter: bool,
    /// How far its log matches; only the leader knows.
    pub matched: Option<u64>,
}

/// One moment of one replica. Indexes are of log entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub group: u32,
    pub id: RaftId,
    pub leadership: Leadership,
    pub last: Option<u64>,
    pub committed: Option<u64>,
    pub applied: Option<u64>,
    /// Applied, and durable in the store: the log may be purged up to here.
    pub flushed: Option<u64>,
    pub purged: Option<u64>,
    pub members: Vec<MemberStatus>,
    /// A membership change is under way.
    pub changing_members: bool,
}

pub(crate) fn leadership(metrics: &Metrics) -> Leadership {
    let leader = metrics.current_leader;
    Leadership { term: metrics.current_term, leader, local: leader == Some(metrics.id) }
}

pub(crate) fn hint(metrics: &Metrics) -> Option<LeaderHint> {
    let id = metrics.current_leader.filter(|leader| *leader != metrics.id)?;
    let Place { address } = metrics.membership_config.get_node(&id)?.clone();
    Some(LeaderHint { id, address })
}

pub(crate) fn forwarded(forward: ForwardToLeader<Types>) -> Option<LeaderHint> {
    let (id, place) = forward.leader_id.zip(forward.leader_node)?;
    Some(LeaderHint { id, address: place.address })
}

pub(crate) fn status(group: u32, metrics: &Metrics, flushed: Option<u64>) -> Status {
    let membership = &metrics.membership_config;
    let voters: Vec<RaftId> = membership.voter_ids().collect();
    let matched = |id: &RaftId| {
        let followers = metrics.replication.as_ref()?;
        followers.get(id)?.as_ref().map(|log_id| log_id.index)
    };
    let members = membership
        .nodes()
        .map(|(id, place)| MemberStatus {
            id: *id,
            address: place.address.clone(),
            voter: voters.contains(id),
            matched: matched(id),
        })
        .collect();
    Status {
        group,
        id: metrics.id,
        leadership: leadership(metrics),
        last: metrics.last_log_index,
        committed: metrics.local_committed.map(|log_id| log_id.index),
        applied: metrics.last_applied.map(|log_id| log_id.index),
        flushed,
        purged: metrics.purged.map(|log_id| log_id.index),
        members,
        changing_members: metrics.membership_config != metrics.committed_membership_config,
    }
}

/// The newest metrics. openraft waits for whoever holds its own copy, so this clones.
pub(crate) fn newest(raft: &crate::types::Raft) -> Metrics {
    raft.metrics().borrow_watched().clone()
}
