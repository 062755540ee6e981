//! Seeds that once found something, run beside the fixed batches for good.
//!
//! A seed is the same run only as long as nothing moves what it draws. Where the mistake can be
//! made again, as a broken variant, the seed is held to finding that still: whoever moves what is
//! drawn looks for another seed that does. The others were found before there was a variant; they
//! stay as runs that came near it.

use crate::{
    hunt::Broken,
    sabotage::{Level, Options},
    seeded::Seeded,
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
    /// The same mistake, made on purpose.
    pub broken: Option<Broken>,
}

/// All of them.
pub const REGRESSIONS: [Regression; 6] = [
    assumed(152, "the oracle took what a second body alone writes for something that must hold"),
    assumed(11_677, "a proof was kept of a vote that its own entry undid"),
    Regression {
        broken: Some(Broken::Core(Mutant::SecondPassTrustsAbsence)),
        ..assumed(1131, "a strict read took what came and went between its passes for absent")
    },
    deployed(1, "a follower answered for a snapshot that it had no need of before its fsync"),
    deployed(5, "a leader whose peer refused at once tried again without a pause"),
    Regression {
        broken: Some(Broken::Below(Seeded::Log(vatic_log::Bug::VoteAnsweredFirst))),
        ..deployed(51, "a vote was answered before it was written: a term had two leaders")
    },
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
