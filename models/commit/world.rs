//! A state of the model, and what an all-seeing observer has noted on the way to it.
//!
//! The observer's log never influences a step. It holds what no single group or client can know:
//! which operation ended before which began, who voted Yes on which body, and what was ever
//! decided, also after it was forgotten.

use crate::{
    commit::{
        client::{Observed, Sealed},
        plan::GROUPS_MAX,
        serial::Seen,
        site::Site,
    },
    shared::Shared,
};
use std::collections::{BTreeMap, BTreeSet};
use vatic_core::{
    command::{Cause, Command, Decision, Reply, Why},
    coordinator::{Answer, Coordinator},
    draft::Draft,
    id::Timestamp,
    multiread::{MultiRead, ReadEffect},
};

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The groups.
    pub sites: Vec<Shared<Site>>,
    /// The transactions' clients, one a plan.
    pub clients: Vec<Shared<Client>>,
    /// The plans' drivers, then the recoverers.
    pub machines: Vec<Slot>,
    /// Every request that was ever sent: each may be applied late, repeatedly or never.
    pub requests: Shared<BTreeSet<Request>>,
    /// Replies that are late: each may arrive later, repeatedly or never.
    pub replies: Shared<BTreeSet<Delivery>>,
    /// The readers.
    pub readers: Vec<Shared<Reader>>,
    /// What the observer noted.
    pub log: Shared<Log>,
}

impl World {
    /// Whether something happened after which nothing means anything any more.
    pub fn is_broken(&self) -> bool {
        self.sites.iter().any(|site| site.broken.is_some()) || self.has_broken_machine()
    }

    /// Whether an assertion failed in a coordinator.
    pub fn has_broken_machine(&self) -> bool {
        self.machines.iter().filter_map(Slot::machine).any(|machine| machine.broken.is_some())
    }
}

/// A transaction's client and gateway.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Client {
    /// What it has read so far.
    pub seen: Vec<Shared<Observed>>,
    /// Its draft, where that is streamed and not sealed.
    pub open: Option<Shared<Draft>>,
    /// Its sealed body.
    pub sealed: Option<Shared<Sealed>>,
}

/// A place for a coordinator.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Slot {
    /// Not started.
    Idle,
    /// At work.
    Working(Shared<Machine>),
    /// Stopped, with all that it knew. What it sent is still on its way. Where states are reduced,
    /// also one that has decided to roll back.
    Stopped,
}

impl Slot {
    /// The coordinator, if it is at work.
    pub fn machine(&self) -> Option<&Shared<Machine>> {
        match self {
            Slot::Working(machine) => Some(machine),
            Slot::Idle | Slot::Stopped => None,
        }
    }
}

/// A coordinator at work.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Machine {
    /// The core's state machine.
    pub coordinator: Coordinator,
    /// The plan whose body it is about.
    pub plan: usize,
    /// The group on whose leader's node it lives, by place, where that may crash.
    pub host: Option<usize>,
    /// The assertion that failed in it, if one did.
    pub broken: Option<String>,
}

/// A command on its way to a group.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Request {
    /// Which coordinator sent it.
    pub machine: usize,
    /// The plan whose body it is about.
    pub plan: usize,
    /// The group, by place.
    pub group: usize,
    /// The round of the question; none for a decision.
    pub round: Option<u32>,
    /// The command.
    pub command: Shared<Command>,
}

/// A reply on its way to a coordinator.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Delivery {
    /// Which coordinator it is for.
    pub machine: usize,
    /// The group, by place.
    pub group: usize,
    /// The round of the question; none for a decision.
    pub round: Option<u32>,
    /// The reply.
    pub reply: Shared<Reply>,
}

/// A reader outside of transactions.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Reader {
    /// The core's state machine of a strict read.
    pub machine: Option<Shared<MultiRead>>,
    /// What it ever asked: each may be answered late, repeatedly or never.
    pub asked: BTreeSet<Shared<ReadEffect>>,
    /// What a snapshot read has found in each group.
    pub found: BTreeMap<usize, Seen>,
    /// How it ended.
    pub end: Option<ReadEnd>,
}

/// How a read ended.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReadEnd {
    /// With an answer.
    Answered(Seen),
    /// Tries used up, or the snapshot is too old.
    GaveUp,
}

/// What the observer noted.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Log {
    /// For each operation that began: the operations that had ended by then, by bit.
    pub began: Vec<Option<u32>>,
    /// Operations that ended, by bit.
    pub ended: u32,
    /// What was answered for each plan first.
    pub outcomes: Vec<Option<Outcome>>,
    /// Who voted Yes on each plan's body.
    pub voted: Vec<[bool; GROUPS_MAX]>,
    /// What was decided for each plan's body.
    pub decided: Vec<[Option<Verdict>; GROUPS_MAX]>,
    /// Which transactions, by plan, were reported as applied everywhere.
    pub settled: u32,
    /// What must never happen.
    pub faults: BTreeSet<Fault>,
    /// Whether a gateway ended a stream all of whose reads still held.
    pub rash: bool,
    /// Whether a gateway ended a stream for its reads.
    pub stopped: bool,
}

/// What somebody was told of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It committed.
    Committed(Timestamp),
    /// It rolled back.
    RolledBack(Reason),
    /// Its body was refused, and it will not commit.
    Refused,
    /// Nobody knows any more.
    Forgotten,
}

/// Kinds of rollback.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Another transaction was in the way.
    Conflict,
    /// Somebody gave up waiting for the vote.
    Forced,
    /// A participant had forgotten it.
    Abandoned,
    /// Another body has the id.
    OtherBody,
    /// The request was served, or is being served, by another attempt.
    Request,
    /// It strayed from its forecast, and that is enforced.
    Strayed,
    /// It was not judged, and should have been.
    Unjudged,
    /// It was ended before its seal.
    Ended,
}

/// A decision in one group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Verdict {
    /// Committed at this time.
    Committed(Timestamp),
    /// Rolled back.
    RolledBack,
}

/// What must never happen, noted when it does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Fault {
    /// One transaction was answered in two ways.
    AnswersDiffer,
    /// A group decided one transaction in two ways.
    DecisionsDiffer,
    /// A transaction was called settled before every participant had applied its decision.
    SettledEarly,
}

impl Log {
    /// Before anything happened.
    pub fn new(plans: usize, ops: usize) -> Log {
        Log {
            began: vec![None; ops],
            ended: 0,
            outcomes: vec![None; plans],
            voted: vec![[false; GROUPS_MAX]; plans],
            decided: vec![[None; GROUPS_MAX]; plans],
            settled: 0,
            faults: BTreeSet::new(),
            rash: false,
            stopped: false,
        }
    }

    /// An operation begins.
    pub fn begin(&mut self, op: usize) {
        let ended = self.ended;
        self.began[op].get_or_insert(ended);
    }

    /// An operation ends.
    pub fn end(&mut self, op: usize) {
        self.ended |= 1 << op;
    }

    /// Somebody was told of a transaction.
    pub fn answer(&mut self, plan: usize, answer: &Answer) {
        let outcome = Outcome::from(answer);
        // That it is forgotten says nothing about the outcome, so it ends nobody's wait for it.
        if outcome != Outcome::Forgotten {
            self.tell(plan, outcome);
        }
    }

    /// Somebody was told how a transaction came out.
    pub fn tell(&mut self, plan: usize, outcome: Outcome) {
        let first = *self.outcomes[plan].get_or_insert(outcome);
        let commits = |outcome| match outcome {
            Outcome::Committed(ts) => Some(ts),
            _ => None,
        };
        if commits(first) != commits(outcome) {
            self.faults.insert(Fault::AnswersDiffer);
        }
        self.end(plan);
    }

    /// A group decided.
    pub fn decide(&mut self, plan: usize, group: usize, decision: &Decision) {
        let verdict = Verdict::from(decision);
        let first = *self.decided[plan][group].get_or_insert(verdict);
        if first != verdict {
            self.faults.insert(Fault::DecisionsDiffer);
        }
    }
}

impl From<&Answer> for Outcome {
    fn from(answer: &Answer) -> Outcome {
        match answer {
            Answer::Decided(Decision::Committed { ts }) => Outcome::Committed(*ts),
            Answer::Decided(Decision::RolledBack(cause)) => {
                Outcome::RolledBack(Reason::from(cause))
            }
            Answer::Fault(_) => Outcome::Refused,
            Answer::Forgotten => Outcome::Forgotten,
        }
    }
}

impl From<&Cause> for Reason {
    fn from(cause: &Cause) -> Reason {
        match cause.why {
            Why::Forced => Reason::Forced,
            Why::Abandoned => Reason::Abandoned,
            Why::OtherBody => Reason::OtherBody,
            Why::Unforeseen { .. } | Why::Quarantined { .. } => Reason::Strayed,
            Why::Unjudged { .. } => Reason::Unjudged,
            Why::RequestHeld { .. } | Why::RequestMismatch { .. } | Why::RequestExpired { .. } => {
                Reason::Request
            }
            _ => Reason::Conflict,
        }
    }
}

impl From<&Decision> for Verdict {
    fn from(decision: &Decision) -> Verdict {
        match decision {
            Decision::Committed { ts } => Verdict::Committed(*ts),
            Decision::RolledBack(_) => Verdict::RolledBack,
        }
    }
}
