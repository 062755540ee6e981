//! A process with choices, loops and habits of its users, from a fixed seed: a log that no
//! forecaster was made for.

use std::sync::Arc;

use vatic_core::footprint::{Footprint, Token};

use super::{Panel, Prefix, Step, Symbol, ask_at};

/// splitmix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A stream of steps that are named by numbers, one a minute.
pub(super) fn stream(names: &[u32], user: u32) -> Vec<Step> {
    let step = |(at, name): (usize, &u32)| {
        let mut footprint = Footprint::default();
        footprint.add_token(Token::step(&name.to_string()));
        let at_us = at as i64 * 60_000_000;
        Step { symbol: Symbol(*name), user, at_us, footprint: Arc::new(footprint) }
    };
    names.iter().enumerate().map(step).collect()
}

/// Receive; check, up to five times; then one of two branches, by the user's habit; work in a loop
/// whose length the first check tells; close, some with an appeal. `late` turns the habits round.
pub(super) fn case(random: &mut Random, late: bool) -> Vec<Step> {
    let user = random.below(6) as u32;
    let hard = random.chance(35);
    let mut names = vec![0, if hard { 1 } else { 2 }];
    while random.chance(30) && names.len() < 6 {
        names.extend([3, if hard { 1 } else { 2 }]);
    }
    let branch = (user < 3) != late;
    names.extend(if branch { [4, 5].iter() } else { [6, 7, 8].iter() });
    for _ in 0..if hard { 3 + random.below(2) } else { 1 } {
        names.extend(if random.chance(20) { [9, 10].iter() } else { [9].iter() });
    }
    names.extend([11, 12]);
    if random.chance(8) {
        names.extend([13, 9, 14, 12]);
    }
    stream(&names, user)
}

/// Learns cases with forecasts at 1, 2, 4, 8, ...; returns the mean errors on further ones.
fn errors(learn: &[Vec<Step>], test: &[Vec<Step>]) -> (Panel, Vec<f64>) {
    let mut panel = Panel::default();
    for steps in learn {
        let whole = Prefix { class: 0, steps };
        let asked = (1..steps.len()).filter(|at| ask_at(*at));
        let made: Vec<_> = asked.map(|at| panel.forecast_all(whole.first(at))).collect();
        panel.learn(whole, &made);
    }
    let mut sums = vec![0.0; panel.names().len()];
    let mut count = 0.0;
    for steps in test {
        let whole = Prefix { class: 0, steps };
        let actual = whole.footprint();
        for quarters in 1..=3 {
            let made = panel.forecast_all(whole.first((steps.len() * quarters / 4).max(1)));
            let errors = made.outlooks.iter().map(|outlook| outlook.relative_error(&actual));
            sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error);
            count += 1.0;
        }
    }
    (panel, sums.iter().map(|sum| sum / count).collect())
}

fn cases(count: usize, seed: u64, late: bool) -> Vec<Vec<Step>> {
    let mut random = Random(seed);
    (0..count).map(|_| case(&mut random, late)).collect()
}

fn of(panel: &Panel, errors: &[f64], name: &str) -> f64 {
    errors[panel.names().iter().position(|other| *other == name).expect("a forecaster")]
}

#[test]
fn blend_is_ahead_of_every_baseline_on_a_process_with_loops_and_choices() {
    let (panel, errors) = errors(&cases(800, 1, false), &cases(150, 2, false));
    let blend = of(&panel, &errors, "blend");
    let said = format!("{:?} {errors:?}", panel.names());
    assert!(blend <= of(&panel, &errors, "knn") * 1.01, "{said}");
    for baseline in ["persistence", "class_median", "markov"] {
        assert!(blend < of(&panel, &errors, baseline) * 0.8, "{said}");
    }
    assert!(["blend", "knn"].contains(&panel.names()[panel.champion()]), "{said}");
}

#[test]
fn blend_follows_a_process_that_changes_its_habits() {
    let mut learn = cases(800, 3, false);
    learn.extend(cases(300, 4, true));
    let test = cases(150, 5, true);
    let (panel, changed) = errors(&learn, &test);
    let (_, fresh) = errors(&cases(800, 6, true), &test);
    let (after, best) = (of(&panel, &changed, "blend"), of(&panel, &fresh, "blend"));
    assert!(after < best * 1.15, "{after} after the change, {best} when there never was one");
}
