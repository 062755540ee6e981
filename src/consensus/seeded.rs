//! Bugs of this crate that can be planted, to see that they are found.
//!
//! Each breaks a rule of Raft that only crashes and leader changes show, in one line. Without the
//! feature `mutants`, which nothing but the simulation's own build of these sources has, none can
//! be planted, and asking for one costs nothing.

/// One thing that is done wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[cfg_attr(not(feature = "mutants"), allow(unreachable_pub))]
pub enum Bug {
    /// openraft goes on before its vote is on disk.
    VoteNotDurable,
    /// openraft counts entries before they are on disk.
    AppendNotDurable,
    /// A read index is given out without asking anybody.
    ReadUnconfirmed,
    /// The log is purged one entry further than it was said to be.
    PurgedTooFar,
    /// A restart does not look for its vote.
    VoteNotRead,
    /// A follower that does not answer in time counts as one that has the entries.
    SilenceCounted,
    /// A replica that lost its disk takes part at once, as the one that it was.
    LostDiskAsksNobody,
    /// Candidates and leaders are answered, and nobody notes who they are.
    AnsweredUnmet,
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
