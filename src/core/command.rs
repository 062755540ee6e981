//! What goes into a group's log and what comes out of applying it.
//!
//! Commands and replies are closed enums. A reply is a pure function of the state and the command:
//! every replica computes the same one, and it enters the group's digest chain.

use crate::{
    body::{Body, Fault, Part},
    chain::Transition,
    checkpoint::Checkpoint,
    conflict::Model,
    course::CourseBatch,
    delta::Rejection,
    expected::Score,
    finding::Unjudged,
    hash::Hash,
    history::Batch,
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    limits::Limits,
    policy::{Policies, PolicyChange},
    receipt::Proof,
    ring::RingSpec,
    sign::{NodeSignature, PublicKey},
};
use alloc::{boxed::Box, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One command in a group's log; an entry carries many.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Validate and lock; for a transaction of one group also commit.
    Vote(Box<Vote>),
    /// Vote No unless there is a vote; never takes back a Yes.
    Force {
        /// The transaction.
        tid: Tid,
        /// The body that the sender means; any, where it knows none.
        body: Option<Hash>,
        /// Its participants as far as the sender knows them.
        participants: Vec<GroupId>,
    },
    /// Apply the outcome.
    Decide {
        /// The transaction.
        tid: Tid,
        /// The body that the sender means; any, where it knows none.
        body: Option<Hash>,
        /// The outcome.
        decision: Decision,
        /// For the home group: the positions of all Yes votes.
        proofs: Vec<Proof>,
    },
    /// Keep transitions of a large transaction until its vote.
    Stage {
        /// The transaction.
        tid: Tid,
        /// Some of its transitions for this group.
        transitions: Vec<Transition>,
    },
    /// Raise the clock, so that a snapshot at this time can be read.
    Advance {
        /// The clock to reach.
        to: Timestamp,
    },
    /// Raise the horizon below which old versions go, and remove some of them.
    Collect {
        /// The horizon to reach; never above the clock.
        horizon: Timestamp,
        /// Most items to remove.
        items_max: u32,
    },
    /// Forget decided transactions minted up to the watermark.
    Forget {
        /// The watermark to reach.
        watermark: Timestamp,
        /// Those of several groups whose decision all participants have applied.
        settled: Vec<Tid>,
    },
    /// Set the group's configuration.
    Configure(Config),
    /// Group 0 only: change what the cluster knows of itself.
    Meta(MetaCommand),
    /// Keep a checkpoint of this group's chain with the replicas' signatures.
    Attest {
        /// What they signed.
        checkpoint: Checkpoint,
        /// Theirs, ascending by node.
        signatures: Vec<NodeSignature>,
    },
    /// Keep what became of some votes, as a leader of this group saw it.
    History(Box<Batch>),
}

impl Command {
    /// The transaction that it is about, if it is about one.
    pub fn tid(&self) -> Option<Tid> {
        match self {
            Command::Vote(vote) => Some(vote.body.tid),
            Command::Force { tid, .. }
            | Command::Decide { tid, .. }
            | Command::Stage { tid, .. } => Some(*tid),
            _ => None,
        }
    }

    /// Whether it may be refused where a node has no room: it begins something, or keeps what can
    /// be missed. All else ends what was begun, or makes room.
    pub fn adds_work(&self) -> bool {
        match self {
            Command::Vote(_)
            | Command::Stage { .. }
            | Command::History(_)
            | Command::Meta(MetaCommand::AppendCourses(_)) => true,
            Command::Force { .. }
            | Command::Decide { .. }
            | Command::Advance { .. }
            | Command::Collect { .. }
            | Command::Forget { .. }
            | Command::Configure(_)
            | Command::Meta(_)
            | Command::Attest { .. } => false,
        }
    }
}

/// A vote's content.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// What all participants share.
    pub body: Body,
    /// What this one is asked.
    pub part: Part,
    /// The proposer's wall clock; order comes from the clock rule, not from this.
    pub hint: Timestamp,
}

/// A group's replicated configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Bounds.
    pub limits: Limits,
    /// The ring in force; without one, ownership is not checked.
    pub ring: Option<RingSpec>,
    /// What collections ask for.
    pub policies: Policies,
}

impl Config {
    /// Without policies.
    pub fn new(limits: Limits, ring: Option<RingSpec>) -> Config {
        Config { limits, ring, policies: Policies::default() }
    }
}

/// Changes to what group 0 keeps.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum MetaCommand {
    /// A node and its addresses; replaces what was known of it.
    PutNode {
        /// The node's id.
        node: u64,
        /// Where clients reach it.
        client_addr: String,
        /// Where its peers reach it.
        peer_addr: String,
        /// What its signatures are verified with.
        public_key: PublicKey,
    },
    /// The next ring; refused unless its epoch is one more than the present one.
    SetRing(RingSpec),
    /// A collection's policy, or a part of it.
    SetPolicy {
        /// The collection.
        collection: String,
        /// What to set.
        change: PolicyChange,
    },
    /// A conflict model that a node learnt: it gets the next version, and the oldest beyond a few
    /// go.
    PublishModel {
        /// Who learnt it.
        node: u64,
        /// From so many outcomes.
        labels: u64,
        /// What it learnt.
        model: Box<Model>,
    },
    /// The version that all nodes use; `None`: the newest, where it does better than their own.
    PinModel(Option<u64>),
    /// Finished streams of a node, for the forecasters of all to learn from: each gets the next
    /// number, and the oldest beyond a bound go.
    AppendCourses(Box<CourseBatch>),
}

/// What applying a command answers.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Where the transaction stands in this group, after this command.
    Standing(Standing),
    /// Not a vote: the body or part is not what it claims to be.
    Fault(Fault),
    /// Applied, or applied before.
    Done,
    /// Not applied: the precondition named does not hold.
    Refused(Refusal),
    /// The bytes are not a command of this release.
    Unreadable,
}

/// Where a transaction stands in one group.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Standing {
    /// No vote yet, and one is still possible.
    None,
    /// Voted Yes, not decided: its locks are held.
    Yes {
        /// The vote's timestamp.
        ts: Timestamp,
        /// The body that it voted on.
        body: Hash,
        /// All participants of that body.
        participants: Vec<GroupId>,
    },
    /// Voted No, not told a decision yet.
    No(Cause),
    /// Decided here.
    Decided(Decision),
    /// Below the watermark: unknown, never No. The home group may still have the outcome.
    Stale(Option<Decision>),
}

/// The outcome of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Decision {
    /// Committed at this time, which is the version of all it wrote.
    Committed {
        /// The largest of the votes' timestamps.
        ts: Timestamp,
    },
    /// Rolled back.
    RolledBack(Cause),
}

impl Decision {
    /// Whether both say the same outcome; two recoverers may name different causes.
    pub fn agrees(&self, other: &Decision) -> bool {
        match (self, other) {
            (Decision::Committed { ts: a }, Decision::Committed { ts: b }) => a == b,
            (Decision::RolledBack(_), Decision::RolledBack(_)) => true,
            _ => false,
        }
    }
}

/// Why a group voted No: where, and what stood in the way.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Cause {
    /// The group that voted No.
    pub group: GroupId,
    /// What stood in the way.
    pub why: Why,
}

/// What stood in the way of a Yes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Why {
    /// A version read is not the current one.
    ReadChanged {
        /// The record.
        key: Key,
        /// The version read.
        read: Timestamp,
        /// The version found.
        found: Timestamp,
    },
    /// A scanned range holds other records or versions than it did.
    RangeChanged {
        /// The range.
        range: KeyRange,
    },
    /// The first committer won: a record to be written has changed since the snapshot.
    WrittenSince {
        /// The record.
        key: Key,
        /// The snapshot.
        at: Timestamp,
        /// The version found.
        found: Timestamp,
    },
    /// What was removed since the snapshot is no longer known.
    SnapshotTooOld {
        /// The snapshot.
        at: Timestamp,
        /// The oldest one that may be written from.
        horizon: Timestamp,
    },
    /// An undecided transaction holds a key.
    Locked {
        /// The record.
        key: Key,
        /// Who holds it.
        by: Tid,
    },
    /// An undecided transaction scanned a range that holds a key to be written.
    RangeLocked {
        /// The record.
        key: Key,
        /// Who scanned.
        by: Tid,
    },
    /// A delta does not apply.
    Rejected {
        /// The record.
        key: Key,
        /// The transition.
        seq: u64,
        /// Why.
        rejection: Rejection,
    },
    /// The group would pass its limit on bytes of records.
    Quota {
        /// By how much the transaction makes it larger, in bytes.
        wanted: u64,
        /// What its records take.
        held: u64,
        /// What undecided transactions were promised.
        promised: u64,
        /// records_bytes_max.
        limit: u64,
    },
    /// The request was committed by another attempt.
    RequestHeld {
        /// That attempt.
        by: Tid,
    },
    /// The request id was used for something else.
    RequestMismatch {
        /// The attempt that used it.
        by: Tid,
    },
    /// The request id is past its time-to-live.
    RequestExpired {
        /// When it was minted.
        mint: Timestamp,
        /// The group's clock.
        clock: Timestamp,
    },
    /// Somebody gave up waiting for the coordinator.
    Forced,
    /// The group voted on another body under this transaction id.
    OtherBody,
    /// A participant can no longer vote, and this one had not been decided.
    Abandoned,
    /// It is not what was forecast of it, and a collection that it writes enforces forecasts.
    Unforeseen {
        /// The collection.
        collection: String,
        /// How far it is from its forecast.
        score: Score,
        /// How far it may be.
        tolerance: Score,
    },
    /// The same, and the collection has such transactions kept aside for people to look at.
    Quarantined {
        /// The collection.
        collection: String,
        /// How far it is from its forecast.
        score: Score,
        /// How far it may be.
        tolerance: Score,
    },
    /// It could not be judged, and a collection that it writes enforces forecasts.
    Unjudged {
        /// The collection.
        collection: String,
        /// What was missing.
        why: Unjudged,
    },
}

/// Why a housekeeping command is not applied.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// This transaction is owed a decision, or another participant may still need this one's.
    Unsettled(Tid),
    /// The ring's epoch does not follow the present one.
    Epoch {
        /// The present epoch.
        present: u64,
    },
    /// The policies are older than those in force.
    Policies {
        /// Their version.
        present: u64,
    },
    /// As many collections as may have a policy of their own have one.
    PoliciesFull {
        /// [`crate::policy::POLICIES_MAX`].
        limit: u64,
    },
    /// Only group 0 takes this.
    NotMeta,
    /// A staged transition's number is above the limit.
    StageFull {
        /// transitions_max.
        limit: u64,
    },
    /// The checkpoint does not follow, or is not of this chain.
    Checkpoint {
        /// The last entry that is attested.
        attested: u64,
    },
    /// There is no model of that version any more, or it is none that could be scored with.
    NoModel,
    /// A batch of the history has more events than one may.
    HistoryEvents {
        /// history_batch_max.
        limit: u64,
    },
    /// A batch of the history has more bytes than one may.
    HistoryBytes {
        /// history_batch_bytes_max.
        limit: u64,
    },
    /// A batch has more finished streams than one may.
    Courses {
        /// [`crate::course::BATCH_MAX`].
        limit: u64,
    },
    /// A finished stream has more bytes than one may.
    CourseBytes {
        /// [`crate::course::COURSE_BYTES_MAX`].
        limit: u64,
    },
    /// A finished stream has no steps, or one that is of no kind.
    NoCourse,
}

/// A group cannot go on: two decisions contradict, or a commit arrived without a Yes vote.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("group {group} halts: {decision:?} for transaction {tid} contradicts {found:?}")]
pub struct Halt {
    /// The group.
    pub group: GroupId,
    /// The transaction.
    pub tid: Tid,
    /// The decision that arrived.
    pub decision: Decision,
    /// What stood there.
    pub found: Standing,
}

/// What an entry's commands came to, in order, and where the chain stands after it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Applied {
    /// The reply.
    pub reply: Reply,
    /// Where the vote stands in the group's chain, for a transaction that voted Yes.
    pub proof: Option<Proof>,
}

/// A point of a group's digest chain.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ChainHead {
    /// The log index of the last entry in it.
    pub index: u64,
    /// The digest after that entry.
    pub digest: Hash,
}
