//! The tolerance keeps its rate of alarms whatever the scores do, and is the same fold everywhere.
//!
//! The histories come from a generator with a fixed seed: transactions of several classes whose
//! scores are mostly 0 or of a few sizes, as scores of forecasts are, under drift, a change of
//! scale and a network in trouble.

use crate::{
    codec,
    expected::{STEP, Score},
    hash::Hasher,
    tolerance::{CLASSES_MAX, DECISIONS_MIN, Tolerance, with_tie},
};
use alloc::{vec, vec::Vec};
use proptest::{collection, prelude::*, sample::Index};

/// What happens to scores on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Course {
    Steady,
    /// Forecasts are exact but for one in fifty.
    NearlyExact,
    /// All scores are continuous.
    Smooth,
    /// They grow by a half every thousand transactions, up to a bound, then fall.
    Drift,
    /// They are three times as large from the middle on.
    Scale,
    /// For 300 transactions of every 2,000 they are heavy-tailed.
    Trouble,
}

const COURSES: [Course; 6] = [
    Course::Steady,
    Course::NearlyExact,
    Course::Smooth,
    Course::Drift,
    Course::Scale,
    Course::Trouble,
];

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// One transaction: its class and its score with the tie broken.
fn transactions(course: Course, count: u64, classes: u64, seed: u64) -> Vec<(u64, Score)> {
    let mut random = Random(seed);
    let one = |at: u64| {
        let class = random.below(classes) * random.below(2);
        let base = match course {
            Course::NearlyExact if random.below(50) > 0 => 0,
            Course::Smooth => random.below(STEP) + random.below(STEP) * class,
            // Two in three are exact, the others off by one to eight, fewer and fewer.
            _ if random.below(3) > 0 => 0,
            _ => (1 + u64::from(random.next().trailing_zeros().min(7))) * STEP / (1 + class % 3),
        };
        let percent = match course {
            Course::Drift => 100 + (at % 8_000).min(8_000 - at % 8_000) / 20,
            Course::Scale if at >= count / 2 => 300,
            Course::Trouble if at % 2_000 < 300 => 100 + (1 << random.below(12)),
            _ => 100,
        };
        let digest = Hasher::new("test").u64(at).u64(seed).finish();
        (class, with_tie(base * percent / 100, &digest))
    };
    (0..count).map(one).collect()
}

fn alarms(tolerance: &mut Tolerance, transactions: &[(u64, Score)]) -> Vec<bool> {
    transactions.iter().map(|(class, score)| tolerance.fold(*class, *score)).collect()
}

fn count(alarms: &[bool]) -> i64 {
    alarms.iter().filter(|alarm| **alarm).count() as i64
}

/// The fewest and the most alarms in 500 consecutive decisions.
fn windows(alarms: &[bool]) -> (i64, i64) {
    let counts: Vec<i64> = alarms.windows(500).map(count).collect();
    (*counts.iter().min().expect("enough"), *counts.iter().max().expect("enough"))
}

#[test]
fn alarms_keep_their_rate_in_every_window_whatever_the_scores_do() {
    for course in COURSES {
        for (classes, seed) in [(1, 1), (1, 2), (3, 3), (12, 4), (60, 5)] {
            let mut tolerance = Tolerance::default();
            let alarms = alarms(&mut tolerance, &transactions(course, 24_000, classes, seed));
            let said = alloc::format!("{course:?}, {classes} classes, seed {seed}");
            for n in [1_000, 3_000, 12_000, 24_000] {
                // Within one point after 1,000, half a point from 3,000 on: in alarms.
                let off = (count(&alarms[..n]) * 20 - n as i64).abs() / 20;
                let bound = if n < 3_000 { n as i64 / 100 } else { n as i64 / 200 };
                assert!(off <= bound, "{said}: {off} alarms off after {n}");
            }
            let (fewest, most) = windows(&alarms);
            assert!(fewest >= 13 && most <= 37, "{said}: {fewest} to {most} alarms in 500");
        }
    }
}

#[test]
fn alarms_are_back_to_their_rate_within_500_decisions_of_a_threefold_scale() {
    for seed in 1..=8 {
        let transactions = transactions(Course::Scale, 8_000, 1, seed);
        let alarms = alarms(&mut Tolerance::default(), &transactions);
        let after = count(&alarms[4_500..5_000]);
        assert!((13..=37).contains(&after), "seed {seed}: {after} alarms in the second 500");
    }
}

#[test]
fn alarms_are_those_of_large_scores_when_scores_are_smooth() {
    let transactions = transactions(Course::Smooth, 20_000, 1, 7);
    let mut tolerance = Tolerance::default();
    let alarms = alarms(&mut tolerance, &transactions);
    let judged = transactions.iter().zip(&alarms).skip(2_000);
    let (mut large, mut small) = (0, 0);
    for ((_, score), alarm) in judged {
        let low = *score < STEP * 8 / 10;
        large += i64::from(*alarm && !low);
        small += i64::from(*alarm && low);
    }
    assert!(large > small * 9, "{large} alarms above the 80 % quantile, {small} below");
}

/// The broken variant of [`with_tie`]: none.
#[test]
fn without_broken_ties_the_rate_is_that_of_forecasts_that_fail() {
    let untied = transactions(Course::NearlyExact, 6_000, 1, 3).into_iter();
    let untied: Vec<(u64, Score)> =
        untied.map(|(class, score)| (class, score / (STEP / 16) * (STEP / 16))).collect();
    let alarms = alarms(&mut Tolerance::default(), &untied);
    assert!(count(&alarms) < 6_000 / 30, "{} alarms of 300", count(&alarms));
}

#[test]
fn exact_forecasts_are_alarms_only_where_hardly_anything_else_happens() {
    let digest = Hasher::new("test").finish();
    let steady = transactions(Course::Steady, 6_000, 1, 3);
    let mut tolerance = Tolerance::default();
    let alarms = alarms(&mut tolerance, &steady);
    let exact = steady.iter().zip(&alarms).skip(1_000).filter(|((_, score), _)| *score < STEP / 16);
    assert_eq!(exact.filter(|(_, alarm)| **alarm).count(), 0);
    assert!(with_tie(0, &digest) > 0 && with_tie(0, &digest) < STEP / 16);
}

proptest! {
    #[test]
    fn fold_is_the_same_in_any_batching_and_across_restarts(
        scores in collection::vec((0u64..5, 0u64..20 * STEP), 1..400), cut in any::<Index>()
    ) {
        let cut = cut.index(scores.len());
        let mut whole = Tolerance::default();
        let expected = alarms(&mut whole, &scores);
        let mut part = Tolerance::default();
        let mut found = alarms(&mut part, &scores[..cut]);
        let bytes = codec::encode(&part);
        let mut again: Tolerance = codec::decode(&bytes).expect("what was encoded");
        found.extend(alarms(&mut again, &scores[cut..]));
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(&again, &whole);
    }

    #[test]
    fn class_of_its_own_does_not_depend_on_how_others_interleave(
        own in collection::vec(1u64..20 * STEP, 300), other in collection::vec(1u64..20 * STEP, 300)
    ) {
        let (mut one, mut two) = (Tolerance::default(), Tolerance::default());
        for (a, b) in own.iter().zip(&other) {
            one.fold(1, *a);
            one.fold(2, *b);
        }
        own.iter().for_each(|score| { two.fold(1, *score); });
        other.iter().for_each(|score| { two.fold(2, *score); });
        prop_assert_eq!(one.tracked(1), two.tracked(1));
        prop_assert_eq!(one.tracked(2), two.tracked(2));
    }

    #[test]
    fn first_few_count_the_same_in_whatever_order_they_are_decided(
        scores in collection::vec((0u64..3, 1u64..50 * STEP), 1..=DECISIONS_MIN as usize),
        swaps in collection::vec((0usize..64, 0usize..64), 0..64)
    ) {
        let mut other = scores.clone();
        for (a, b) in swaps {
            let count = other.len();
            other.swap(a % count, b % count);
        }
        let (mut one, mut two) = (Tolerance::default(), Tolerance::default());
        prop_assert_eq!(count(&alarms(&mut one, &scores)), 0);
        prop_assert_eq!(count(&alarms(&mut two, &other)), 0);
        prop_assert_eq!(one.decisions(), two.decisions());
        for class in 0..3 {
            prop_assert_eq!(one.tracked(class), two.tracked(class));
            prop_assert_eq!(one.threshold(class), two.threshold(class));
        }
    }

    #[test]
    fn fixed_point_follows_the_same_rule_in_floats(
        scores in collection::vec(1u64..50 * STEP, 30..600)
    ) {
        let mut tolerance = Tolerance::default();
        let mut reference = reference::Tracker::default();
        for score in &scores {
            // Both are judged by the fixed-point values: what is compared is arithmetic.
            let alarm = *score > tolerance.own_threshold(0);
            let above = *score > tolerance.tracked(0).1;
            tolerance.fold(0, *score);
            reference.fold(*score, alarm, above);
            let (quantile, scale) = tolerance.tracked(0);
            let close = |found: u64, expected: i64| {
                (found as i64 - expected).abs() <= 64 + scores.len() as i64
            };
            prop_assert!(close(quantile, reference.quantile()), "{quantile}, {reference:?}");
            prop_assert!(close(scale, reference.scale()), "{scale}, {reference:?}");
        }
    }

    #[test]
    fn extremes_saturate_and_are_recovered_from(
        extremes in collection::vec(prop_oneof![Just(u64::MAX), Just(0), any::<u64>()], 0..300)
    ) {
        let mut tolerance = Tolerance::default();
        extremes.iter().for_each(|score| { tolerance.fold(0, *score); });
        let usual = vec![(0, STEP); 4_000];
        let alarms = alarms(&mut tolerance, &usual);
        prop_assert!(count(&alarms) > 0, "after extremes nothing is an alarm any more");
    }
}

#[test]
fn classes_without_number_keep_the_state_bounded() {
    let mut tolerance = Tolerance::default();
    let scores: Vec<(u64, Score)> = (0..5_000).map(|class| (class, STEP)).collect();
    alarms(&mut tolerance, &scores);
    assert!(codec::encode(&tolerance).len() < 60 * CLASSES_MAX);
}

/// The rule of the file's head once more, with rationals in place of fixed point, rounded late.
mod reference {
    /// Sums in units of a 2^-20th of a score.
    #[derive(Debug, Default)]
    pub(super) struct Tracker {
        decisions: u64,
        quantile: i128,
        scale: i128,
    }

    const FINE: i128 = 1 << 20;

    impl Tracker {
        pub(super) fn fold(&mut self, score: u64, alarm: bool, above: bool) {
            self.decisions += 1;
            let score = i128::from(score) * FINE;
            if self.decisions <= 20 {
                self.quantile = self.quantile.max(score);
                self.scale = self.scale.max(score);
                return;
            }
            let rate = if alarm { 95 } else { -5 };
            self.quantile = (self.quantile + self.scale * rate / 2_000).max(0);
            self.scale = match above {
                true => (self.scale + score / 20).min(score),
                false => self.scale - self.scale / 2_000,
            };
        }

        pub(super) fn quantile(&self) -> i64 {
            (self.quantile / FINE) as i64
        }

        pub(super) fn scale(&self) -> i64 {
            (self.scale / FINE) as i64
        }
    }
}
