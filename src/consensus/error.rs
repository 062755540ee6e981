//! What can be wrong, in words that a caller can act on.
//!
//! Why `Unknown` stands apart from `NotLeader`: a proposal that was refused may be sent again as it
//! is; one whose fate is unknown may have been committed, and only its own identity (a transaction
//! id, a request id) makes a repeat safe.

use std::time::Duration;

use crate::status::LeaderHint;
use crate::types::RaftId;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// The command was not and will not be in the log. Without a hint an election is under way, or
    /// this leader has lost touch with its peers: try again after a while.
    #[error("this replica does not lead its group{}", hint_text(.hint))]
    NotLeader { hint: Option<LeaderHint> },
    #[error("the command has {command_bytes} bytes, {limit} is {limit_bytes}")]
    TooLarge { limit: &'static str, limit_bytes: usize, command_bytes: usize },
    /// Leadership was lost while the command was in flight: it may be committed, or never.
    #[error("leadership changed while the command was in flight: its outcome is not known")]
    Unknown,
    #[error("the group is shutting down")]
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this replica does not lead its group{}", hint_text(.hint))]
    NotLeader { hint: Option<LeaderHint> },
    #[error("no quorum confirmed the leadership within {deadline:?}")]
    NoQuorum { deadline: Duration },
    #[error("the group is shutting down")]
    Stopped,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("this replica does not lead its group{}", hint_text(.hint))]
    NotLeader { hint: Option<LeaderHint> },
    #[error("node {node} has no voter in this group")]
    NotVoter { node: u32 },
    /// It does not answer, is in quarantine, or its disk is full. The leadership has stayed.
    #[error("the replica on node {node} cannot lead now")]
    Unfit { node: u32 },
    /// The leadership has stayed, on a full disk.
    #[error("of the other voters {roomy} have room on their disks, {needed} must")]
    NoRoom { roomy: usize, needed: usize },
    #[error("node {node} did not take the leadership within {deadline:?}")]
    Deadline { node: u32, deadline: Duration },
    #[error("the group is shutting down")]
    Stopped,
}

/// Why a replica was not replaced. Each step is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("this replica does not lead its group{}", hint_text(.hint))]
    NotLeader { hint: Option<LeaderHint> },
    #[error("the membership has a later replica of that node already: {later}")]
    Gone { later: RaftId },
    #[error("the membership cannot be changed: {reason}")]
    Refused { reason: String },
    #[error("the replica was not replaced within {deadline:?}; it can be asked for again")]
    Deadline { deadline: Duration },
    #[error("the group is shutting down")]
    Stopped,
}

#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("group {group} is not open here")]
    NotOpen { group: u32 },
    /// It serves nobody, and goes on voting: without it the group could not go on.
    #[error("only {answering} of the other voters of group {group} answer, {needed} must")]
    QuorumAtRisk { group: u32, answering: usize, needed: usize },
    #[error(transparent)]
    Rejoin(#[from] CreateError),
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("a limit is out of bounds: {0}")]
    Limits(String),
    #[error("the peer listener: {0}")]
    Listener(std::io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("node {node}, generation {generation}, is not among the members of group {group}")]
    NotMember { group: u32, node: u32, generation: u32 },
    #[error("the members of group {group} name a node twice")]
    MemberTwice { group: u32 },
    #[error("group {group} is open already")]
    Open { group: u32 },
    #[error("generation {generation} of group {group} is not new: this node had {held}")]
    NotNewer { group: u32, generation: u32, held: u32 },
    #[error("the node is shutting down")]
    Stopped,
    #[error("group {group} could not be opened: {reason}")]
    Failed { group: u32, reason: String },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownError {
    /// The groups are closed all the same; their followers must elect.
    #[error("the leadership of groups {groups:?} was not handed over within {deadline:?}")]
    NotHandedOver { groups: Vec<u32>, deadline: Duration },
}

fn hint_text(hint: &Option<LeaderHint>) -> String {
    hint.as_ref().map_or_else(String::new, |leader| {
        format!(" (its leader is replica {} at {})", leader.id, leader.address)
    })
}
