//! Every broken rule is caught, by the property that the rule is there for.

use crate::{check, mutants::CATCHES};
use vatic_core::rules::Mutant;

fn is_caught(mutant: Mutant) {
    check::silence_caught_panics();
    let mut catches = CATCHES.iter().filter(|catch| catch.mutant == mutant).peekable();
    assert!(catches.peek().is_some(), "nothing is said to catch {mutant:?}");
    for catch in catches {
        let caught = catch.run(1).unwrap_or_else(|| panic!("{catch:?} got away"));
        assert!(!caught.counterexample.is_empty(), "{catch:?}");
    }
}

macro_rules! mutants_are_caught {
    ($($test:ident: $mutant:ident;)*) => {
        $(#[test] fn $test() { is_caught(Mutant::$mutant); })*

        #[test]
        fn every_mutant_has_a_test() {
            assert_eq!([$(Mutant::$mutant),*], Mutant::ALL);
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
}
