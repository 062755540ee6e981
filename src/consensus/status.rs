//! What a group says of itself: who leads, how far it has come, who its members are.
//!
//! Why beside openraft's metrics: callers act on these, and must not know what Raft runs below.

use openraft::async_runtime::WatchReceiver;
use openraft::errors::ForwardToLeader;
use openraft::metrics::RaftServerMetrics;

use crate::change::{Step, next_step};
use crate::seat::Seat;
use crate::standing::Standing;
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

/// A replacement of a replica under way, as the membership tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacing {
    pub incoming: RaftId,
    pub stage: ReplacingStage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplacingStage {
    /// A learner; see its `matched` beside the leader's `last`.
    CatchingUp,
    /// The voters change: both the old and the new set must agree.
    Joint,
    /// It votes; its predecessors are still listed.
    Removing,
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
    pub standing: Standing,
    /// The replicas that are to take the place of earlier ones of their nodes.
    pub replacing: Vec<Replacing>,
    /// A membership change is under way.
    pub changing_members: bool,
}

/// openraft publishes these before the full metrics, so all that says who leads comes from here.
pub(crate) type ServerMetrics = RaftServerMetrics<Types>;

/// A replica that does not serve leads for nobody.
pub(crate) fn leadership(server: &ServerMetrics, serves: bool) -> Leadership {
    let own = Some(server.id);
    let leader = server.current_leader.filter(|_| serves || server.current_leader != own);
    Leadership { term: server.vote.leader_id.term, leader, local: leader == own }
}

pub(crate) fn hint(server: &ServerMetrics) -> Option<LeaderHint> {
    let id = server.current_leader.filter(|leader| *leader != server.id)?;
    let Place { address } = server.membership_config.get_node(&id)?.clone();
    Some(LeaderHint { id, address })
}

pub(crate) fn forwarded(forward: ForwardToLeader<Types>) -> Option<LeaderHint> {
    let (id, place) = forward.leader_id.zip(forward.leader_node)?;
    Some(LeaderHint { id, address: place.address })
}

pub(crate) fn status(group: u32, seat: &Seat, standing: Standing) -> Status {
    let raft = &seat.raft;
    let flushed = seat.replica.flushed().map(|mark| mark.index);
    // Cloned at once: openraft waits for whoever holds its own copy.
    let server = raft.server_metrics().borrow_watched().clone();
    let metrics = raft.metrics().borrow_watched().clone();
    Status {
        group,
        id: metrics.id,
        leadership: leadership(&server, seat.serves()),
        last: metrics.last_log_index,
        committed: metrics.local_committed.map(|log_id| log_id.index),
        applied: metrics.last_applied.map(|log_id| log_id.index),
        flushed,
        purged: metrics.purged.map(|log_id| log_id.index),
        replacing: replacing(&metrics),
        members: members(&metrics),
        standing,
        changing_members: metrics.membership_config != metrics.committed_membership_config,
    }
}

fn members(metrics: &Metrics) -> Vec<MemberStatus> {
    let membership = &metrics.membership_config;
    let voters: Vec<RaftId> = membership.voter_ids().collect();
    let matched = |id: &RaftId| {
        let followers = metrics.replication.as_ref()?;
        followers.get(id)?.as_ref().map(|log_id| log_id.index)
    };
    let member = |(id, place): (&RaftId, &Place)| MemberStatus {
        id: *id,
        address: place.address.clone(),
        voter: voters.contains(id),
        matched: matched(id),
    };
    membership.nodes().map(member).collect()
}

fn replacing(metrics: &Metrics) -> Vec<Replacing> {
    let members = metrics.membership_config.membership();
    let configs = members.get_joint_config();
    let comes = |id: &RaftId| !configs.first().is_some_and(|voters| voters.contains(id));
    let stage = |incoming: RaftId| match next_step(members, incoming) {
        Step::Swap(_) => Some(ReplacingStage::CatchingUp),
        Step::Flatten(voters) if comes(&incoming) && voters.contains(&incoming) => {
            Some(ReplacingStage::Joint)
        }
        Step::Drop(_) => Some(ReplacingStage::Removing),
        _ => None,
    };
    let ids = members.nodes().map(|(id, _)| *id);
    ids.filter_map(|incoming| Some(Replacing { incoming, stage: stage(incoming)? })).collect()
}
