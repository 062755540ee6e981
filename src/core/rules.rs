//! Which rules of the protocol are in force: all of them, except in a mutant.
//!
//! A check that has never failed proves little. With the feature `mutants` each rule that looks
//! fussy can be switched off alone, and the models and the simulator must then find the failure
//! that the rule exists for. Without the feature, [`Rules`] has no size and nothing can be broken.

/// One broken rule.
#[cfg(feature = "mutants")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mutant {
    /// A Yes vote takes no lock on the keys it read: write skew.
    NoReadLocks,
    /// A Yes vote takes no lock on the ranges it scanned: write skew by phantoms.
    NoRangeLocks,
    /// A multi-group read trusts its first pass.
    SinglePassRead,
    /// The second pass of a multi-group read ignores undecided writes.
    SecondPassIgnoresLocks,
    /// The second pass of a multi-group read takes a record that came and went for one that never
    /// was.
    SecondPassTrustsAbsence,
    /// A read outside a transaction skips an undecided write.
    ReadSkipsUndecided,
    /// A decision is forgotten though another participant has not applied it.
    ForgetUnsettled,
    /// Forgetting leaves the watermark where it was.
    ForgetWithoutWatermark,
    /// A stale answer counts as a No.
    StaleIsNo,
    /// A coordinator that gives up rolls back without a recorded No.
    RollBackWithoutNo,
    /// ForceVote takes back a Yes.
    ForceTakesBackYes,
    /// One transaction id may stand for two bodies.
    TwoBodies,
    /// A decision does not raise the clock.
    DecideKeepsClock,
    /// A snapshot read is served above the applied clock.
    SnapshotAboveClock,
    /// A coordinator commits when all participants but one have voted Yes.
    CommitsBeforeLastVote,
    /// A decision that comes again is applied again, with all that the vote had prepared.
    DecidesAgain,
    /// A rollback leaves behind the locks of a Yes.
    RollbackKeepsLocks,
    /// A request that has been served is served again under another transaction id.
    RequestServedAgain,
    /// A group that is opened anew has forgotten its watermark.
    RestartForgetsWatermark,
    /// A group that is opened anew begins its digest chain anew.
    ChainForkedAtOpen,
    /// Segments may come in another order than the stream's.
    StitchOutOfOrder,
    /// A segment may be missing.
    StitchOverGap,
    /// A group does not recompute the digests of its transitions.
    DigestUnchecked,
    /// A part need not be the one that the body lists.
    PartUnchecked,
    /// A transaction may be moved over changes that its own contradict.
    RebasesConflicts,
    /// What was written since a snapshot is written over.
    LastCommitterWins,
    /// A verdict need not be what its forecast gives.
    JudgementUnchecked,
    /// What was not foreseen commits, whatever a collection's policy says.
    EnforcesNothing,
    /// A score is folded where a No is recorded, and again with its decision.
    FoldedUndecided,
    /// What is rolled back is not folded: where forecasts are enforced, nothing invalid counts.
    FoldsCommitsAlone,
    /// The record of a rollback yields a receipt too.
    ReceiptOfRollback,
    /// A ring need not follow the one before it.
    EpochUnchecked,
    /// A group takes an older ring than its own.
    RingGoesBack,
    /// A group votes on keys that its ring gives to another one.
    OwnerUnchecked,
    /// A group takes a ring's number, and keeps to the groups of the one before it.
    RingHalfTaken,
    /// Whoever waits is told of a refusal before it is known what becomes of the transaction.
    RefusalAnswered,
    /// A lane gives a turn while an undecided vote has the record locked.
    TurnWhileLocked,
    /// A decision on its way into one group's log counts in another group.
    DecidedElsewhere,
    /// A decision that arrives wakes nobody.
    TurnNotPassedOn,
    /// Whoever comes may take a turn that others wait for.
    TurnPastWaiters,
    /// Who has waited too long has no right of way.
    AgeIgnored,
    /// Whoever comes takes a turn that is another's.
    TurnTakenOver,
    /// What resolves a ticket does not expect it to be there.
    TicketUnexpected,
    /// A ticket whose attempt came to nothing counts as under way.
    TicketNotWokenUp,
    /// A ticket that has waited too long has no right of way.
    TicketAgeIgnored,
    /// Tickets go by their age alone.
    TicketPriorityIgnored,
    /// Tickets that touch one record are under way together.
    TicketsTogether,
    /// Who waits for a record does not keep it from tickets behind it.
    TicketPassedBy,
    /// A ticket whose records are free soonest goes no sooner for that.
    TicketsAsTheyCome,
    /// A ticket goes before one that touches its record, since another record of that is busy.
    TicketPassesOnRecord,
    /// Tickets are begun though the queue is paused.
    PauseIgnored,
    /// What is not urgent is tried out for ever, and never sent while somebody is in its way.
    ShadowForEver,
    /// Tickets are begun though all places are taken.
    TicketsPastPlaces,
    /// A ticket that is under way is begun once more.
    TicketBegunTwice,
    /// What a record took up counts on after it was replaced or deleted.
    ReplacedStillCounts,
    /// A stream is ended for what is found of its reads though it is sealed.
    EndsAfterSeal,
    /// A stream is ended for a write of what it read that is not decided.
    EndsForLock,
    /// What is staged after the vote is kept.
    StagedAfterVote,
    /// A batch of the history that is proposed again counts again.
    BatchCountsAgain,
}

#[cfg(feature = "mutants")]
impl Mutant {
    /// The mutants of the commit protocol, for tables and tests.
    pub const ALL: [Mutant; 18] = [
        Mutant::NoReadLocks,
        Mutant::NoRangeLocks,
        Mutant::SinglePassRead,
        Mutant::SecondPassIgnoresLocks,
        Mutant::SecondPassTrustsAbsence,
        Mutant::ReadSkipsUndecided,
        Mutant::ForgetUnsettled,
        Mutant::ForgetWithoutWatermark,
        Mutant::StaleIsNo,
        Mutant::RollBackWithoutNo,
        Mutant::ForceTakesBackYes,
        Mutant::TwoBodies,
        Mutant::DecideKeepsClock,
        Mutant::SnapshotAboveClock,
        Mutant::CommitsBeforeLastVote,
        Mutant::DecidesAgain,
        Mutant::RollbackKeepsLocks,
        Mutant::RequestServedAgain,
    ];

    /// More of them, which matter where bytes are forged, entries compared or the ring changed.
    pub const OF_EVIDENCE_AND_RING: [Mutant; 12] = [
        Mutant::RestartForgetsWatermark,
        Mutant::ChainForkedAtOpen,
        Mutant::StitchOutOfOrder,
        Mutant::StitchOverGap,
        Mutant::DigestUnchecked,
        Mutant::PartUnchecked,
        Mutant::ReceiptOfRollback,
        Mutant::EpochUnchecked,
        Mutant::RingGoesBack,
        Mutant::OwnerUnchecked,
        Mutant::RingHalfTaken,
        Mutant::RefusalAnswered,
    ];

    /// Those of validation.
    pub const OF_VALIDATION: [Mutant; 4] = [
        Mutant::JudgementUnchecked,
        Mutant::EnforcesNothing,
        Mutant::FoldedUndecided,
        Mutant::FoldsCommitsAlone,
    ];

    /// Those of streams that end before their seal.
    pub const OF_STREAMS: [Mutant; 3] =
        [Mutant::EndsAfterSeal, Mutant::EndsForLock, Mutant::StagedAfterVote];

    /// Those of what transactions rest on.
    pub const OF_STRATEGIES: [Mutant; 2] = [Mutant::RebasesConflicts, Mutant::LastCommitterWins];

    /// Those of the history.
    pub const OF_HISTORY: [Mutant; 1] = [Mutant::BatchCountsAgain];

    /// Those of the key lane.
    pub const OF_LANES: [Mutant; 6] = [
        Mutant::TurnWhileLocked,
        Mutant::DecidedElsewhere,
        Mutant::TurnNotPassedOn,
        Mutant::TurnPastWaiters,
        Mutant::AgeIgnored,
        Mutant::TurnTakenOver,
    ];

    /// Those of the durable queue, and of the bytes that it takes up and gives back.
    pub const OF_TICKETS: [Mutant; 13] = [
        Mutant::TicketUnexpected,
        Mutant::TicketNotWokenUp,
        Mutant::TicketAgeIgnored,
        Mutant::TicketPriorityIgnored,
        Mutant::TicketsTogether,
        Mutant::TicketPassedBy,
        Mutant::TicketsAsTheyCome,
        Mutant::TicketPassesOnRecord,
        Mutant::PauseIgnored,
        Mutant::ShadowForEver,
        Mutant::TicketsPastPlaces,
        Mutant::TicketBegunTwice,
        Mutant::ReplacedStillCounts,
    ];

    /// All of them.
    pub fn every() -> impl Iterator<Item = Mutant> {
        let lists: [&[Mutant]; 8] = [
            &Mutant::ALL,
            &Mutant::OF_EVIDENCE_AND_RING,
            &Mutant::OF_LANES,
            &Mutant::OF_TICKETS,
            &Mutant::OF_VALIDATION,
            &Mutant::OF_STREAMS,
            &Mutant::OF_STRATEGIES,
            &Mutant::OF_HISTORY,
        ];
        lists.into_iter().flatten().copied()
    }
}

/// The rules in force.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rules {
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl Rules {
    /// All rules but one.
    #[cfg(feature = "mutants")]
    pub fn without(mutant: Mutant) -> Rules {
        Rules { mutant: Some(mutant) }
    }

    /// Whether this is the mutant named; never in a default build.
    #[cfg(feature = "mutants")]
    pub(crate) fn broken(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// `broken!(rules, Name)`: true only in a build with mutants and in that mutant.
macro_rules! broken {
    ($rules:expr, $mutant:ident) => {{
        #[cfg(feature = "mutants")]
        let broken = $rules.broken($crate::rules::Mutant::$mutant);
        #[cfg(not(feature = "mutants"))]
        let broken = {
            let _ = $rules;
            false
        };
        broken
    }};
}
pub(crate) use broken;
