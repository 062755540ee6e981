//! A scenario: who does what in a small world, and which bounds close it.
//!
//! Everything that bounds a state space stands here as data: the transactions, the readers, how
//! many recoverers may start, which groups may be told to forget, advance or collect.

use crate::commit::{
    serial::{KeyId, Write},
    witness::Witness,
};

/// The groups of every scenario, by place; their ids are one more.
pub const GROUPS: usize = 2;

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
    /// Whether drivers may give up waiting for votes.
    pub gives_up: bool,
    /// Coordinators that may stop at any time, by machine: drivers by plan, then recoverers.
    pub stops: Vec<usize>,
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
    /// What must be found reachable.
    pub witnesses: Vec<Witness>,
    /// How many states there are.
    pub unique_states: usize,
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
    /// The hint of the vote's proposer in each group.
    pub hints: [u64; GROUPS],
    /// The request that it serves, and the record that stands for it in the oracle.
    pub claim: Option<KeyId>,
    /// Whether its transitions are staged before it is sealed.
    pub staged: bool,
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
    /// How many operations its histories have: transactions, then readers.
    pub fn ops(&self) -> usize {
        self.plans.len() + self.readers.len()
    }

    /// The operation that a reader is.
    pub fn op_of_reader(&self, reader: usize) -> usize {
        self.plans.len() + reader
    }
}
