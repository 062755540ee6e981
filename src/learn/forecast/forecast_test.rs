//! What every forecaster owes, whatever it learnt.

use super::context::Table;
use super::process_test::{Random, case, stream};
use super::{
    Blend, ClassMedian, Forecaster, MarkovReward, Nearest, Panel, Persistence, Prefix, Step,
};
use vatic_core::expected::STEP;

fn all() -> Vec<Box<dyn Forecaster>> {
    vec![
        Box::new(Persistence),
        Box::new(ClassMedian::default()),
        Box::new(MarkovReward::default()),
        Box::new(Nearest::default()),
        Box::new(Blend::default()),
    ]
}

fn cases(count: usize, seed: u64) -> Vec<Vec<Step>> {
    let mut random = Random(seed);
    (0..count).map(|_| case(&mut random, false)).collect()
}

#[test]
fn forecast_contains_its_prefix_and_says_its_length() {
    for mut forecaster in all() {
        for steps in cases(150, 1) {
            let whole = Prefix { class: 7, steps: &steps };
            for at in 1..=steps.len() {
                let prefix = whole.first(at);
                let outlook = forecaster.forecast(prefix);
                let name = forecaster.name();
                assert_eq!(outlook.prefix, at, "{name}");
                assert!(outlook.count >= at as f64 && outlook.spread >= 0.0, "{name}");
                for (symbol, number) in prefix.counts() {
                    assert!(outlook.steps[&symbol] >= number, "{name} takes a step back");
                }
            }
            forecaster.learn(whole);
        }
    }
}

#[test]
fn process_without_choices_is_forecast_exactly_by_all_that_learn() {
    let steps = stream(&[0, 1, 2, 3, 4, 5, 6, 7], 3);
    let whole = Prefix { class: 1, steps: &steps };
    for mut forecaster in all().into_iter().skip(1) {
        (0..60).for_each(|_| forecaster.learn(whole));
        for at in 1..steps.len() {
            let outlook = forecaster.forecast(whole.first(at));
            assert_eq!(outlook.steps, whole.counts(), "{} from {at}", forecaster.name());
            assert!(outlook.relative_error(&whole.footprint()) < 1e-6, "{}", forecaster.name());
            assert_eq!(outlook.fixed().footprint.distance(&whole.footprint()), 0);
        }
    }
}

#[test]
fn persistence_forecasts_the_prefix_and_is_exact_at_the_end() {
    let steps = stream(&[4, 4, 2], 0);
    let whole = Prefix { class: 1, steps: &steps };
    assert_eq!(Persistence.forecast(whole.first(2)).steps, whole.first(2).counts());
    assert_eq!(Persistence.forecast(whole).fixed().footprint.distance(&whole.footprint()), 0);
}

#[test]
fn same_streams_give_the_same_forecasts() {
    let (mut one, mut other) = (Panel::default(), Panel::default());
    let streams = cases(200, 9);
    for steps in &streams {
        let whole = Prefix { class: 0, steps };
        let (a, b) = (one.forecast_all(whole.first(1)), other.forecast_all(whole.first(1)));
        assert_eq!(a.outlooks, b.outlooks);
        one.learn(whole, &[a]);
        other.learn(whole, &[b]);
    }
    assert_eq!(one.errors(), other.errors());
}

#[test]
fn table_forgets_the_oldest_and_all_that_only_it_held() {
    let mut table = Table::default();
    let long = stream(&(0..600).collect::<Vec<u32>>(), 0);
    table.learn(Prefix { class: 0, steps: &long });
    let short = stream(&[1, 2], 0);
    (0..9_000).for_each(|_| table.learn(Prefix { class: 0, steps: &short }));
    let (streams, positions, remainders) = table.kept();
    assert_eq!((streams, positions, remainders), (8_192, 8_192, 1));
}

#[test]
fn stream_on_its_way_has_not_strayed_and_another_has_by_its_other_steps() {
    let steps = stream(&[1; 8], 0);
    let whole = Prefix { class: 1, steps: &steps };
    let mut forecaster = Blend::default();
    (0..60).for_each(|_| forecaster.learn(whole));
    let from = whole.first(2).footprint();
    let forecast = forecaster.forecast(whole.first(2)).fixed();
    let strayed = |now: Prefix<'_>| {
        let way = forecast.on_the_way(&from, now.steps.len() as u64);
        way.footprint.distance(&now.footprint()) as f64 / STEP as f64
    };
    for at in 2..=8 {
        let strayed = strayed(whole.first(at));
        assert!(strayed < 1e-2, "{strayed} after {at}");
    }
    let other = stream(&[1, 1, 5, 5], 0);
    let by = strayed(Prefix { class: 1, steps: &other });
    assert!((2.0..4.0).contains(&by), "two steps were others: {by}");
    let beyond = stream(&[1; 11], 0);
    let by = strayed(Prefix { class: 1, steps: &beyond });
    assert!((by - 3.0).abs() < 1e-2, "three steps too many: {by}");
}
