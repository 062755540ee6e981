//! Ways to break the simulated shell or its observers on purpose, so that each check can be seen
//! to fail. The core's own rules are broken by its mutants; these break what is around it.

use crate::{limits, misfortune::Family, seeded::Seeded};
use std::collections::BTreeSet;
use vatic_core::rules::Rules;

/// How a run is to differ from a plain one.
#[derive(Clone, Debug)]
pub struct Options {
    /// The protocol rules in force.
    pub rules: Rules,
    /// What is broken around the core.
    pub sabotage: Option<Sabotage>,
    /// How long load and faults go on, in virtual microseconds.
    pub load_us: u64,
    /// What the world stands on.
    pub level: Level,
    /// What may go wrong at all.
    pub families: BTreeSet<Family>,
    /// What is broken below the core; it matters at level 2 alone.
    pub seeded: Option<Seeded>,
}

/// What carries the groups' entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// A log that keeps what consensus promises.
    Assumed,
    /// openraft, our log and our store, on simulated nodes.
    Deployed,
}

impl Level {
    /// Its number on the command line.
    pub fn number(self) -> u32 {
        match self {
            Level::Assumed => 1,
            Level::Deployed => 2,
        }
    }

    /// From how many seeds on a batch must have met and reached everything.
    pub fn batch_seeds_min(self) -> u64 {
        match self {
            Level::Assumed => limits::BATCH_SEEDS_MIN,
            Level::Deployed => limits::BATCH_SEEDS_DEPLOYED_MIN,
        }
    }

    /// How many of the cluster's microseconds one of the world's is.
    pub(crate) fn slowness(self) -> u64 {
        match self {
            Level::Assumed => 1,
            Level::Deployed => crate::deployment::SLOWNESS,
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Options::of(Level::Assumed)
    }
}

impl Options {
    /// A clean run at this level.
    pub fn of(level: Level) -> Options {
        let load_us = match level {
            Level::Assumed => limits::LOAD_US,
            Level::Deployed => limits::LOAD_DEPLOYED_US,
        };
        Options {
            rules: Rules::default(),
            sabotage: None,
            load_us,
            level,
            families: BTreeSet::from(Family::ALL),
            seeded: None,
        }
    }
}

/// One broken thing around the core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Sabotage {
    /// A replica leaves a command out of an entry.
    SkippedCommand,
    /// A replica loses a Yes vote when it restarts.
    LostVote,
    /// A coordinator answers "committed" at the first Yes.
    EarlyAnswer,
    /// A gateway alters the seal in a receipt.
    AlteredReceipt,
    /// A gateway hands out a receipt whose proof leads elsewhere.
    MisplacedReceipt,
    /// A client whose request is in doubt tries again without the request id.
    RetryWithoutId,
    /// A transfer loses a coin on its way.
    LeakyTransfer,
    /// A gateway digests what it has altered, so that no participant can notice.
    RechainedTampering,
    /// Nobody recovers what a dead coordinator left behind.
    NoRecovery,
    /// A follower answers a linearizable read without asking for the read index.
    StaleRead,
    /// All replicas of a group lose the same record.
    ErasedRecord,
    /// All replicas of a group keep a proof that belongs to nothing.
    LeftProof,
    /// A replica gives the path of another entry to a checkpoint.
    MisplacedEndorsement,
    /// A snapshot read asks each group for another moment.
    TornSnapshot,
    /// A group commits only what all of its replicas can be sent.
    AllMustAgree,
    /// What happens depends on the process in which it does: only its twins can tell.
    OfItsProcess,
}

impl Sabotage {
    /// Every one, for tables and tests.
    pub const ALL: [Sabotage; 15] = [
        Sabotage::SkippedCommand,
        Sabotage::LostVote,
        Sabotage::EarlyAnswer,
        Sabotage::AlteredReceipt,
        Sabotage::MisplacedReceipt,
        Sabotage::RetryWithoutId,
        Sabotage::LeakyTransfer,
        Sabotage::RechainedTampering,
        Sabotage::NoRecovery,
        Sabotage::StaleRead,
        Sabotage::ErasedRecord,
        Sabotage::LeftProof,
        Sabotage::MisplacedEndorsement,
        Sabotage::TornSnapshot,
        Sabotage::AllMustAgree,
    ];
}
