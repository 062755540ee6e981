//! Footprints add up in any order and grow apart with the steps that differ.

use crate::{
    delta::{Delta, Op},
    footprint::{Footprint, Token},
    key::Key,
    strategies_test::delta,
};
use alloc::{format, vec::Vec};
use proptest::{collection, prelude::*, sample::Index};

fn footprint(deltas: &[Delta]) -> Footprint {
    let mut footprint = Footprint::default();
    deltas.iter().for_each(|delta| footprint.add_delta(delta));
    footprint
}

proptest! {
    #[test]
    fn parts_sum_to_the_whole_in_any_order(
        deltas in collection::vec(delta(), 0..12), cut in any::<Index>()
    ) {
        let cut = cut.index(deltas.len() + 1);
        let (left, right) = (footprint(&deltas[..cut]), footprint(&deltas[cut..]));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.add(&right);
        other.add(&left);
        prop_assert_eq!(&one, &footprint(&deltas));
        prop_assert_eq!(&other, &one);
        let backwards: Vec<Delta> = deltas.into_iter().rev().collect();
        prop_assert_eq!(&footprint(&backwards), &one);
    }

    #[test]
    fn distance_is_symmetric_and_nothing_for_equals(
        a in collection::vec(delta(), 0..8), b in collection::vec(delta(), 0..8)
    ) {
        let (a, b) = (footprint(&a), footprint(&b));
        prop_assert_eq!(a.distance_squared(&b), b.distance_squared(&a));
        prop_assert_eq!(a.distance_squared(&a), 0);
    }
}

#[test]
fn distance_grows_with_the_steps_that_differ() {
    let step = |n: usize| Delta {
        key: Key::new(&format!("c{n}"), &format!("p{n}"), "").expect("valid"),
        op: Op::Delete,
    };
    let many: Vec<Delta> = (0..20).map(step).collect();
    let whole = footprint(&many);
    let distance = |kept: usize| whole.distance_squared(&footprint(&many[..kept]));
    assert!(distance(19) < distance(15) && distance(15) < distance(5));
}

#[test]
fn subtracting_a_prefix_leaves_the_remainder() {
    let step = |n: usize| Token::step(&format!("step {n}"));
    let sum = |steps: core::ops::Range<usize>| {
        let mut sum = Footprint::default();
        steps.for_each(|n| sum.add_token(step(n % 7)));
        sum
    };
    let mut rest = sum(0..20);
    rest.subtract(&sum(0..12));
    assert_eq!(rest, sum(12..20));
}
