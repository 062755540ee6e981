//! Which model sees which broken rule, and by what.
//!
//! The property named is the one that the rule is there for, as a client or an operator would
//! notice: the core's own invariants often break earlier, and do not count here, but for a lock
//! that is left behind: nobody sees anything wrong of it, they wait for ever.

use crate::{
    catalogue,
    check::{Effort, Report},
    commit::property::{
        ACKNOWLEDGED, AGREEMENT, CUTS, DOOMED, FINAL, FIRST, FOLDED, FORESEEN, FREED, INVARIANTS,
        ONCE, STRICT,
    },
    digest::property::{EXACT, FRESH, ISSUED, KEPT, PLACES, SOUND},
    dispatch::property::{
        APART, BOUNDED, DUE, FAIR as DUE_FIRST, FINAL as KEPT_BACK, ONCE as HAPPENS_ONCE, PAUSED,
        SENT, SOUND as QUEUE_SOUND,
    },
    lane::property::{FAIR, ONE, USEFUL, WOKEN},
    ring::property::{EPOCHS, FORWARD, INVARIANTS as RING_INVARIANTS, OWNED, PUBLISHED, WHOLE},
};
use serde::Serialize;
use vatic_core::rules::Mutant;

/// A mutant and what catches it.
#[derive(Clone, Copy, Debug)]
pub struct Catch {
    /// The broken rule.
    pub mutant: Mutant,
    /// The model.
    pub model: &'static str,
    /// The property that is violated.
    pub property: &'static str,
}

/// Every mutant, caught; some by more than one failure.
pub const CATCHES: &[Catch] = &[
    catch(Mutant::NoReadLocks, "key-skew", STRICT),
    catch(Mutant::NoRangeLocks, "range-skew", STRICT),
    catch(Mutant::SinglePassRead, "strict-read", STRICT),
    catch(Mutant::SinglePassRead, "blind-writes", STRICT),
    catch(Mutant::SinglePassRead, "everything", STRICT),
    catch(Mutant::SecondPassIgnoresLocks, "strict-read", STRICT),
    catch(Mutant::SecondPassTrustsAbsence, "strict-absence", STRICT),
    catch(Mutant::ReadSkipsUndecided, "blocked-get", STRICT),
    catch(Mutant::ForgetUnsettled, "forgetting", AGREEMENT),
    catch(Mutant::ForgetUnsettled, "three-groups-forgotten", AGREEMENT),
    catch(Mutant::ForgetWithoutWatermark, "one-group", ONCE),
    catch(Mutant::ForgetWithoutWatermark, "abandoned-stage", ACKNOWLEDGED),
    catch(Mutant::ForgetWithoutWatermark, "late-and-forgotten", ACKNOWLEDGED),
    catch(Mutant::StaleIsNo, "forgetting", AGREEMENT),
    catch(Mutant::RollBackWithoutNo, "recovery", FINAL),
    catch(Mutant::ForceTakesBackYes, "recovery", ACKNOWLEDGED),
    catch(Mutant::ForceTakesBackYes, "blocked-get", ONCE),
    catch(Mutant::ForceTakesBackYes, "hasty-vote", ACKNOWLEDGED),
    catch(Mutant::ForceTakesBackYes, "three-groups-raced", ACKNOWLEDGED),
    catch(Mutant::ForceTakesBackYes, "three-attempts", ACKNOWLEDGED),
    catch(Mutant::TwoBodies, "two-bodies", ONCE),
    catch(Mutant::DecideKeepsClock, "snapshots", CUTS),
    catch(Mutant::SnapshotAboveClock, "snapshots", CUTS),
    catch(Mutant::SnapshotAboveClock, "collected", CUTS),
    catch(Mutant::CommitsBeforeLastVote, "recovery", ACKNOWLEDGED),
    catch(Mutant::CommitsBeforeLastVote, "key-skew", STRICT),
    catch(Mutant::CommitsBeforeLastVote, "receipts", SOUND),
    catch(Mutant::CommitsBeforeLastVote, "late-replies", ACKNOWLEDGED),
    catch(Mutant::CommitsBeforeLastVote, "read-by-vote", ACKNOWLEDGED),
    catch(Mutant::CommitsBeforeLastVote, "three-groups", ACKNOWLEDGED),
    catch(Mutant::CommitsBeforeLastVote, "three-attempts", ACKNOWLEDGED),
    catch(Mutant::DecidesAgain, "blind-writes", STRICT),
    catch(Mutant::DecidesAgain, "validation", FOLDED),
    catch(Mutant::RollbackKeepsLocks, "recovery", INVARIANTS),
    catch(Mutant::RollbackKeepsLocks, "receipts-batched", SOUND),
    catch(Mutant::RollbackKeepsLocks, "ring-raced", RING_INVARIANTS),
    catch(Mutant::RequestServedAgain, "request-twice", STRICT),
    catch(Mutant::RequestServedAgain, "ended-early", STRICT),
    catch(Mutant::EndsAfterSeal, "ended-early", FINAL),
    catch(Mutant::EndsForLock, "ended-early", DOOMED),
    catch(Mutant::StagedAfterVote, "ended-early", FREED),
    catch(Mutant::RestartForgetsWatermark, "leader-change", ACKNOWLEDGED),
    catch(Mutant::RestartForgetsWatermark, "leader-change", AGREEMENT),
    catch(Mutant::RestartForgetsWatermark, "leader-change", ONCE),
    catch(Mutant::EnforcesNothing, "validation", FORESEEN),
    catch(Mutant::EnforcesNothing, "validation-unjudged", FORESEEN),
    catch(Mutant::JudgementUnchecked, "validation-passed-off", FORESEEN),
    catch(Mutant::FoldedUndecided, "validation", FOLDED),
    catch(Mutant::FoldsCommitsAlone, "validation", FOLDED),
    catch(Mutant::RebasesConflicts, "rebased", STRICT),
    catch(Mutant::LastCommitterWins, "first-committer", FIRST),
    catch(Mutant::ChainForkedAtOpen, "receipts-staged", PLACES),
    catch(Mutant::StitchOutOfOrder, "receipts-forged", ISSUED),
    catch(Mutant::StitchOverGap, "receipts-forged", ISSUED),
    catch(Mutant::DigestUnchecked, "receipts-forged", EXACT),
    catch(Mutant::PartUnchecked, "receipts-forged", FRESH),
    catch(Mutant::ReceiptOfRollback, "receipts", KEPT),
    catch(Mutant::ReceiptOfRollback, "receipts-batched", KEPT),
    catch(Mutant::OwnerUnchecked, "receipts-forged", EXACT),
    catch(Mutant::OwnerUnchecked, "ring-grows", OWNED),
    catch(Mutant::EpochUnchecked, "ring-raced", EPOCHS),
    catch(Mutant::RingGoesBack, "ring-grows", FORWARD),
    catch(Mutant::RingHalfTaken, "ring-grows", PUBLISHED),
    catch(Mutant::RefusalAnswered, "ring-raced", WHOLE),
    catch(Mutant::TurnWhileLocked, "lane-turns", USEFUL),
    catch(Mutant::DecidedElsewhere, "lane-pairs", USEFUL),
    catch(Mutant::TurnNotPassedOn, "lane-turns", WOKEN),
    catch(Mutant::TurnNotPassedOn, "lane-turns-long", WOKEN),
    catch(Mutant::TurnPastWaiters, "lane-turns", FAIR),
    catch(Mutant::AgeIgnored, "lane-turns", FAIR),
    catch(Mutant::TurnTakenOver, "lane-turns", ONE),
    catch(Mutant::TicketUnexpected, "dispatch-leaders", HAPPENS_ONCE),
    catch(Mutant::TicketUnexpected, "dispatch-leaders", KEPT_BACK),
    catch(Mutant::TicketNotWokenUp, "dispatch-leaders", DUE),
    catch(Mutant::TicketAgeIgnored, "dispatch-order", DUE_FIRST),
    catch(Mutant::TicketPriorityIgnored, "dispatch-order", DUE_FIRST),
    catch(Mutant::TicketsTogether, "dispatch-records", APART),
    catch(Mutant::TicketPassedBy, "dispatch-records", DUE_FIRST),
    catch(Mutant::TicketsAsTheyCome, "dispatch-home", DUE_FIRST),
    catch(Mutant::TicketPassesOnRecord, "dispatch-home", DUE_FIRST),
    catch(Mutant::PauseIgnored, "dispatch-pauses", PAUSED),
    catch(Mutant::ShadowForEver, "dispatch-shadow", SENT),
    catch(Mutant::TicketsPastPlaces, "dispatch-home", BOUNDED),
    catch(Mutant::TicketBegunTwice, "dispatch-home", BOUNDED),
    catch(Mutant::ReplacedStillCounts, "dispatch-leaders", QUEUE_SOUND),
];

/// Every mutant of what there are models of; the history is for the simulation.
pub fn all() -> impl Iterator<Item = Mutant> {
    Mutant::every().filter(|mutant| !Mutant::OF_HISTORY.contains(mutant))
}

/// The mutant of this name.
pub fn named(name: &str) -> Option<Mutant> {
    all().find(|mutant| format!("{mutant:?}").eq_ignore_ascii_case(name))
}

/// How a mutant was caught.
#[derive(Clone, Debug, Serialize)]
pub struct Caught {
    /// The broken rule.
    pub mutant: String,
    /// The property that was violated.
    pub property: &'static str,
    /// States seen until then.
    pub unique_states: usize,
    /// How long it took.
    pub seconds: f64,
    /// The steps that lead to the violation.
    pub counterexample: Vec<String>,
}

/// Why a mutant was not caught.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Escape {
    /// All states were seen, and the property holds in them.
    Missed,
    /// The check stopped before it had seen all states: nothing is known.
    Unsettled,
}

impl Catch {
    /// Checks the mutant, as far as the effort goes.
    pub fn run(&self, effort: Effort) -> Result<Caught, Escape> {
        let model = catalogue::named(self.model).expect("catches name models");
        let report = model.check_mutant(self.mutant, self.property, effort);
        let Report { properties, unique_states, seconds, closed, .. } = report;
        let found = properties.into_iter().find(|finding| finding.name == self.property);
        let escape = if closed { Escape::Missed } else { Escape::Unsettled };
        Ok(Caught {
            mutant: format!("{:?}", self.mutant),
            property: self.property,
            unique_states,
            seconds,
            counterexample: found.and_then(|found| found.counterexample).ok_or(escape)?,
        })
    }
}

const fn catch(mutant: Mutant, model: &'static str, property: &'static str) -> Catch {
    Catch { mutant, model, property }
}
