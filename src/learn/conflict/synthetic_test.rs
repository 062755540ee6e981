//! A history made up here: hot keys that drift, users with habits, conflicts that really happen.
//!
//! Nothing of it was fitted to a recorded history. The seed is fixed, and so is what comes out.

use std::collections::BTreeMap;

use vatic_core::conflict::{Contention, Features, Landing, Limits, Mutation, Touch, fixed};
use vatic_core::id::{GroupId, Tid, Timestamp};

use super::learner::Learner;
use super::measure;
use super::random::Random;
use super::rules::Rules;
use super::sample::Sample;

const TRANSACTIONS: usize = 2_400;
const USERS: u64 = 40;
const AREAS: u64 = 12;

struct Made {
    user: u64,
    begin_us: u64,
    commit_us: u64,
    keys: Vec<(u64, u64)>,
}

/// Users have a pace, a size and a home; the hot keys of an area move every few hundred begins.
fn made(seed: u64, scale_us: u64) -> Vec<Made> {
    let mut random = Random::new(seed);
    let mut now = 1;
    let mut one = |at: usize| {
        now += (-(1.0 - random.unit()).ln() * scale_us as f64) as u64 + 1;
        let user = (random.unit() * random.unit() * USERS as f64) as u64;
        let pace = 2.0 + 30.0 * (user % 5) as f64;
        let lasts = (-(1.0 - random.unit()).ln() * pace * scale_us as f64) as u64 + 1;
        let count = 1 + (random.unit() * (1 + user % 4) as f64) as usize;
        let mut key = || {
            let home = if random.unit() < 0.7 { user } else { random.next() };
            let hot = (random.unit().powi(4) * 60.0) as u64;
            (home % AREAS, hot + 10 * (at as u64 / 400))
        };
        let keys = (0..count).map(|_| key()).collect();
        Made { user, begin_us: now, commit_us: now + lasts, keys }
    };
    (0..TRANSACTIONS).map(&mut one).collect()
}

struct Outcome {
    said: f64,
    hotness: f64,
    prior: f64,
    conflict: bool,
}

/// Runs a history: each is scored at its begin, commits unless a key of its was written since.
fn played(made: &[Made], rules: Rules) -> (Vec<Outcome>, Learner) {
    let begins = made.iter().enumerate().map(|(at, one)| (one.begin_us, 1, at));
    let commits = made.iter().enumerate().map(|(at, one)| (one.commit_us, 0, at));
    let mut events: Vec<(u64, u8, usize)> = begins.chain(commits).collect();
    events.sort_unstable();
    let mut contention = Contention::new(Limits::production());
    let mut learner = Learner::new(rules, 3);
    let mut written = BTreeMap::<(u64, u64), u64>::new();
    let mut open = BTreeMap::<usize, (Features, [f64; 3])>::new();
    let mut outcomes = Vec::new();
    for (now_us, kind, at) in events {
        let one = &made[at];
        let tid = Tid { mint: Timestamp(one.begin_us), home: GroupId(1), nonce: at as u64 };
        if kind == 1 {
            let features = contention.features(&mutation(one), now_us);
            contention.arrive(tid, mutation(one));
            let models = [learner.model(), learner.hotness_model(), learner.prior_model()];
            let said = models.map(|model| f64::from(model.score(&features)) / 1e6);
            open.insert(at, (features, said));
            continue;
        }
        let conflict = one.keys.iter().any(|key| written.get(key) > Some(&one.begin_us));
        if !conflict {
            written.extend(one.keys.iter().map(|key| (*key, now_us)));
        }
        let landing = Landing { conflict: Some(conflict), blamed: None, wrote: !conflict };
        contention.land(tid, landing, now_us);
        let (features, [said, hotness, prior]) = open.remove(&at).unwrap();
        learner.learn(Sample {
            features,
            conflict,
            propensity_ppm: 1_000_000,
            stands_for: 1,
            at_us: now_us,
        });
        outcomes.push(Outcome { said, hotness, prior, conflict });
    }
    (outcomes, learner)
}

fn mutation(one: &Made) -> Mutation {
    let touch = |(area, key): &(u64, u64)| {
        Touch::of_names(&format!("{area}/{key}"), &format!("{area}"), &format!("{area}/{key}"))
    };
    let touches = one.keys.iter().map(touch).collect();
    Mutation::new(fixed::mix(one.user), one.begin_us, touches, &Limits::production())
}

fn later_half(outcomes: &[Outcome], said: fn(&Outcome) -> f64) -> Vec<(f64, bool)> {
    let later = &outcomes[outcomes.len() / 2..];
    later.iter().map(|outcome| (said(outcome), outcome.conflict)).collect()
}

#[test]
fn drifting_history_is_foreseen_better_than_by_rate_or_by_hotness_alone() {
    let (outcomes, _) = played(&made(11, 1_000), Rules::production());
    let full = later_half(&outcomes, |outcome| outcome.said);
    let [loss, hotness, prior] = [
        measure::mean_log_loss(&full),
        measure::mean_log_loss(&later_half(&outcomes, |outcome| outcome.hotness)),
        measure::mean_log_loss(&later_half(&outcomes, |outcome| outcome.prior)),
    ];
    let (auc, ece) = (measure::auc(&full), measure::ece(&full));
    println!("auc {auc:.3} loss {loss:.4} hotness {hotness:.4} prior {prior:.4} ece {ece:.4}");
    assert!(auc > 0.75, "{auc}");
    assert!(loss < 0.88 * prior && loss < hotness, "{loss}, {hotness}, {prior}");
    // With 1,200 labels chance alone makes about 0.03 of it.
    assert!(ece < 0.06, "{ece}");
}

#[test]
fn milliseconds_and_days_are_foreseen_alike() {
    let auc = |scale_us| {
        let rules = Rules { retrain_labels: 300, ..Rules::simulation() };
        let (outcomes, _) = played(&made(12, scale_us)[..1_000], rules);
        measure::auc(&later_half(&outcomes, |outcome| outcome.said))
    };
    // A day of the slow history has its own hours; all else is the same history.
    let (fast, slow) = (auc(1_000), auc(1_000_000_000));
    assert!((fast - slow).abs() < 0.02, "{fast} and {slow}");
}

#[test]
fn two_replays_of_one_history_say_the_same() {
    let said = || -> Vec<u64> {
        let (outcomes, _) = played(&made(13, 1_000)[..500], Rules::simulation());
        outcomes.iter().map(|outcome| outcome.said.to_bits()).collect()
    };
    assert_eq!(said(), said());
}

/// Users and areas of four kinds: a pair of one kind conflicts often, any other seldom, if `kinds`.
fn paired(kinds: bool) -> Learner {
    let mut learner = Learner::new(Rules::simulation(), 5);
    let mut random = Random::new(17);
    for at_us in 0..1_500 {
        let (user, area) = (random.next() % 40, random.next() % 40);
        let often = if kinds { user % 4 == area % 4 } else { random.next().is_multiple_of(4) };
        let conflict = random.unit() < if often { 0.9 } else { 0.1 };
        let features = Features { user, areas: vec![area], ..Features::default() };
        let mut sample =
            Sample { features, conflict, propensity_ppm: 1_000_000, stands_for: 1, at_us };
        // Something dense, without which there is nothing to fit.
        sample.features.dense[0] = (random.next() % 65_536) as i32;
        learner.learn(sample);
    }
    learner
}

#[test]
fn collaborative_filter_is_on_where_pairs_matter_and_off_where_they_do_not() {
    let (with, without) = (paired(true).status(), paired(false).status());
    println!("{:?} and {:?}", with.factors_ratio, without.factors_ratio);
    assert!(with.factors_active && with.factors_ratio.unwrap() < 0.9, "{with:?}");
    assert!(!without.factors_active, "{without:?}");
}

#[test]
fn collaborative_filter_scores_a_pair_that_was_never_seen() {
    let learner = paired(true);
    let score = |user, area| {
        let features = Features { user, areas: vec![area], ..Features::default() };
        learner.model().score(&features)
    };
    let pairs = || (0..40).flat_map(|user| (0..40).map(move |area| (user, area)));
    let mean = |same: bool| {
        let of_kind = pairs().filter(|(user, area)| (user % 4 == area % 4) == same);
        let scores: Vec<u64> = of_kind.map(|(user, area)| u64::from(score(user, area))).collect();
        scores.iter().sum::<u64>() / scores.len() as u64
    };
    assert!(mean(true) > 2 * mean(false), "{} and {}", mean(true), mean(false));
}
