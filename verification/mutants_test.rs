//! Every check can fail: each broken variant, run exactly as clean runs are, is caught by the check
//! that is there for it.

use vatic_core::rules::Mutant;
use vatic_verification::{Broken, Check, Sabotage, hunt};

/// Most seeds that a variant may survive.
const SEEDS_MAX: u64 = 200;

fn caught(broken: Broken, check: Check) {
    let found = hunt(broken, Some(check), 1, SEEDS_MAX);
    let found = found.unwrap_or_else(|| panic!("{} survives {SEEDS_MAX} seeds", broken.name()));
    println!("{} after {} seeds: {}", broken.name(), found.seeds, found.detail);
}

fn mutant(mutant: Mutant, check: Check) {
    caught(Broken::Core(mutant), check);
}

fn sabotage(sabotage: Sabotage, check: Check) {
    caught(Broken::Shell(sabotage), check);
}

#[test]
fn votes_without_read_locks_are_caught_by_the_commit_order() {
    mutant(Mutant::NoReadLocks, Check::CommitOrder);
}

#[test]
fn votes_without_read_locks_are_caught_as_a_cycle() {
    mutant(Mutant::NoReadLocks, Check::StrictSerializability);
}

#[test]
fn votes_without_range_locks_are_caught_by_the_commit_order() {
    mutant(Mutant::NoRangeLocks, Check::CommitOrder);
}

#[test]
fn single_pass_reads_are_caught_as_a_cycle() {
    mutant(Mutant::SinglePassRead, Check::StrictSerializability);
}

#[test]
fn second_pass_that_ignores_locks_is_caught_as_a_cycle() {
    mutant(Mutant::SecondPassIgnoresLocks, Check::StrictSerializability);
}

#[test]
fn second_pass_that_trusts_absence_is_caught_as_a_cycle() {
    mutant(Mutant::SecondPassTrustsAbsence, Check::StrictSerializability);
}

#[test]
fn reads_that_skip_undecided_writes_are_caught_as_a_cycle() {
    mutant(Mutant::ReadSkipsUndecided, Check::StrictSerializability);
}

#[test]
fn forgetting_the_unsettled_is_caught_by_the_core_invariants() {
    mutant(Mutant::ForgetUnsettled, Check::CoreInvariants);
}

#[test]
fn forgetting_without_watermark_is_caught_by_agreement() {
    mutant(Mutant::ForgetWithoutWatermark, Check::Agreement);
}

#[test]
fn stale_taken_for_no_is_caught_as_a_halt() {
    mutant(Mutant::StaleIsNo, Check::NoHalt);
}

#[test]
fn rollback_without_a_no_is_caught_as_a_halt() {
    mutant(Mutant::RollBackWithoutNo, Check::NoHalt);
}

#[test]
fn force_that_takes_back_a_yes_is_caught_by_agreement() {
    mutant(Mutant::ForceTakesBackYes, Check::Agreement);
}

#[test]
fn two_bodies_under_one_id_are_caught_by_agreement() {
    mutant(Mutant::TwoBodies, Check::Agreement);
}

#[test]
fn decisions_that_keep_the_clock_are_caught_by_the_core_invariants() {
    mutant(Mutant::DecideKeepsClock, Check::CoreInvariants);
}

#[test]
fn snapshots_above_the_clock_are_caught_as_torn() {
    mutant(Mutant::SnapshotAboveClock, Check::Snapshots);
}

#[test]
fn commits_before_the_last_vote_are_caught_as_a_halt() {
    mutant(Mutant::CommitsBeforeLastVote, Check::NoHalt);
}

#[test]
fn locks_that_a_rollback_leaves_behind_are_caught_by_the_core_invariants() {
    mutant(Mutant::RollbackKeepsLocks, Check::CoreInvariants);
}

#[test]
fn request_that_is_served_again_is_caught_as_done_twice() {
    mutant(Mutant::RequestServedAgain, Check::Requests);
}

#[test]
fn batches_that_count_again_are_caught_by_the_history() {
    mutant(Mutant::BatchCountsAgain, Check::History);
}

#[test]
fn transactions_moved_over_what_they_contradict_are_caught_by_the_commit_order() {
    mutant(Mutant::RebasesConflicts, Check::CommitOrder);
}

#[test]
fn ticket_that_is_not_expected_as_it_was_seen_happens_twice() {
    mutant(Mutant::TicketUnexpected, Check::Tickets);
}

#[test]
fn ticket_that_nobody_wakes_is_caught_by_progress() {
    mutant(Mutant::TicketNotWokenUp, Check::Progress);
}

#[test]
fn torn_snapshots_are_caught() {
    sabotage(Sabotage::TornSnapshot, Check::Snapshots);
}

#[test]
fn replica_that_skips_a_command_is_caught() {
    sabotage(Sabotage::SkippedCommand, Check::Replicas);
}

#[test]
fn replica_that_loses_a_vote_is_caught_by_the_core_invariants() {
    sabotage(Sabotage::LostVote, Check::CoreInvariants);
}

#[test]
fn answer_before_all_votes_is_caught() {
    sabotage(Sabotage::EarlyAnswer, Check::Answers);
}

#[test]
fn altered_receipts_do_not_verify() {
    sabotage(Sabotage::AlteredReceipt, Check::Receipts);
}

#[test]
fn receipts_that_lead_elsewhere_are_not_in_the_chain() {
    sabotage(Sabotage::MisplacedReceipt, Check::Receipts);
}

#[test]
fn retry_without_the_request_id_is_caught_as_done_twice() {
    sabotage(Sabotage::RetryWithoutId, Check::Requests);
}

#[test]
fn transfer_that_leaks_is_caught_by_the_sum() {
    sabotage(Sabotage::LeakyTransfer, Check::Money);
}

#[test]
fn tampering_that_covers_its_tracks_is_caught_by_the_onlooker() {
    sabotage(Sabotage::RechainedTampering, Check::Tampering);
}

#[test]
fn votes_that_nobody_recovers_are_caught_by_progress() {
    sabotage(Sabotage::NoRecovery, Check::Progress);
}

#[test]
fn group_that_waits_for_all_its_replicas_is_caught_by_progress_of_the_core() {
    sabotage(Sabotage::AllMustAgree, Check::Progress);
}

#[test]
fn reads_without_a_read_index_are_caught_as_a_cycle() {
    sabotage(Sabotage::StaleRead, Check::StrictSerializability);
}

#[test]
fn record_that_all_replicas_lost_is_caught_by_durability() {
    sabotage(Sabotage::ErasedRecord, Check::Durability);
}

#[test]
fn row_that_belongs_to_nothing_is_caught_as_a_leak() {
    sabotage(Sabotage::LeftProof, Check::Leaks);
}

#[test]
fn path_of_another_entry_to_a_checkpoint_is_caught() {
    sabotage(Sabotage::MisplacedEndorsement, Check::Receipts);
}
