//! Estimates for each strategy.

use crate::{
    delta::{Expect, Op},
    estimate::{Choice, Estimate, Facts, Resolution, any, cheapest, estimates},
    strategy::Strategy,
    value::Fields,
};
use alloc::vec::Vec;

const HOT: Facts = Facts {
    writes: true,
    expects: false,
    moves: false,
    score_ppm: Some(500_000),
    wait_us: 300,
    typical_us: 1_000,
    others: 3,
};

fn of(strategy: Strategy, records: &[Facts]) -> Estimate {
    let all: Vec<Estimate> = estimates(records);
    *all.iter().find(|estimate| estimate.strategy == strategy).expect("one for each")
}

#[test]
fn likelihood_of_any_is_that_none_fails() {
    assert_eq!(any([]), Some(0));
    assert_eq!(any([Some(500_000), Some(500_000)]), Some(750_000));
    assert_eq!(any([Some(500_000), None]), None);
}

#[test]
fn attempts_that_fail_are_paid_for_and_turns_are_waited_for() {
    let optimistic = of(Strategy::Optimistic, &[HOT]);
    let half = (optimistic.conflict_ppm, optimistic.latency_us, optimistic.hurts);
    assert_eq!(half, (Some(500_000), Some(2_000), 3), "one in two fails: two attempts");
    let lock = of(Strategy::Lock, &[HOT]);
    assert_eq!((lock.conflict_ppm, lock.latency_us, lock.hurts), (Some(0), Some(1_300), 0));
    assert_eq!(cheapest(&estimates(&[HOT])), Some(Strategy::Lock));
    let calm = Facts { score_ppm: Some(10_000), ..HOT };
    assert_eq!(cheapest(&estimates(&[calm])), Some(Strategy::Optimistic));
    let sure = of(Strategy::Optimistic, &[Facts { score_ppm: Some(1_000_000), ..HOT }]);
    assert!(sure.latency_us > Some(100_000_000), "it never commits: {sure:?}");
}

#[test]
fn what_commutes_with_its_like_is_best_moved() {
    let add = Op::Add { field: "n".into(), by: 1 };
    let put = Op::Put(Fields::new());
    let facts = Facts::of_operations(&[&add, &add]);
    assert!(facts.moves && facts.writes);
    assert!(!Facts::of_operations(&[&add, &put]).moves);
    let moved = Facts { moves: true, ..HOT };
    assert_eq!(of(Strategy::Rebase, &[moved]).conflict_ppm, Some(0));
    assert_eq!(of(Strategy::Rebase, &[moved, HOT]).conflict_ppm, Some(500_000));
    assert_eq!(cheapest(&estimates(&[moved])), Some(Strategy::Rebase));
}

#[test]
fn snapshot_minds_only_what_it_writes() {
    let expected = Facts { writes: false, ..HOT };
    assert_eq!(of(Strategy::Snapshot, &[expected]).conflict_ppm, Some(0));
    assert_eq!(of(Strategy::Snapshot, &[HOT]).conflict_ppm, Some(500_000));
}

#[test]
fn what_is_expected_of_a_record_is_checked_whatever_the_strategy() {
    let expects = Op::Expect(Expect::Present);
    let fact = Facts { score_ppm: Some(500_000), ..Facts::of_operations(&[&expects]) };
    for strategy in [Strategy::Snapshot, Strategy::LastWriterWins] {
        assert_eq!(of(strategy, &[fact]).conflict_ppm, Some(500_000), "{strategy:?}");
        let blind = Facts { expects: false, ..fact };
        assert_eq!(of(strategy, &[blind]).conflict_ppm, Some(0), "{strategy:?}");
    }
}

#[test]
fn nothing_is_estimated_where_nothing_is_known() {
    let unknown = Facts { score_ppm: None, ..HOT };
    let optimistic = of(Strategy::Optimistic, &[unknown]);
    assert_eq!((optimistic.conflict_ppm, optimistic.latency_us), (None, None));
    assert_eq!(of(Strategy::Lock, &[unknown]).latency_us, Some(1_300), "a turn needs no model");
    let new = Facts { typical_us: 0, ..HOT };
    assert_eq!(cheapest(&estimates(&[new])), None);
}

#[test]
fn what_strayed_goes_over_to_the_cheapest_that_promises_no_less() {
    let rated = estimates(&[HOT]);
    let of =
        |strategy| *rated.iter().find(|rated| rated.strategy == strategy).expect("it is rated");
    let chosen =
        Resolution::choose(Strategy::Optimistic, Strategy::Optimistic.alternatives(false), &rated);
    assert_eq!((chosen.chosen, chosen.why), (Strategy::Lock, Choice::Cheapest));
    let lock = of(Strategy::Lock);
    assert_eq!((chosen.conflict_ppm, chosen.latency_us), (lock.conflict_ppm, lock.latency_us));
    assert_eq!(chosen.own_latency_us, of(Strategy::Optimistic).latency_us);
    assert!(chosen.latency_us < chosen.own_latency_us);

    // What moves may be moved where it was not read, and is not where it was.
    let moved = estimates(&[Facts { moves: true, ..HOT }]);
    let choose = |unread| {
        let among = Strategy::Optimistic.alternatives(unread);
        Resolution::choose(Strategy::Optimistic, among, &moved).chosen
    };
    assert_eq!((choose(true), choose(false)), (Strategy::Rebase, Strategy::Lock));
    for strategy in Strategy::ALL {
        assert!(strategy.alternatives(false).iter().all(|other| match strategy {
            Strategy::Snapshot | Strategy::LastWriterWins => *other == strategy,
            Strategy::Rebase => !matches!(other, Strategy::Snapshot | Strategy::LastWriterWins),
            _ => matches!(other, Strategy::Optimistic | Strategy::Lock),
        }));
    }
}

#[test]
fn what_has_no_choice_or_no_estimate_keeps_its_own_strategy_and_says_why() {
    let rated = estimates(&[HOT]);
    let own = Strategy::Snapshot;
    let fixed = Resolution::choose(own, own.alternatives(true), &rated);
    assert_eq!((fixed.chosen, fixed.why), (own, Choice::Fixed));
    assert!(fixed.latency_us.is_some() && fixed.latency_us == fixed.own_latency_us);
    let named = Resolution::choose(Strategy::Optimistic, &[Strategy::Optimistic], &rated);
    assert_eq!((named.chosen, named.why), (Strategy::Optimistic, Choice::Fixed));
    for rated in [estimates(&[Facts { score_ppm: None, ..HOT }]), Vec::new()] {
        let own = Strategy::Adaptive;
        let unrated = Resolution::choose(own, own.alternatives(true), &rated);
        assert_eq!((unrated.chosen, unrated.why), (own, Choice::Unrated));
        assert_eq!((unrated.latency_us, unrated.own_latency_us), (None, None));
    }
}
