//! Bugs of this crate that can be planted, to see that they are found.
//!
//! Each breaks a promise that the rest of the node leans on, in one line. Without the feature
//! `mutants`, which nothing but the simulation's own build of these sources has, none can be
//! planted, and asking for one costs nothing.

/// One thing that is done wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub))]
pub enum Bug {
    /// A batch is answered without having been synced.
    AckBeforeSync,
    /// A frame whose payload fails its checksum is taken.
    TornPayloadAccepted,
    /// Recovery forgets the vote.
    VoteLostAtRestart,
    /// A vote is answered before it is written.
    VoteAnsweredFirst,
    /// What is said to be committed is written ahead of the entries that it speaks of.
    CommittedAhead,
    /// A vote is answered, and written a batch after the entries that were queued behind it.
    VoteBehindEntries,
    /// Damage before the last batch is taken for the torn end of the log.
    DamageTakenForTear,
}

#[cfg(feature = "mutants")]
thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug for what this thread runs, or takes it away.
#[cfg(feature = "mutants")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

#[cfg(feature = "mutants")]
pub(crate) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

#[cfg(not(feature = "mutants"))]
pub(crate) const fn planted(_: Bug) -> bool {
    false
}
