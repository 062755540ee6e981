//! The geometric median of remainders.

use vatic_core::footprint::{Footprint, Token};

use super::Prefix;
use super::median::{Atom, outlook};
use super::process_test::stream;
use super::remainder::Remainder;

fn remainder(names: &[u32]) -> Remainder {
    Remainder::of(Prefix { class: 0, steps: &stream(names, 0) })
}

fn footprint(names: &[u32]) -> Footprint {
    let mut sum = Footprint::default();
    names.iter().for_each(|name| sum.add_token(Token::step(&name.to_string())));
    sum
}

#[test]
fn remainder_with_half_of_the_weight_is_forecast_exactly() {
    let (one, other, third) = (remainder(&[1, 2]), remainder(&[3]), remainder(&[4, 4, 4]));
    let atoms = [(&one, 0.5), (&other, 0.3), (&third, 0.2)];
    let atoms = atoms.map(|(remainder, weight)| Atom { remainder, weight });
    let seen = stream(&[0], 0);
    let outlook = outlook(Prefix { class: 0, steps: &seen }, &atoms);
    assert!(outlook.distance(&footprint(&[0, 1, 2])) < 1e-9);
    assert!(outlook.spread > 0.5 && outlook.count == 3.0);
}

#[test]
fn median_costs_no_more_than_any_remainder_nor_the_mean() {
    let remainders: Vec<Remainder> =
        (0..12u32).map(|n| remainder(&[n % 5, n % 3 + 5, n % 4, n])).collect();
    let weight = |n: usize| 1.0 + n as f64 / 7.0;
    let atoms: Vec<Atom<'_>> = remainders
        .iter()
        .enumerate()
        .map(|(n, remainder)| Atom { remainder, weight: weight(n) })
        .collect();
    let seen = stream(&[50, 51], 0);
    let prefix = Prefix { class: 0, steps: &seen };
    let whole = |remainder: &Remainder| {
        let mut whole = prefix.footprint();
        whole.add(&remainder.footprint);
        whole
    };
    let cost = |of: &dyn Fn(&Footprint) -> f64| -> f64 {
        let each = remainders.iter().enumerate();
        each.map(|(n, remainder)| weight(n) * of(&whole(remainder))).sum()
    };
    let found = outlook(prefix, &atoms);
    let least = cost(&|actual| found.relative_error(actual));
    for atom in &atoms {
        let one = outlook(prefix, &[*atom]);
        assert!(least <= cost(&|actual| one.relative_error(actual)) * 1.001);
    }
    let mut mean = found.clone();
    *mean.cells = [0.0; 256];
    let total: f64 = (0..remainders.len()).map(weight).sum();
    for (n, remainder) in remainders.iter().enumerate() {
        super::stream::add_cells(&mut mean.cells, &whole(remainder), weight(n) / total);
    }
    assert!(least <= cost(&|actual| mean.relative_error(actual)) * 1.001);
}

#[test]
fn nothing_known_forecasts_nothing_more() {
    let seen = stream(&[1, 1, 2], 0);
    let outlook = outlook(Prefix { class: 0, steps: &seen }, &[]);
    assert_eq!((outlook.count, outlook.spread), (3.0, 0.0));
    assert!(outlook.distance(&footprint(&[1, 1, 2])) < 1e-9);
}
