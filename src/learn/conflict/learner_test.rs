//! The rules of the loop: what promotes, what takes back, and what must not make things worse.

use vatic_core::conflict::{Feature, Features, Group};

use super::learner::{Learner, Mode};
use super::random::Random;
use super::rules::Rules;
use super::sample::Sample;

/// A world: conflict log-odds by hotness and by writers in flight.
#[derive(Clone, Copy)]
struct World {
    hotness: f64,
    writers: f64,
    bias: f64,
}

const CALM: World = World { hotness: 1.0, writers: 1.5, bias: -1.5 };

fn sample(random: &mut Random, world: World) -> Sample {
    let mut features = Features::default();
    let mut value = |feature: Feature| {
        let value = 4.0 * random.unit() - 2.0;
        features.dense[feature as usize] = (value * 65_536.0) as i32;
        value
    };
    let sum = world.hotness * value(Feature::RecordHeatMax)
        + world.writers * value(Feature::WritersSum)
        + world.bias;
    let conflict = random.unit() < 1.0 / (1.0 + (-sum).exp());
    Sample { features, conflict, propensity_ppm: 1_000_000, stands_for: 1, at_us: 0 }
}

fn fed(learner: &mut Learner, random: &mut Random, world: World, labels: usize) {
    (0..labels).for_each(|_| learner.learn(sample(random, world)));
}

/// Mean log-loss on labels of `world` that are not learnt.
fn loss(learner: &Learner, world: World) -> f64 {
    let mut random = Random::new(99);
    let losses = (0..2_000).map(|_| {
        let sample = sample(&mut random, world);
        let p = f64::from(learner.model().score(&sample.features)) / 1e6;
        super::measure::log_loss(p, sample.conflict)
    });
    losses.sum::<f64>() / 2_000.0
}

fn learner() -> (Learner, Random) {
    (Learner::new(Rules::simulation(), 1), Random::new(7))
}

#[test]
fn without_enough_labels_the_running_rate_is_said() {
    let (mut learner, mut random) = learner();
    assert_eq!(
        (learner.mode(), learner.model().score(&Features::default())),
        (Mode::Prior, 500_000)
    );
    fed(&mut learner, &mut random, CALM, 99);
    assert_eq!((learner.mode(), learner.status().version), (Mode::Prior, 0));
    fed(&mut learner, &mut random, CALM, 300);
    assert_eq!(learner.mode(), Mode::Full);
    assert!(loss(&learner, CALM) < 0.46, "{}", loss(&learner, CALM));
}

/// All at once it is fitted once, and comes to about the same.
#[test]
fn past_that_is_recalled_gives_a_model_at_once() {
    let (mut learner, mut random) = learner();
    learner.recall((0..99).map(|_| sample(&mut random, CALM)).collect());
    assert_eq!((learner.mode(), learner.status().labels), (Mode::Prior, 99));
    learner.recall((0..300).map(|_| sample(&mut random, CALM)).collect());
    assert_eq!((learner.mode(), learner.status().labels), (Mode::Full, 399));
    assert!(loss(&learner, CALM) < 0.46, "{}", loss(&learner, CALM));
    learner.recall(Vec::new());
    assert_eq!(learner.status().labels, 399);
}

#[test]
fn only_ever_one_class_keeps_the_running_rate() {
    for (bias, rate) in [(-99.0, 0..10_000), (99.0, 990_000..1_000_000)] {
        let (mut learner, mut random) = learner();
        fed(&mut learner, &mut random, World { bias, ..CALM }, 500);
        assert_eq!(learner.mode(), Mode::Prior);
        assert!(rate.contains(&learner.model().score(&Features::default())));
    }
}

#[test]
fn poisoned_batch_does_not_replace_the_champion() {
    let (mut learner, mut random) = learner();
    fed(&mut learner, &mut random, CALM, 1_000);
    let (before, version) = (loss(&learner, CALM), learner.status().version);
    // Labels turned round, for less than a trial lasts.
    for _ in 0..150 {
        let mut turned = sample(&mut random, CALM);
        turned.conflict = !turned.conflict;
        learner.learn(turned);
    }
    assert_eq!(learner.status().version, version);
    fed(&mut learner, &mut random, CALM, 400);
    assert!(loss(&learner, CALM) < before + 0.02, "{} after {before}", loss(&learner, CALM));
}

#[test]
fn model_that_the_world_left_behind_gives_way() {
    let (mut learner, mut random) = learner();
    fed(&mut learner, &mut random, CALM, 800);
    let version = learner.status().version;
    let turned = World { hotness: -1.0, writers: -1.5, bias: -1.0 };
    fed(&mut learner, &mut random, turned, 100);
    // It says worse than the running rate by now, and is passed over.
    fed(&mut learner, &mut random, turned, 100);
    assert_ne!(learner.mode(), Mode::Full);
    fed(&mut learner, &mut random, turned, 2_500);
    assert_eq!(learner.mode(), Mode::Full);
    assert!(learner.status().version > version);
    assert!(loss(&learner, turned) < 0.5, "{}", loss(&learner, turned));
}

#[test]
fn champion_that_does_worse_than_the_last_good_is_taken_back() {
    let (mut learner, mut random) = learner();
    fed(&mut learner, &mut random, CALM, 800);
    let (good, promotions) = (loss(&learner, CALM), learner.status().promotions);
    // Long enough for a challenger of another world to win, and then the old world is back.
    let other = World { hotness: 1.5, writers: -1.5, bias: -1.5 };
    while learner.status().promotions == promotions {
        fed(&mut learner, &mut random, other, 10);
        assert!(learner.status().labels < 3_000);
    }
    let before = learner.status();
    fed(&mut learner, &mut random, CALM, 150);
    let after = learner.status();
    assert_eq!(after.reverts, before.reverts + 1);
    assert!(after.version < before.version, "{after:?} after {before:?}");
    fed(&mut learner, &mut random, CALM, 300);
    assert!(loss(&learner, CALM) < good + 0.05, "{} after {good}", loss(&learner, CALM));
}

#[test]
fn flip_of_the_majority_class_does_not_turn_scores_round() {
    let (mut learner, mut random) = learner();
    fed(&mut learner, &mut random, CALM, 700);
    let often = World { bias: 1.5, ..CALM };
    fed(&mut learner, &mut random, often, 2_000);
    assert!(loss(&learner, often) < 0.46, "{}", loss(&learner, often));
    let says = |heat: i32| {
        let mut features = Features::default();
        features.dense[Feature::WritersSum as usize] = heat << 16;
        learner.model().score(&features)
    };
    assert!(says(-2) < says(0) && says(0) < says(2));
}

#[test]
fn features_that_say_nothing_are_switched_off() {
    let (mut learner, mut random) = learner();
    fed(&mut learner, &mut random, CALM, 600);
    let off = learner.status().switched_off;
    for group in [Group::Kinds, Group::Time, Group::Pace] {
        assert!(off.contains(&group), "{off:?}");
    }
    assert!(!off.contains(&Group::Overlap) && !off.contains(&Group::Hotness), "{off:?}");
}

#[test]
fn same_labels_and_seed_make_the_same_models() {
    let run = || {
        let (mut learner, mut random) = learner();
        fed(&mut learner, &mut random, CALM, 900);
        (learner.model().clone(), learner.hotness_model().clone(), learner.status())
    };
    assert_eq!(run(), run());
}

#[test]
fn labels_seen_seldom_count_by_their_inverse_propensity() {
    let (mut learner, mut random) = learner();
    // Half of all conflict often and are locked beforehand, but for one in ten of them. Nothing
    // tells them apart: the rate is (0.8 + 0.1) / 2, and that of what is seen is 0.16.
    for _ in 0..4_000 {
        let locks = random.unit() < 0.5;
        if locks && random.unit() >= 0.1 {
            continue;
        }
        let mut sample = sample(&mut random, World { hotness: 0.0, writers: 0.0, bias: 0.0 });
        sample.conflict = random.unit() < if locks { 0.8 } else { 0.1 };
        sample.propensity_ppm = if locks { 100_000 } else { 1_000_000 };
        learner.learn(sample);
    }
    for model in [learner.model(), learner.prior_model(), learner.hotness_model()] {
        let said = f64::from(model.score(&Features::default())) / 1e6;
        assert!((said - 0.45).abs() < 0.1, "{said} by version {}", model.version);
    }
}
