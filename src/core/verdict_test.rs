//! Distances, spreads and scores in fixed point, and what policies make of verdicts.

use crate::{
    chain::Seal,
    expected::{Expected, STEP, Score},
    footprint::{Footprint, Token},
    hash::{Hash, Hasher},
    policy::Validation,
    tolerance::{OWN_DECISIONS_MIN, Tolerance},
    verdict::{Action, Conditions, Forecast, Judgement, Verdict, action, score},
};
use alloc::{format, vec::Vec};
use proptest::{collection, prelude::*};

fn footprint(steps: &[u8]) -> Footprint {
    let mut footprint = Footprint::default();
    steps.iter().for_each(|step| footprint.add_token(Token::step(&format!("step {step}"))));
    footprint
}

fn forecast(steps: &[u8], prefix: u64) -> Forecast {
    let footprint = Expected::from(&footprint(steps));
    Forecast { footprint, count: steps.len() as u64, prefix, spread: 0 }
}

proptest! {
    #[test]
    fn distance_is_nothing_for_what_was_expected_in_any_order(
        mut steps in collection::vec(0u8..20, 0..30)
    ) {
        let expected = Expected::from(&footprint(&steps));
        steps.reverse();
        prop_assert_eq!(expected.distance(&footprint(&steps)), 0);
    }

    #[test]
    fn distance_is_the_root_of_the_mean_square_over_the_rows(
        a in collection::vec(0u8..20, 0..30), b in collection::vec(0u8..20, 0..30)
    ) {
        let (a, b) = (footprint(&a), footprint(&b));
        let mut cells = [0i64; 256];
        a.cells().for_each(|(cell, sum)| cells[usize::from(cell)] += i64::from(sum));
        b.cells().for_each(|(cell, sum)| cells[usize::from(cell)] -= i64::from(sum));
        let squares: i64 = cells.iter().map(|cell| cell * cell).sum();
        let found = u128::from(Expected::from(&a).distance(&b));
        // found = floor(STEP * sqrt(squares / 4)), without a root.
        let exact = u128::from(squares.unsigned_abs()) << 30;
        prop_assert!(found * found <= exact && (found + 1) * (found + 1) > exact);
    }

    #[test]
    fn spread_grows_with_every_trouble_and_the_score_falls_with_it(
        rtt_us in 0u64..1_000_000, missing_partials in 0u32..100, in_flight in 0u32..1_000_000,
        distance in 0u64..100 * STEP
    ) {
        let forecast = forecast(&[1, 2, 3, 4], 2);
        let quiet = Conditions { rtt_us: 1_000, rtt_mean_us: 1_000, ..Conditions::default() };
        let rtt_us = rtt_us.max(1_000);
        let busy = Conditions { rtt_us, missing_partials, in_flight, ..quiet };
        prop_assert!(busy.spread(&forecast) >= quiet.spread(&forecast));
        let worse = Conditions { rtt_us: rtt_us * 2, ..busy };
        prop_assert!(worse.spread(&forecast) >= busy.spread(&forecast));
        let (low, high) = (score(distance, worse.spread(&forecast)), score(distance, 0));
        prop_assert!(low <= high && high == distance);
    }

    #[test]
    fn extremes_saturate_instead_of_wrapping(
        conditions in (any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>()),
        count in any::<u64>(), prefix in any::<u64>(), spread in any::<u64>(), sum in any::<i32>()
    ) {
        let (rtt_us, rtt_mean_us, missing_partials, in_flight) = conditions;
        let conditions = Conditions { rtt_us, rtt_mean_us, missing_partials, in_flight };
        let footprint = Expected::from_cells(&[sum; 256]);
        let forecast = Forecast { footprint, count, prefix, spread };
        let digest = Hasher::new("test").finish();
        let cells: Vec<(u8, i32)> = (0..=255).map(|cell| (cell, i32::MIN)).collect();
        let actual = Footprint::try_from(cells).expect("a footprint");
        let verdict = Verdict::judge(&forecast, &actual, conditions, u64::MAX, &digest);
        prop_assert!(verdict.valid && verdict.score <= verdict.distance + STEP);
    }
}

proptest! {
    #[test]
    fn way_leads_from_what_came_to_what_was_forecast_and_ends_there(
        steps in collection::vec(0u8..20, 1..30), more in collection::vec(0u8..20, 1..30),
        cut in 0usize..30
    ) {
        let from = footprint(&steps);
        let whole: Vec<u8> = steps.iter().chain(&more).copied().collect();
        let forecast = forecast(&whole, steps.len() as u64);
        let at = |done: usize| forecast.on_the_way(&from, (steps.len() + done) as u64);
        prop_assert_eq!(at(0).footprint.distance(&from), 0);
        let end = at(more.len());
        prop_assert_eq!(&end.footprint, &forecast.footprint);
        prop_assert_eq!(end, at(more.len()).clone());
        prop_assert_eq!(&at(more.len() + 7).footprint, &forecast.footprint, "it goes no farther");
        // Along it the distances to both ends add up to the whole, but for what is rounded.
        let done = cut.min(more.len());
        let way = at(done);
        prop_assert_eq!(way.count, (steps.len() + done) as u64);
        let whole = forecast.footprint.distance(&from);
        let gone = way.footprint.distance(&from);
        let due = whole * done as u64 / more.len() as u64;
        prop_assert!(gone.abs_diff(due) < STEP / 8, "{} of {}, not {}", gone, whole, due);
    }
}

#[test]
fn stream_that_leaves_its_way_is_invalid_before_its_end_and_one_that_keeps_it_is_not() {
    let digest = Hasher::new("test").finish();
    let forecast = forecast(&[1, 1, 1, 1, 1, 1, 1, 1], 2);
    let from = footprint(&[1, 1]);
    let judge = |steps: &[u8]| {
        let way = forecast.on_the_way(&from, steps.len() as u64);
        Verdict::judge(&way, &footprint(steps), Conditions::default(), STEP, &digest)
    };
    assert!(judge(&[1, 1, 1, 1]).valid);
    let left = judge(&[1, 1, 7, 7]);
    assert!(!left.valid && left.prefix == 2, "{left:?}");
    // Two steps of one kind where two of another were due.
    assert!(left.distance.abs_diff(STEP * 2828 / 1000) < STEP / 8, "{left:?}");
}

/// What is tolerated of sealed streams is of another scale than these scores: with it alone all of
/// the looks would be alarms.
#[test]
fn looks_at_running_streams_are_alarms_at_their_own_rate_once_there_were_enough() {
    let (forecast, from) = (forecast(&[1; 40], 2), footprint(&[1, 1]));
    let mut looks = Tolerance::default();
    let mut strayed = Vec::new();
    for nth in 0..3_000u64 {
        let head = Hasher::new("test").u64(nth).finish();
        let others = usize::from(head.0[5] % 32);
        let now: Vec<u8> = [1; 8].into_iter().chain((0..others).map(|_| 7)).collect();
        let (count, conditions) = (now.len() as u64, Conditions::default());
        let seal = Seal { seed: Hash::ZERO, count, head };
        let way = forecast.on_the_way(&from, count);
        let given = (&footprint(&now), &seal);
        let judged = Judgement::on_the_way(&mut looks, 1, way, (conditions, STEP / 16), given);
        strayed.push(!judged.verdict.valid);
    }
    let per_mille = |of: &[bool]| 1_000 * of.iter().filter(|strayed| **strayed).count() / of.len();
    let (first, rest) = strayed.split_at(OWN_DECISIONS_MIN as usize);
    let by_sealed = per_mille(first);
    assert!(by_sealed > 900, "by what is tolerated of sealed ones: {by_sealed}");
    assert!(per_mille(rest).abs_diff(50) < 10, "{}", per_mille(rest));
}

#[test]
fn step_more_than_expected_is_about_one_step_away() {
    let forecast = forecast(&[1, 2, 3], 3);
    let distance = forecast.footprint.distance(&footprint(&[1, 2, 3, 9]));
    assert_eq!(distance, STEP);
}

#[test]
fn verdict_holds_all_that_it_was_made_from() {
    let forecast = forecast(&[1, 2, 3, 4], 1);
    let digest = Hasher::new("test").finish();
    let conditions = Conditions { in_flight: 7, ..Conditions::default() };
    let verdict = Verdict::judge(&forecast, &footprint(&[5, 6]), conditions, STEP, &digest);
    assert!(!verdict.valid && verdict.prefix == 1 && verdict.conditions == conditions);
    let again = score(verdict.distance, verdict.spread);
    assert!(verdict.score > again && verdict.score <= again + STEP / 16);
    assert_eq!(verdict.valid, verdict.score <= verdict.tolerance);
}

#[test]
fn policies_act_on_invalid_verdicts_alone() {
    let digest = Hasher::new("test").finish();
    let judge = |steps: &[u8], tolerance| {
        let actual = footprint(steps);
        let forecast = forecast(&[1, 2], 1);
        Verdict::judge(&forecast, &actual, Conditions::default(), tolerance, &digest)
    };
    let (valid, invalid) = (judge(&[1, 3], 9 * STEP), judge(&[1, 3, 3], STEP / 8));
    assert!(valid.valid && !invalid.valid);
    for validation in [Validation::Observe, Validation::Resolve, Validation::Enforce] {
        assert_eq!(action(validation, &valid), Action::Proceed);
    }
    assert_eq!(action(Validation::Observe, &invalid), Action::Proceed);
    assert_eq!(action(Validation::Resolve, &invalid), Action::Wait);
    assert_eq!(action(Validation::Enforce, &invalid), Action::RollBack);
    assert_eq!(action(Validation::Quarantine, &invalid), Action::RollBack);
    for validation in Validation::ALL {
        assert_eq!(action(validation, &judge(&[1, 2], 0)), Action::Proceed);
    }
}

#[test]
fn nothing_invalid_passes_where_that_is_refused_and_no_distance_is_valid() {
    let digest = Hasher::new("test").finish();
    for steps in [&[1, 2][..], &[2, 1], &[1, 2, 3], &[]] {
        for tolerance in [0, STEP / 16, STEP, Score::MAX] {
            let actual = footprint(steps);
            let conditions = Conditions::default();
            let forecast = forecast(&[1, 2], 1);
            let verdict = Verdict::judge(&forecast, &actual, conditions, tolerance, &digest);
            let exact = verdict.distance == 0;
            assert_eq!(exact, steps.len() == 2);
            assert_eq!(verdict.valid, exact || verdict.score <= tolerance, "{verdict:?}");
            assert!(verdict.score > 0, "ties keep alarms to their rate: {verdict:?}");
            for validation in [Validation::Enforce, Validation::Quarantine] {
                let refused = action(validation, &verdict) == Action::RollBack;
                assert_eq!(refused, !verdict.valid, "{validation:?} and {verdict:?}");
            }
        }
    }
}
