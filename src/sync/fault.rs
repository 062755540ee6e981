//! Broken variants of single lines, for loom to catch.
//!
//! They exist under `vatic_loom` alone. Elsewhere [`broken`] is a constant `false`, and nothing of
//! a fault is left in the code.

/// Which line is broken.
// Exported under `vatic_loom`, for its models.
#[cfg_attr(not(vatic_loom), allow(unreachable_pub))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The worker is woken first and given its work afterwards.
    WakeBeforeTheWork,
    /// The worker sleeps on what it saw before it took the lock.
    SleepOnAnOldLook,
    /// The end is noted, and nobody is woken for it.
    CloseInSilence,
    /// Who edits does not wait for who edits already.
    EditOutOfTurn,
    /// What was replaced is dropped while readers wait for the lock.
    DropUnderTheLock,
    /// Bytes are added to what was read a while ago.
    AddByLoadAndStore,
    /// Who waits for room may be between its look and its sleep.
    WakeWithoutTheGate,
    /// Two may find that nobody has asked for a flush.
    KickByLoadAndStore,
    /// Who has looked at the door is counted later.
    EnterInTwoSteps,
    /// Two may find that nobody has the claim.
    ClaimByLoadAndStore,
    /// The next holder may not see what the last one did.
    ReleaseRelaxed,
    /// Who sees the flag may not see what was done before it was set.
    RaiseRelaxed,
    /// Two may be given one number.
    StepByLoadAndStore,
    /// The count of a table's entries is stored after the lock on the table is gone.
    CountAfterTheLock,
    /// Two may find that nobody flies yet.
    StartOutsideTheLock,
}

#[cfg(not(vatic_loom))]
pub(crate) const fn broken(_fault: Fault) -> bool {
    false
}

#[cfg(vatic_loom)]
thread_local! {
    /// All threads of a loom model run on the thread that began it.
    static BROKEN: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

#[cfg(vatic_loom)]
pub(crate) fn broken(fault: Fault) -> bool {
    BROKEN.get() == Some(fault)
}

/// Runs with one line broken.
#[cfg(vatic_loom)]
pub fn with_fault<T>(fault: Fault, run: impl FnOnce() -> T) -> T {
    BROKEN.set(Some(fault));
    let result = run();
    BROKEN.set(None);
    result
}
