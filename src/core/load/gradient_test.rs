//! The limit follows how long transactions take, and how often they conflict.

use super::{
    gradient::{Gradient, Seen},
    limits::LoadLimits,
};

fn limits() -> LoadLimits {
    LoadLimits { places_first: 200, places_min: 10, places_max: 1_000, ..LoadLimits::simulation() }
}

/// A window in which all places were taken.
fn full(gradient: &Gradient, mean_us: u64) -> Seen {
    let ended = 100;
    Seen { ended, took_us: ended * mean_us, inside: gradient.places(), ..Seen::default() }
}

fn after(gradient: &mut Gradient, windows: usize, seen: impl Fn(&Gradient) -> Seen) -> u32 {
    for _ in 0..windows {
        let seen = seen(gradient);
        gradient.observe(seen);
    }
    gradient.places()
}

#[test]
fn limit_grows_while_transactions_take_what_they_usually_do() {
    let mut gradient = Gradient::new(&limits());
    assert!(after(&mut gradient, 100, |known| full(known, 1_000)) > 250);
    assert_eq!(after(&mut gradient, 2_000, |known| full(known, 1_000)), 1_000);
}

#[test]
fn limit_falls_to_its_least_while_they_take_far_longer_and_comes_back() {
    let mut gradient = Gradient::new(&limits());
    after(&mut gradient, 10, |known| full(known, 1_000));
    let overloaded = |known: &Gradient| Seen { overload: true, ..full(known, 10_000) };
    assert!(after(&mut gradient, 50, overloaded) <= 12);
    assert!(after(&mut gradient, 300, |known| full(known, 1_000)) > 60);
}

#[test]
fn overload_does_not_soon_become_the_usual() {
    let mut gradient = Gradient::new(&limits());
    after(&mut gradient, 10, |known| full(known, 1_000));
    let overloaded = |known: &Gradient| Seen { overload: true, ..full(known, 3_000) };
    let (low, later) =
        (after(&mut gradient, 60, overloaded), after(&mut gradient, 600, overloaded));
    assert!(low < 20 && later < 20, "{low}, {later}");
    let mut slow = Gradient::new(&limits());
    after(&mut slow, 10, |known| full(known, 1_000));
    assert!(after(&mut slow, 660, |known| full(known, 3_000)) > 100, "without one it does");
}

#[test]
fn limit_stays_while_half_of_it_would_do() {
    let mut gradient = Gradient::new(&limits());
    let few = |mean_us| move |known: &Gradient| Seen { inside: 99, ..full(known, mean_us) };
    assert_eq!(after(&mut gradient, 50, few(1_000)), 200);
    assert_eq!(after(&mut gradient, 50, few(50_000)), 200);
}

#[test]
fn limit_falls_when_conflicts_rise_and_not_where_there_always_were_as_many() {
    let conflicting =
        |of_hundred| move |known: &Gradient| Seen { conflicts: of_hundred, ..full(known, 1_000) };
    let mut gradient = Gradient::new(&limits());
    after(&mut gradient, 10, conflicting(0));
    let before = gradient.places();
    assert!(after(&mut gradient, 30, conflicting(60)) < before / 2);
    let mut used_to = Gradient::new(&limits());
    assert!(after(&mut used_to, 30, conflicting(60)) > 200);
}

#[test]
fn exhausted_machine_gives_no_more_places_in_an_overload() {
    let mut gradient = Gradient::new(&limits());
    let exhausted =
        |known: &Gradient| Seen { overload: true, exhausted: true, ..full(known, 1_000) };
    assert_eq!(after(&mut gradient, 50, exhausted), 200);
}

#[test]
fn absurd_times_do_no_harm() {
    let mut gradient = Gradient::new(&limits());
    let absurd = |known: &Gradient| Seen { ended: 1, took_us: u64::MAX, ..full(known, 0) };
    after(&mut gradient, 50, absurd);
    let places = after(&mut gradient, 50, |known| Seen { took_us: 0, ..full(known, 0) });
    assert!((10..=1_000).contains(&places), "{places}");
}
