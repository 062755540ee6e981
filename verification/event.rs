//! What can happen in the simulated cluster, and what its nodes say to each other.
//!
//! All that happens is one closed enum on one queue ordered by (time, sequence), so that a run is
//! a function of its seed. Messages hold shared parts by reference count: a repeated message is a
//! second pointer.

use std::rc::Rc;
use vatic_core::{
    aggregate::OutcomeRead,
    body::{Body, KeyRead, Part, RangeRead},
    command::{Applied, Command, Decision},
    coordinator::Answer,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    multiread::{Seen, Wanted},
    read::{Blocked, RangeRecords, Record, SnapshotFault},
    receipt::Receipt,
    request::{Held, RequestId},
};

/// Something that happens at one moment.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A message arrives.
    Deliver(Envelope),
    /// A leader's batch becomes a committed entry.
    Commit { group: usize, term: u64 },
    /// A replica applies some of what is committed.
    Apply { group: usize, replica: usize, life: u32 },
    /// A leader looks after its group.
    Sweep { group: usize },
    /// A group that lost its leader finds another.
    Elect { group: usize, term: u64 },
    /// Something breaks, perhaps.
    Chaos,
    /// A node comes back.
    Restart { node: usize },
    /// A node that has just become a leader falls.
    Fall { node: usize },
    /// Messages pass again.
    Heal { cut: u64 },
    /// A client begins its next operation.
    NextOperation { client: usize },
    /// An operation that has not moved since asks again.
    OperationTimer { operation: u64, step: u32 },
    /// A coordinator asks again.
    CoordinatorRetry { id: u64 },
    /// A coordinator stops waiting for votes.
    CoordinatorGivesUp { id: u64 },
}

impl Event {
    /// A number for the trace.
    pub(crate) fn kind(&self) -> u64 {
        match self {
            Event::Deliver(envelope) => 100 + envelope.message.kind(),
            Event::Commit { .. } => 1,
            Event::Apply { .. } => 2,
            Event::Sweep { .. } => 3,
            Event::Elect { .. } => 4,
            Event::Chaos => 5,
            Event::Restart { .. } => 6,
            Event::Heal { .. } => 7,
            Event::NextOperation { .. } => 8,
            Event::OperationTimer { .. } => 9,
            Event::CoordinatorRetry { .. } => 10,
            Event::CoordinatorGivesUp { .. } => 11,
            Event::Fall { .. } => 12,
        }
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// To a leader: put this into the log.
    Propose { group: usize, proposed: Rc<Proposed>, reply: Token },
    /// To a replica: read this, linearizably or at a snapshot.
    Query { group: usize, query: Rc<Query>, reply: Token },
    /// What a proposal came to.
    Applied { reply: Token, applied: Rc<Applied> },
    /// What a query found.
    Found { reply: Token, found: Rc<Found> },
    /// To the home group's leader: coordinate this transaction.
    Start { operation: Option<u64>, sealed: Rc<Sealed> },
    /// To a group's leader: finish what this undecided vote belongs to.
    Recover { group: usize, tid: Tid },
    /// To a gateway: the outcome.
    Outcome { operation: u64, tid: Tid, answer: Answer, receipt: Option<Rc<Receipt>> },
}

impl Message {
    fn kind(&self) -> u64 {
        match self {
            Message::Propose { .. } => 1,
            Message::Query { .. } => 2,
            Message::Applied { .. } => 3,
            Message::Found { .. } => 4,
            Message::Start { .. } => 5,
            Message::Recover { .. } => 6,
            Message::Outcome { .. } => 7,
        }
    }
}

/// Who an answer is for. Answers to those who are gone are dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Token {
    Nobody,
    Operation { operation: u64, group: GroupId, tag: u32 },
    Standing { coordinator: u64, group: GroupId, round: u32 },
    Decision { coordinator: u64, group: GroupId },
}

/// A command with its bytes, which are made once.
#[derive(Debug)]
pub(crate) struct Proposed {
    pub(crate) command: Command,
    pub(crate) bytes: Vec<u8>,
}

/// A finished stream, as its gateway hands it to a coordinator.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) body: Body,
    pub(crate) digest: Hash,
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug)]
pub(crate) enum Query {
    Peek(Key),
    PeekRange(KeyRange, usize),
    Get(Key),
    Scan(KeyRange, usize),
    Wanted(Wanted),
    Check(Vec<KeyRead>, Vec<RangeRead>, Timestamp),
    At(Wanted, Timestamp),
    Outcome(Tid),
    Request(RequestId),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    Peeked(Record),
    PeekedRange(RangeRecords),
    Got(Result<Record, Blocked>),
    Scanned(Result<RangeRecords, Blocked>),
    Seen(Seen),
    Checked(Result<bool, Tid>),
    At(Result<Seen, SnapshotFault>),
    Outcome(Box<OutcomeRead>),
    Request(Result<Option<Held>, Blocked>),
}

/// What a client learned of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Learned {
    Committed(Timestamp),
    RolledBack,
    Faulted,
}

impl Learned {
    pub(crate) fn of(decision: &Decision) -> Learned {
        match decision {
            Decision::Committed { ts } => Learned::Committed(*ts),
            Decision::RolledBack(_) => Learned::RolledBack,
        }
    }
}
