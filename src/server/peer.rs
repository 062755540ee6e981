//! What one node asks another beside Raft: a closed set, answered by a group's leader or refused
//! with the name of another node. Nothing is ever forwarded a second time.

use crate::{attest::Witness, compare::Heads, divergence::Divergence};
use serde::{Deserialize, Serialize};
use vatic_consensus::RaftId;
use vatic_core::{
    aggregate::OutcomeRead,
    body::{Body, KeyRead, Part, RangeRead},
    checkpoint::{Checkpoint, Endorsement},
    command::{Applied, Cause, Command},
    conflict::{Group, Touch, fixed},
    coordinator::Answer,
    course,
    delta::Delta,
    disturbed::Disturbed,
    history::{Filter, Newer, Row},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    lane::{Turn, Urgency},
    meta::NodeRecord,
    multiread::{Seen, Wanted},
    policy::Policies,
    read::{RangeRecords, Record, SnapshotFault},
    receipt::Receipt,
    request::{Held, RequestId},
    ring::RingSpec,
    shadow::ShadowId,
    shelf::{SharedModel, Shelf},
    tolerance::Tolerance,
};

/// A question to one group's leader, or to a node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // It lives for one call; boxing would cost more.
pub(crate) enum PeerRequest {
    /// Replicate a command.
    Propose { group: GroupId, command: Command, origin: Origin },
    /// Read applied state.
    Read { group: GroupId, read: PeerRead },
    /// Bring a sealed transaction to its decision. To the home group's leader.
    Coordinate { body: Body, parts: Vec<Part>, origin: Origin },
    /// These transactions are applied by all participants. A hint.
    Settled { group: GroupId, tids: Vec<Tid> },
    /// Where the node's own replica's chain stands, and its heads from an index on.
    Heads { group: GroupId, from: u64 },
    /// The digest of the whole state of the node's own replica.
    StateDigest { group: GroupId },
    /// The node's own replica differs from the majority, if it is still of this generation.
    SetAside { group: GroupId, generation: u32, divergence: Divergence },
    /// Sign this, if the node's own replica computes the same. To any replica.
    Witness { checkpoint: Checkpoint },
    /// What the node knows of its own replicas.
    Status { with_state_digest: bool },
    /// What a transaction of these deltas would meet in a group. To its leader.
    Explain { group: GroupId, user: u64, deltas: Vec<(u64, Delta)> },
    /// What the node learnt of conflicts.
    Learnt,
    /// Which versions, read by streams that run, do not stand or may soon not; and how likely
    /// users' running transactions that touch this in the group are to meet a conflict there. To
    /// its leader.
    Foresee { group: GroupId, reads: Vec<KeyRead>, weighed: Vec<(u64, Vec<Touch>)> },
    /// Try a shadow of these deltas out, and stage it if nobody is in its way. To a group's leader.
    Shadow { group: GroupId, id: ShadowId, deltas: Vec<(u64, Delta)> },
    /// A shadow has ended, or is not sent.
    LeaveStage { group: GroupId, id: ShadowId },
}

/// Whose transaction it is, and how urgent. It decides nothing: it tells what to learn from a vote,
/// and which of those that wait goes first.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Origin {
    /// The transaction's own name for itself, under which it claimed records; 0: none.
    pub(crate) token: u64,
    /// The user's id, as the core's `name_id` makes it.
    pub(crate) user: u64,
    /// Against other transactions whose votes wait.
    pub(crate) urgency: Urgency,
}

impl Origin {
    /// Of a transaction that claimed nothing, or under a token.
    pub(crate) fn of(principal: &str, token: u64) -> Origin {
        let (user, urgency) = (fixed::name_id(principal.as_bytes()), Urgency::default());
        Origin { token, user, urgency }
    }

    /// The same under another token.
    pub(crate) fn with_token(self, token: u64) -> Origin {
        Origin { token, ..self }
    }

    /// The same with another urgency.
    pub(crate) fn with_urgency(self, urgency: Urgency) -> Origin {
        Origin { urgency, ..self }
    }
}

/// A read at a group's leader.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PeerRead {
    /// For a read-write transaction, whose vote will catch what is stale.
    Peek(Key),
    /// The same for a range, with the most records to return.
    PeekRange(KeyRange, u64),
    /// How many records the range has, up to so many.
    Count(KeyRange, u64),
    /// Linearizable.
    Get(Key),
    /// Linearizable.
    Scan(KeyRange, u64),
    /// Linearizable: the snapshot that shows a range as it is.
    SnapshotOf(KeyRange),
    /// As of a snapshot.
    GetAt(Key, Timestamp),
    /// As of a snapshot.
    ScanAt(KeyRange, u64, Timestamp),
    /// First pass of a strict read over several groups.
    First(Wanted),
    /// Its second pass.
    Second(Vec<KeyRead>, Vec<RangeRead>, Timestamp),
    /// Who committed a request.
    Request(RequestId),
    /// How a transaction ended, at its home.
    Outcome(Tid),
    /// The signatures over an entry.
    Endorsement(u64),
    /// What group 0 keeps, but for models.
    Meta,
    /// A shared model, by its version.
    Model(u64),
    /// All of them.
    Models,
    /// For a read-write transaction, in its turn; as it is where that does not come in time.
    InTurn(Key, Turn, Urgency),
    /// What it tolerates of scores.
    Tolerance,
    /// Linearizable: the newest so many conflicts of its history.
    Conflicts(Filter, u64),
    /// What its history has behind a place, up to so many.
    History(u64, u64),
    /// As `InTurn` where the leader finds that cheaper, by what it foresees of this user; else as
    /// it is.
    AsAdvised(Key, Turn, Urgency, u64),
    /// At most so many finished streams that group 0 has behind a number, as any replica knows
    /// them; and the last batch of a node.
    Courses { after: u64, most: u64, node: u64 },
}

/// The answer to a [`PeerRequest`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant)] // It lives for one call; boxing would cost more.
pub(crate) enum PeerReply {
    /// The command is applied.
    Applied(Proposed),
    /// What the read found.
    Read(PeerFound),
    /// The transaction is decided.
    Finished(Finished),
    /// Taken note of.
    Noted,
    /// A replica's heads.
    Heads(Heads),
    /// A replica's state at an index.
    StateDigest { replica: RaftId, index: u64, digest: [u8; 32] },
    /// A replica's word on a checkpoint.
    Witness(Witness),
    /// What the node knows of its replicas.
    Status(NodeStatus),
    /// What each record of it would meet, and why its vote would be a No now.
    Outlook(Vec<Outlook>, Option<Cause>),
    /// What the node learnt.
    Learnt(NodeLearnt),
    /// Another replica leads, or nobody.
    NotLeader { leader: Option<u32> },
    /// Time ran out; a command may or may not be applied.
    Late,
    /// The command is larger than an entry may be.
    TooLarge { limit_bytes: u64, command_bytes: u64 },
    /// The log or the disk is full: only decisions go through.
    Full { limit: String, max: u64 },
    /// The node is closing.
    Stopping,
    /// Said by the asker to itself: a message to another node does not hold the question.
    Unsendable { question_bytes: u64 },
    /// Those reads that do not stand, or may not; and of each transaction that it meets a conflict,
    /// if it takes no turn, in parts per million; `None` without a model.
    Foreseen { disturbed: Vec<Disturbed>, odds_ppm: Vec<Option<u32>> },
    /// Whether a shadow is staged.
    Shadow { clean: bool },
}

/// What a node learnt of conflicts in the groups that it led.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeLearnt {
    /// `full`, `hotness` or `none`: which model is in use.
    pub(crate) mode: String,
    pub(crate) labels: u64,
    /// Labels that came while a fit took its time.
    pub(crate) passed_over: u64,
    pub(crate) version: u64,
    pub(crate) promotions: u64,
    pub(crate) reverts: u64,
    pub(crate) switched_off: Vec<Group>,
    pub(crate) factors_active: bool,
    /// Whether it uses the cluster's model.
    pub(crate) shared: bool,
    /// The version of its forecasters.
    pub(crate) forecasters: u64,
}

/// What one record of a transaction would meet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outlook {
    pub(crate) key: Key,
    /// Without a turn; `None` without a model.
    pub(crate) score_ppm: Option<u32>,
    /// The cheaper course.
    pub(crate) in_turn: bool,
    pub(crate) wait_us: u64,
    /// 0: none is known.
    pub(crate) typical_us: u64,
    pub(crate) ahead: u64,
    /// Transactions in flight that write it, or said that they will.
    pub(crate) others: u64,
    /// Who is about to write it.
    pub(crate) holder: Option<Tid>,
    /// What adds to the log-odds, Q16, the largest first.
    pub(crate) reasons: Vec<(Group, i32)>,
    pub(crate) model_version: u64,
}

/// A command that is applied.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Proposed {
    pub(crate) applied: Applied,
    /// Of a Yes: the leader's signature over its entry.
    pub(crate) endorsement: Option<Box<Endorsement>>,
    pub(crate) times: Times,
}

/// What became of a proposal's time at the group's leader.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Times {
    /// In the queue for a log entry.
    pub(crate) queued_us: u32,
    /// From there until that entry was applied: written, on a quorum, applied.
    pub(crate) committed_us: u32,
}

impl From<vatic_consensus::Times> for Times {
    fn from(times: vatic_consensus::Times) -> Times {
        let us = |took: std::time::Duration| u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        Times { queued_us: us(times.queued), committed_us: us(times.committed) }
    }
}

/// What a read found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum PeerFound {
    /// A record, and whether somebody is about to write it.
    Record(Record, bool),
    /// A range, and who is about to write in it.
    Range(RangeRecords, Option<Tid>),
    /// So many.
    Count(u64),
    /// The first pass.
    First(Seen),
    /// The records have more bytes than one answer may.
    TooLarge { actual: u64 },
    /// Whether the first pass still stands, or who is about to write.
    Stands(Result<bool, Tid>),
    /// The snapshot that shows the range as it is.
    SnapshotOf(Timestamp),
    /// The snapshot cannot be served.
    Snapshot(SnapshotFault),
    /// Who committed the request.
    Request(Option<Held>),
    /// How the transaction ended.
    Outcome(Box<OutcomeRead>),
    /// The signatures over the entry, once a majority's are there.
    Endorsement(Option<Box<Endorsement>>),
    /// What group 0 keeps.
    Meta { ring: Option<RingSpec>, nodes: Vec<NodeRecord>, shelf: Shelf, policies: Policies },
    /// A shared model, if it is kept.
    Model(Option<Box<SharedModel>>),
    /// Which there are, ascending by version.
    Models(Shelf, Vec<SharedModel>),
    /// By the scores that the group folded.
    Tolerance(Box<Tolerance>),
    /// Each with its place, the newest first; without features.
    Conflicts(Vec<(u64, Row)>),
    /// Without features.
    History(Newer),
    /// A record, whether somebody is about to write it, and whether it is the asker's turn with it.
    Advised(Record, bool, bool),
    /// Finished streams, and the number of the node's last batch.
    Courses(course::Newer, Option<u64>),
}

/// A finished transaction as its driver saw it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) answer: Answer,
    /// For a commit whose votes the driver saw all.
    pub(crate) receipt: Option<Receipt>,
    /// Why it was rolled back without a No, where a participant's leader refused its vote for want
    /// of room or for its size.
    pub(crate) refused: Option<Box<PeerReply>>,
}

/// One node's account of its replicas.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) node: u32,
    pub(crate) replicas: Vec<ReplicaStatus>,
}

/// One replica.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReplicaStatus {
    pub(crate) group: GroupId,
    pub(crate) generation: u32,
    pub(crate) leader: Option<u32>,
    pub(crate) term: u64,
    pub(crate) last_log_index: u64,
    pub(crate) applied_index: u64,
    pub(crate) chain_index: u64,
    /// `None` where it does not serve: its state may be damaged, or hidden.
    pub(crate) chain_digest: Option<[u8; 32]>,
    pub(crate) state_digest: Option<[u8; 32]>,
    pub(crate) undecided: u64,
    pub(crate) clock: Timestamp,
    pub(crate) records: u64,
    pub(crate) configured: bool,
    /// Set for one that was set aside.
    pub(crate) divergence: Option<Divergence>,
}

impl PeerRequest {
    /// Whether it asks of what a leader has in memory, if only beside its state.
    pub(crate) fn is_of_present(&self) -> bool {
        matches!(
            self,
            PeerRequest::Settled { .. }
                | PeerRequest::Foresee { .. }
                | PeerRequest::Shadow { .. }
                | PeerRequest::LeaveStage { .. }
        )
    }

    /// The group whose leader shall answer, if it takes one.
    pub(crate) fn group(&self) -> Option<GroupId> {
        match self {
            PeerRequest::Propose { group, .. }
            | PeerRequest::Read { group, .. }
            | PeerRequest::Settled { group, .. }
            | PeerRequest::Heads { group, .. }
            | PeerRequest::StateDigest { group }
            | PeerRequest::SetAside { group, .. }
            | PeerRequest::Explain { group, .. }
            | PeerRequest::Foresee { group, .. }
            | PeerRequest::Shadow { group, .. }
            | PeerRequest::LeaveStage { group, .. } => Some(*group),
            PeerRequest::Coordinate { body, .. } => Some(body.tid.home),
            PeerRequest::Witness { checkpoint } => Some(checkpoint.group),
            PeerRequest::Status { .. } | PeerRequest::Learnt => None,
        }
    }
}
