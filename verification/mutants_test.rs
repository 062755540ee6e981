//! Every check can fail: each broken variant, run exactly as clean runs are, is caught by the check
//! that is there for it, where one is, else by whichever notices.

use std::collections::BTreeSet;
use vatic_core::rules::Mutant;
use vatic_verification::{Broken, Check, Sabotage, Seeded, hunt};

/// Most seeds that a variant of the core or of what is around it may survive.
const SEEDS_MAX: u64 = 200;
/// Most seeds that one below the core may survive.
const SEEDS_BELOW_MAX: u64 = 60;

fn caught(broken: Broken, check: Option<Check>) {
    let below = matches!(broken, Broken::Below(_));
    let seeds_max = if below { SEEDS_BELOW_MAX } else { SEEDS_MAX };
    let found = hunt(broken, check, 1, seeds_max);
    let found = found.unwrap_or_else(|| panic!("{} survives {seeds_max} seeds", broken.name()));
    let checks: Vec<&str> = found.checks.iter().map(|check| check.name()).collect();
    let (name, seeds) = (broken.name(), found.seeds);
    println!("{name} after {seeds} seeds, by {}: {}", checks.join(", "), found.detail);
}

macro_rules! variants_are_caught {
    ($($test:ident: $broken:expr => $check:expr;)*) => {
        $(#[test] fn $test() { caught($broken, $check); })*

        /// Each test's variant, and the check that has to fail, if it is to be one.
        fn tested() -> Vec<(Broken, Option<Check>)> {
            vec![$(($broken, $check)),*]
        }
    };
}

variants_are_caught! {
    votes_without_read_locks_are_caught_by_the_commit_order:
        Broken::Core(Mutant::NoReadLocks) => Some(Check::CommitOrder);
    votes_without_read_locks_are_caught_as_a_cycle:
        Broken::Core(Mutant::NoReadLocks) => Some(Check::StrictSerializability);
    votes_without_range_locks_are_caught_by_the_commit_order:
        Broken::Core(Mutant::NoRangeLocks) => Some(Check::CommitOrder);
    single_pass_reads_are_caught_as_a_cycle:
        Broken::Core(Mutant::SinglePassRead) => Some(Check::StrictSerializability);
    second_pass_that_ignores_locks_is_caught_as_a_cycle:
        Broken::Core(Mutant::SecondPassIgnoresLocks) => Some(Check::StrictSerializability);
    second_pass_that_trusts_absence_is_caught_as_a_cycle:
        Broken::Core(Mutant::SecondPassTrustsAbsence) => Some(Check::StrictSerializability);
    reads_that_skip_undecided_writes_are_caught_as_a_cycle:
        Broken::Core(Mutant::ReadSkipsUndecided) => Some(Check::StrictSerializability);
    forgetting_the_unsettled_is_caught_by_the_core_invariants:
        Broken::Core(Mutant::ForgetUnsettled) => Some(Check::CoreInvariants);
    forgetting_without_watermark_is_caught_by_agreement:
        Broken::Core(Mutant::ForgetWithoutWatermark) => Some(Check::Agreement);
    stale_taken_for_no_is_caught_as_a_halt:
        Broken::Core(Mutant::StaleIsNo) => Some(Check::NoHalt);
    rollback_without_a_no_is_caught_as_a_halt:
        Broken::Core(Mutant::RollBackWithoutNo) => Some(Check::NoHalt);
    force_that_takes_back_a_yes_is_caught_by_agreement:
        Broken::Core(Mutant::ForceTakesBackYes) => Some(Check::Agreement);
    two_bodies_under_one_id_are_caught_by_agreement:
        Broken::Core(Mutant::TwoBodies) => Some(Check::Agreement);
    decisions_that_keep_the_clock_are_caught_by_the_core_invariants:
        Broken::Core(Mutant::DecideKeepsClock) => Some(Check::CoreInvariants);
    snapshots_above_the_clock_are_caught_as_torn:
        Broken::Core(Mutant::SnapshotAboveClock) => Some(Check::Snapshots);
    commits_before_the_last_vote_are_caught_as_a_halt:
        Broken::Core(Mutant::CommitsBeforeLastVote) => Some(Check::NoHalt);
    locks_that_a_rollback_leaves_behind_are_caught_by_the_core_invariants:
        Broken::Core(Mutant::RollbackKeepsLocks) => Some(Check::CoreInvariants);
    request_that_is_served_again_is_caught_as_done_twice:
        Broken::Core(Mutant::RequestServedAgain) => Some(Check::Requests);
    batches_that_count_again_are_caught_by_the_history:
        Broken::Core(Mutant::BatchCountsAgain) => Some(Check::History);
    transactions_moved_over_what_they_contradict_are_caught_by_the_commit_order:
        Broken::Core(Mutant::RebasesConflicts) => Some(Check::CommitOrder);
    ticket_that_is_not_expected_as_it_was_seen_happens_twice:
        Broken::Core(Mutant::TicketUnexpected) => Some(Check::Tickets);
    ticket_that_nobody_wakes_is_caught_by_progress:
        Broken::Core(Mutant::TicketNotWokenUp) => Some(Check::Progress);
    judgement_that_nobody_computes_again_is_caught:
        Broken::Core(Mutant::JudgementUnchecked) => None;
    policy_that_enforces_nothing_is_caught_by_validation:
        Broken::Core(Mutant::EnforcesNothing) => Some(Check::Validation);
    watermark_that_a_restart_forgets_is_caught:
        Broken::Core(Mutant::RestartForgetsWatermark) => None;
    chain_that_is_begun_anew_at_a_restart_is_caught:
        Broken::Core(Mutant::ChainForkedAtOpen) => None;
    digests_that_nobody_checks_are_caught:
        Broken::Core(Mutant::DigestUnchecked) => None;
    receipt_of_a_rollback_is_caught:
        Broken::Core(Mutant::ReceiptOfRollback) => None;
    torn_snapshots_are_caught:
        Broken::Shell(Sabotage::TornSnapshot) => Some(Check::Snapshots);
    replica_that_skips_a_command_is_caught:
        Broken::Shell(Sabotage::SkippedCommand) => Some(Check::Replicas);
    replica_that_loses_a_vote_is_caught_by_the_core_invariants:
        Broken::Shell(Sabotage::LostVote) => Some(Check::CoreInvariants);
    answer_before_all_votes_is_caught:
        Broken::Shell(Sabotage::EarlyAnswer) => Some(Check::Answers);
    altered_receipts_do_not_verify:
        Broken::Shell(Sabotage::AlteredReceipt) => Some(Check::Receipts);
    receipts_that_lead_elsewhere_are_not_in_the_chain:
        Broken::Shell(Sabotage::MisplacedReceipt) => Some(Check::Receipts);
    retry_without_the_request_id_is_caught_as_done_twice:
        Broken::Shell(Sabotage::RetryWithoutId) => Some(Check::Requests);
    transfer_that_leaks_is_caught_by_the_sum:
        Broken::Shell(Sabotage::LeakyTransfer) => Some(Check::Money);
    tampering_that_covers_its_tracks_is_caught_by_the_onlooker:
        Broken::Shell(Sabotage::RechainedTampering) => Some(Check::Tampering);
    votes_that_nobody_recovers_are_caught_by_progress:
        Broken::Shell(Sabotage::NoRecovery) => Some(Check::Progress);
    group_that_waits_for_all_its_replicas_is_caught_by_progress_of_the_core:
        Broken::Shell(Sabotage::AllMustAgree) => Some(Check::Progress);
    reads_without_a_read_index_are_caught_as_a_cycle:
        Broken::Shell(Sabotage::StaleRead) => Some(Check::StrictSerializability);
    record_that_all_replicas_lost_is_caught_by_durability:
        Broken::Shell(Sabotage::ErasedRecord) => Some(Check::Durability);
    row_that_belongs_to_nothing_is_caught_as_a_leak:
        Broken::Shell(Sabotage::LeftProof) => Some(Check::Leaks);
    path_of_another_entry_to_a_checkpoint_is_caught:
        Broken::Shell(Sabotage::MisplacedEndorsement) => Some(Check::Receipts);
    log_that_answers_before_the_sync_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::AckBeforeSync)) => None;
    log_that_takes_torn_frames_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::TornPayloadAccepted)) => None;
    log_that_forgets_votes_at_a_restart_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::VoteLostAtRestart)) => None;
    log_that_answers_votes_before_they_are_written_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::VoteAnsweredFirst)) => Some(Check::Elections);
    node_that_nobody_noted_and_that_lost_its_disk_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::AnsweredUnmet)) => None;
    log_that_writes_votes_behind_entries_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::VoteBehindEntries)) => None;
    log_that_takes_damage_for_its_torn_end_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::DamageTakenForTear)) => Some(Check::Disks);
    leader_that_takes_silence_for_consent_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::SilenceCounted)) => None;
    snapshot_without_votes_is_found_out:
        Broken::Below(Seeded::Store(vatic_store::Bug::SnapshotDropsVotes)) => None;
    flush_that_writes_the_mark_alone_is_found_out:
        Broken::Below(Seeded::Store(vatic_store::Bug::MarkWithoutState)) => None;
    purge_that_goes_too_far_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::PurgedTooFar)) => None;
    read_index_that_asks_nobody_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::ReadUnconfirmed)) => None;
    vote_that_is_not_written_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::VoteNotDurable)) => None;
    entries_that_are_counted_before_they_are_written_are_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::AppendNotDurable)) => None;
    node_that_takes_part_without_its_disk_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::LostDiskAsksNobody)) => None;
    log_that_says_committed_what_is_not_is_found_out:
        Broken::Below(Seeded::Log(vatic_log::Bug::CommittedAhead)) => None;
    flush_that_writes_the_state_without_its_mark_is_found_out:
        Broken::Below(Seeded::Store(vatic_store::Bug::StateWithoutMark)) => None;
    flush_that_drops_deletions_is_found_out:
        Broken::Below(Seeded::Store(vatic_store::Bug::FlushDropsDeletions)) => None;
    vote_that_is_not_read_at_a_start_is_found_out:
        Broken::Below(Seeded::Consensus(vatic_consensus::Bug::VoteNotRead)) => None;
}

#[test]
fn every_variant_that_is_hunted_has_a_test_and_no_other() {
    let hunted: BTreeSet<String> = Broken::all().into_iter().map(Broken::name).collect();
    let tested = tested().into_iter().map(|(broken, _)| broken.name());
    assert_eq!(tested.collect::<BTreeSet<_>>(), hunted);
    let others = Broken::every().into_iter().filter(|broken| !broken.is_hunted());
    assert!(others.clone().count() > 0);
    // What no seed finds by itself, a model does, or the twins of a run.
    let lost = others
        .filter(|broken| !broken.has_model() && *broken != Broken::Shell(Sabotage::OfItsProcess));
    assert_eq!(lost.map(Broken::name).collect::<Vec<_>>(), [""; 0]);
}

/// No seed fails it by itself: `simulation_test.rs` has the twins of a run do.
const OF_TWINS: Check = Check::Repeats;

#[test]
fn every_check_is_what_some_variant_is_caught_by() {
    let tested = tested().into_iter().filter_map(|(_, check)| check);
    let pinned: BTreeSet<Check> = tested.chain([OF_TWINS]).collect();
    assert_eq!(pinned, BTreeSet::from(Check::ALL));
}
