//! Every broken rule is caught, by the property that the rule is there for.

use crate::{
    catalogue,
    check::{self, Effort},
    mutants::{self, CATCHES, Catch, Escape},
};

use std::collections::BTreeSet;
use vatic_core::rules::Mutant;

fn is_caught(mutant: Mutant) {
    check::silence_caught_panics();
    let mut catches = CATCHES.iter().filter(|catch| catch.mutant == mutant).peekable();
    assert!(catches.peek().is_some(), "nothing is said to catch {mutant:?}");
    for catch in catches {
        let caught =
            catch.run(Effort::exhaustive(1)).unwrap_or_else(|why| panic!("{catch:?}: {why:?}"));
        assert!(!caught.counterexample.is_empty(), "{catch:?}");
    }
}

macro_rules! mutants_are_caught {
    ($($test:ident: $mutant:ident;)*) => {
        $(#[test] fn $test() { is_caught(Mutant::$mutant); })*

        #[test]
        fn every_mutant_has_a_test() {
            let tested = [$(Mutant::$mutant),*];
            assert!(mutants::all().eq(tested), "{tested:?}");
        }
    };
}

mutants_are_caught! {
    missing_read_locks_let_write_skew_through: NoReadLocks;
    missing_range_locks_let_phantoms_through: NoRangeLocks;
    single_pass_read_sees_half_a_transfer: SinglePassRead;
    second_pass_without_locks_misses_an_acknowledged_write: SecondPassIgnoresLocks;
    second_pass_that_trusts_absence_sees_a_state_that_never_was: SecondPassTrustsAbsence;
    get_that_skips_undecided_misses_an_acknowledged_write: ReadSkipsUndecided;
    forgetting_the_unsettled_rolls_back_what_committed: ForgetUnsettled;
    forgetting_without_watermark_applies_a_late_vote_again: ForgetWithoutWatermark;
    stale_taken_for_no_rolls_back_what_committed: StaleIsNo;
    rollback_without_no_is_not_final: RollBackWithoutNo;
    force_that_takes_back_a_yes_loses_a_commit: ForceTakesBackYes;
    one_id_with_two_bodies_mixes_them: TwoBodies;
    clock_not_raised_by_decide_tears_snapshots: DecideKeepsClock;
    snapshot_above_the_clock_misses_a_commit: SnapshotAboveClock;
    commit_before_the_last_vote_is_not_committed: CommitsBeforeLastVote;
    decision_applied_again_releases_the_locks_of_others: DecidesAgain;
    lock_left_behind_by_a_rollback_is_seen: RollbackKeepsLocks;
    request_that_was_served_is_served_again: RequestServedAgain;
    watermark_lost_at_restart_applies_a_late_vote_again: RestartForgetsWatermark;
    chain_begun_anew_at_restart_is_not_the_receipts: ChainForkedAtOpen;
    segments_out_of_order_make_receipts_that_do_not_verify: StitchOutOfOrder;
    missing_segment_makes_receipts_that_do_not_verify: StitchOverGap;
    unchecked_digests_let_other_bytes_be_applied: DigestUnchecked;
    unchecked_part_hides_an_overwritten_read: PartUnchecked;
    rollback_with_a_receipt_is_kept_from_nobody: ReceiptOfRollback;
    unchecked_epochs_name_two_rings: EpochUnchecked;
    ring_that_goes_back_undoes_what_a_group_knew: RingGoesBack;
    unchecked_owner_takes_what_belongs_to_another_group: OwnerUnchecked;
    ring_that_is_half_taken_is_none_that_was_set: RingHalfTaken;
    refusal_that_is_told_too_soon_is_of_what_commits: RefusalAnswered;
    turn_while_a_vote_is_undecided_is_wasted: TurnWhileLocked;
    decision_elsewhere_taken_for_one_here_wastes_a_vote: DecidedElsewhere;
    decision_that_wakes_nobody_leaves_them_waiting: TurnNotPassedOn;
    turn_past_those_who_wait_is_unfair: TurnPastWaiters;
    age_that_counts_for_nothing_is_unfair: AgeIgnored;
    turn_that_is_taken_over_is_two_clients: TurnTakenOver;
    ticket_that_is_not_expected_happens_twice: TicketUnexpected;
    ticket_that_is_not_woken_up_waits_for_ever: TicketNotWokenUp;
    age_of_a_ticket_that_counts_for_nothing_is_unfair: TicketAgeIgnored;
    priority_of_a_ticket_that_counts_for_nothing_is_unfair: TicketPriorityIgnored;
    tickets_of_one_record_are_under_way_together: TicketsTogether;
    ticket_that_waits_for_a_record_is_passed_by: TicketPassedBy;
    tickets_that_go_as_they_come_wait_for_busy_records: TicketsAsTheyCome;
    ticket_that_passes_another_on_its_record_breaks_the_order_there: TicketPassesOnRecord;
    pause_that_nobody_minds_is_none: PauseIgnored;
    shadow_that_is_tried_out_for_ever_is_never_sent: ShadowForEver;
    tickets_past_their_places_are_too_many: TicketsPastPlaces;
    ticket_that_is_begun_twice_is_beside_itself: TicketBegunTwice;
    bytes_that_are_never_given_back_use_a_quota_up: ReplacedStillCounts;
    unchecked_judgement_lets_a_gateway_pass_off_what_strays: JudgementUnchecked;
    policy_that_enforces_nothing_commits_what_strays: EnforcesNothing;
    score_of_an_undecided_no_is_folded_twice: FoldedUndecided;
    scores_of_commits_alone_leave_out_what_is_refused: FoldsCommitsAlone;
    stream_that_is_ended_after_its_seal_has_committed: EndsAfterSeal;
    stream_that_is_ended_for_a_lock_might_have_committed: EndsForLock;
    stage_that_is_kept_after_the_vote_stays_for_ever: StagedAfterVote;
    rebase_over_what_it_contradicts_loses_an_update: RebasesConflicts;
    last_committer_writes_over_what_its_snapshot_does_not_show: LastCommitterWins;
}

#[test]
fn every_model_catches_a_mutant_but_the_one_about_what_clients_give_up() {
    let catches = |name: &str| CATCHES.iter().any(|catch| catch.model == name);
    let names = catalogue::all().into_iter().map(|model| model.name);
    // What it shows is that no rule of the core makes up for a client that chains nothing.
    let none = ["receipts-unchained"];
    assert_eq!(names.filter(|name| !catches(name)).collect::<Vec<_>>(), none);
}

#[test]
fn every_property_of_every_kind_of_model_is_what_some_mutant_violates() {
    let kind_of = |name: &str| catalogue::named(name).map(|model| model.kind());
    let caught: BTreeSet<_> =
        CATCHES.iter().filter_map(|catch| Some((kind_of(catch.model)?, catch.property))).collect();
    let models = catalogue::all();
    let all = models.iter().flat_map(|model| {
        let of = move |property| (model.kind(), property);
        model.always().into_iter().map(of)
    });
    let all: BTreeSet<_> = all.collect();
    assert!(all.len() > 30, "{all:?}");
    assert_eq!(caught, all);
}

#[test]
fn mutant_that_is_not_caught_in_time_is_told_from_one_that_gets_away() {
    // Nothing scans a range in this model.
    let catch = CATCHES.iter().find(|catch| catch.model == "recovery").expect("there is one");
    let catch = Catch { mutant: Mutant::NoRangeLocks, ..*catch };
    let stopped = [
        Effort { depth: Some(2), ..Effort::exhaustive(1) },
        Effort { seconds: Some(0), ..Effort::exhaustive(1) },
    ];
    for effort in stopped {
        assert_eq!(catch.run(effort).err(), Some(Escape::Unsettled), "{effort:?}");
    }
    assert_eq!(catch.run(Effort::exhaustive(1)).err(), Some(Escape::Missed));
}
