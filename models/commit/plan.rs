//! A scenario: who does what in a small world, and which bounds close it.
//!
//! Everything that bounds a state space stands here as data: the transactions, the readers, how
//! many recoverers may start, which groups may be told to forget, advance or collect.

use crate::commit::{
    serial::{KeyId, Write},
    witness::Witness,
};
use vatic_core::strategy::Strategy;

/// The most groups that a scenario has; by place, their ids are one more.
pub const GROUPS_MAX: usize = 3;

/// One small world.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Its records; the place in this list is the [`KeyId`].
    pub keys: Vec<Place>,
    /// Its read-write transactions.
    pub plans: Vec<Plan>,
    /// Its readers.
    pub readers: Vec<ReaderPlan>,
    /// One recoverer each, for the transaction of the plan named.
    pub recoverers: Vec<usize>,
    /// Whether recoverers take whatever transaction they meet instead.
    pub recovers_any: bool,
    /// Whether drivers may give up waiting for votes.
    pub gives_up: bool,
    /// Coordinators that may stop at any time, by machine: drivers by plan, then recoverers.
    pub stops: Vec<usize>,
    /// Groups whose leader may crash, as often as it likes: coordinators that live there are gone
    /// with all that they knew, and the group is opened anew on what is durable.
    pub crashes: Vec<usize>,
    /// How many replies to coordinators may be late and repeated. Where it is 0, every reply
    /// arrives with the step that made it; otherwise any number may be lost, too. Requests may be
    /// late, repeated and lost in every scenario.
    pub late_replies_max: usize,
    /// Groups that may be told to forget, each with the plan whose mint time is the watermark.
    pub forgets: Vec<(usize, usize)>,
    /// Groups that may be told to advance, each with the clock to reach.
    pub advances: Vec<(usize, u64)>,
    /// Groups that may be told to collect, each with the horizon to reach.
    pub collects: Vec<(usize, u64)>,
    /// Groups that are told to enforce forecasts, in every collection.
    pub enforces: Vec<usize>,
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
    /// Whether states are merged that nothing can tell apart, so that more closes. Counterexamples
    /// are harder to follow then, so it is for scenarios that would not close otherwise.
    pub reduced: bool,
    /// Whether it is too large for every test run.
    pub by_command: bool,
}

/// Where a record lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The group, by place.
    pub group: usize,
    /// Its collection; records of one collection and group lie in one partition.
    pub collection: &'static str,
    /// Orders it inside the partition.
    pub sort: &'static str,
}

/// A transaction that is voted on.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Mint time and nonce; two plans with one identity are two bodies under one id.
    pub identity: u64,
    /// What it reads before it is sealed, in this order.
    pub reads: Vec<Item>,
    /// What it writes.
    pub writes: Vec<(KeyId, Write)>,
    /// The hint of the vote's proposer in each group; 0 where none is named.
    pub hints: Vec<u64>,
    /// The request that it serves, and the record that stands for it in the oracle.
    pub claim: Option<KeyId>,
    /// Whether its transitions are staged before it is sealed.
    pub staged: bool,
    /// Whether its vote may reach a group before what was staged there.
    pub hasty: bool,
    /// Whether it is streamed: what it stages is on its way before its seal, and until then its
    /// client may abort it, and its gateway may end it for what is found of its reads.
    pub streamed: bool,
    /// The plan that it is another attempt of: it begins when that one was rolled back.
    pub retries: Option<usize>,
    /// Whether it begins as soon as the plan that it retries is sealed, too: its client has left
    /// that one to itself.
    pub impatient: bool,
    /// How it ended, against its forecast; `None`: nobody meant to judge it.
    pub judged: Option<Judged>,
    /// What it does about conflicts.
    pub strategy: Strategy,
}

impl Plan {
    /// Whether what it read of a record shall hold at its commit.
    pub fn shall_hold(&self, key: KeyId) -> bool {
        let writes = self.writes.iter().filter(|(written, _)| *written == key);
        let mut writes = writes.map(|(_, write)| write).peekable();
        let moved = writes.peek().is_some() && writes.all(|write| matches!(write, Write::Add(_)));
        match self.strategy {
            Strategy::Optimistic | Strategy::Lock | Strategy::Adaptive => true,
            Strategy::Rebase => !moved,
            Strategy::Snapshot | Strategy::LastWriterWins => self.claim == Some(key),
        }
    }
}

/// How a transaction ended, against its forecast.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// As was foreseen.
    Foreseen,
    /// Otherwise.
    Strange,
    /// Otherwise, and its gateway says that it did not.
    PassedOff,
    /// Otherwise, and its gateway chose what it is voted on under, as where that is asked for.
    Resolved,
    /// Nobody knows: what it was to be judged by was not there in time.
    Unjudged,
    /// Nobody can know: too few like it were ever seen.
    Unknown,
}

impl Judged {
    /// Whether it commits nowhere where forecasts are enforced.
    pub fn is_refused(self) -> bool {
        match self {
            Judged::Strange | Judged::PassedOff | Judged::Resolved | Judged::Unjudged => true,
            Judged::Foreseen | Judged::Unknown => false,
        }
    }
}

/// One read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Item {
    /// A record.
    Key(KeyId),
    /// The range of a whole partition, which holds these records.
    Range(Vec<KeyId>),
}

impl Item {
    /// The records that it shows, present or absent.
    pub fn keys(&self) -> Vec<KeyId> {
        match self {
            Item::Key(key) => vec![*key],
            Item::Range(keys) => keys.clone(),
        }
    }
}

/// A reader outside of transactions.
#[derive(Clone, Debug)]
pub struct ReaderPlan {
    /// How it reads.
    pub kind: ReaderKind,
    /// What it reads.
    pub items: Vec<Item>,
}

impl ReaderPlan {
    /// Whether it reads as of a time.
    pub fn is_snapshot(&self) -> bool {
        matches!(self.kind, ReaderKind::Snapshot { .. })
    }
}

/// The ways to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReaderKind {
    /// Linearizable, in one group.
    Get,
    /// Strict over several groups, with this many tries.
    Strict {
        /// Tries before it gives up.
        attempts_max: u32,
    },
    /// As of a time.
    Snapshot {
        /// The time.
        at: u64,
    },
}

impl Scenario {
    /// How many groups there are.
    pub fn groups(&self) -> usize {
        let places = self.keys.iter().map(|place| place.group);
        places.max().map_or(0, |last| last + 1)
    }

    /// What makes it finite, in a line.
    pub fn bounds(&self) -> String {
        let count = |many: usize, what: &str| match many {
            0 => None,
            1 => Some(format!("1 {what}")),
            _ => Some(format!("{many} {what}s")),
        };
        let streamed = self.plans.iter().filter(|plan| plan.streamed).count();
        let any = |those: &[usize], what: &str| (!those.is_empty()).then(|| what.to_owned());
        let parts = [
            count(self.groups(), "group"),
            count(self.keys.len(), "record"),
            count(self.plans.len(), "transaction"),
            (streamed > 0).then(|| "streams may end before their seal".into()),
            count(self.readers.len(), "reader"),
            count(self.recoverers.len(), "recoverer"),
            any(&self.stops, &format!("{} of the coordinators may stop", self.stops.len())),
            any(&self.crashes, "any number of leader crashes"),
            count(self.enforces.len(), "enforcing group"),
            self.gives_up.then(|| "drivers may give up".into()),
            count(self.forgets.len(), "forgetting group"),
            count(self.late_replies_max, "late reply at a time, any lost or repeated"),
            Some("requests late, lost, repeated and reordered without bound".into()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// How many operations its histories have: transactions, then readers.
    pub fn ops(&self) -> usize {
        self.plans.len() + self.readers.len()
    }

    /// The operation that a reader is.
    pub fn op_of_reader(&self, reader: usize) -> usize {
        self.plans.len() + reader
    }
}
