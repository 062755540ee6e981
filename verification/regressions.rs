//! Seeds that once found something, run beside the fixed batches for good.
//!
//! A seed is the same run only as long as nothing moves what it draws. Where the mistake can be
//! made again, as a broken variant, the seed is held to finding that still, by the check that found
//! it: whoever moves what is drawn looks for another seed that does. The others were found before
//! there was a variant; they stay as runs that came near it.
//!
//! What the fixed batches run anyway is among them for its broken variant alone. Some of those
//! seeds found something once, and have moved since: at level 1 seed 152, that the oracle took what
//! a second body alone writes for something that must hold; at level 2 seed 1, a follower that
//! answered for a snapshot that it had no need of before its fsync, seed 5, a leader that tried
//! again without a pause where a peer refused at once, and seed 18, a leader that lost its disk and
//! came back as the one it was, since those who had answered it had not noted that it was there.

use crate::{
    hunt::Broken,
    sabotage::{Level, Options},
    seeded::Seeded,
    violation::Check,
};
use vatic_core::rules::Mutant;

/// A seed, and what it found.
#[derive(Clone, Copy, Debug)]
pub struct Regression {
    /// The level that it is of.
    pub level: Level,
    /// The seed.
    pub seed: u64,
    /// What was wrong.
    pub found: &'static str,
    /// The same mistake, made on purpose, and the check that it fails.
    pub broken: Option<(Broken, Check)>,
}

/// All of them.
pub const REGRESSIONS: [Regression; 5] = [
    assumed(11_677, "a proof was kept of a vote that its own entry undid"),
    Regression {
        broken: Some((Broken::Core(Mutant::SecondPassTrustsAbsence), Check::StrictSerializability)),
        ..assumed(48, "a strict read took what came and went between its passes for absent")
    },
    Regression {
        broken: Some((
            Broken::Below(Seeded::Log(vatic_log::Bug::VoteAnsweredFirst)),
            Check::Elections,
        )),
        ..deployed(2, "a vote was answered before it was written: two led, and entries differed")
    },
    Regression {
        broken: Some((
            Broken::Below(Seeded::Consensus(vatic_consensus::Bug::AnsweredUnmet)),
            // Raft's own assertions, which a release build does without: there replicas differ.
            Check::NoHalt,
        )),
        ..deployed(44, "a leader that lost its disk was known to nobody, and took part as if new")
    },
    deployed(152, "proofs of a commit were gone before its home group was told of it"),
];

const fn assumed(seed: u64, found: &'static str) -> Regression {
    Regression { level: Level::Assumed, seed, found, broken: None }
}

const fn deployed(seed: u64, found: &'static str) -> Regression {
    Regression { level: Level::Deployed, seed, found, broken: None }
}

impl Regression {
    /// Options of a clean run of it.
    pub fn options(&self) -> Options {
        Options::of(self.level)
    }
}
