//! Who is champion, and of what.

use super::process_test::stream;
use super::{Forecaster, Outlook, Panel, Persistence, Prefix, Symbol};

/// Forecasts that one certain step comes once more.
struct OneMore(Symbol);

impl Forecaster for OneMore {
    fn name(&self) -> &'static str {
        "one_more"
    }

    fn learn(&mut self, _: Prefix<'_>) {}

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        let mut steps = prefix.steps.to_vec();
        steps.extend(stream(&[self.0.0], 0));
        Outlook::finished(Prefix { class: prefix.class, steps: &steps })
    }
}

#[test]
fn champion_is_whoever_errs_least_in_a_class_and_new_classes_follow_that_of_all() {
    let mut panel = Panel::new(vec![Box::new(Persistence), Box::new(OneMore(Symbol(5)))]);
    let (with, without) = (stream(&[1, 5], 0), stream(&[1], 0));
    for _ in 0..200 {
        for (class, steps) in [(1, &with), (1, &with), (2, &without)] {
            let whole = Prefix { class, steps };
            let made = panel.forecast_all(whole.first(1));
            panel.learn(whole, &[made]);
        }
    }
    let champions = [1, 2, 3].map(|class| panel.names()[panel.champion_of(class)]);
    assert_eq!(champions, ["one_more", "persistence", "one_more"]);
    let next = panel.forecast(Prefix { class: 1, steps: &without });
    assert_eq!(next.count, 2.0);
}

#[test]
fn errors_count_only_what_was_forecast_before_it_was_learnt() {
    let mut panel = Panel::default();
    let steps = stream(&[1, 2, 3], 0);
    let whole = Prefix { class: 0, steps: &steps };
    let made = panel.forecast_all(whole.first(1));
    panel.learn(whole, &[made]);
    // Nobody could know better than that nothing follows.
    let errors = panel.errors();
    assert!(errors.iter().all(|error| (error - errors[0]).abs() < 1e-9 && *error > 0.5));
    let better = panel.forecast_all(whole.first(1));
    assert!(better.outlooks.last().is_some_and(|last| last.steps == whole.counts()));
}
