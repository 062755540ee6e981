//! Factors of users and areas, fitted to what a model leaves over.
//!
//! Stochastic gradient descent on the log-loss, the model's log-odds held fixed (Koren, Bell,
//! Volinsky, 2009). Whether the result pays is for the caller to find out on other labels.

use std::collections::BTreeMap;

use vatic_core::conflict::{Factors, RANK};

use super::random::Random;
use super::sample::Sample;

const EPOCHS: usize = 20;
const RATE: f64 = 0.05;
const PENALTY: f64 = 0.05;
/// Seen less often, a user or an area has no factors.
const SEEN_MIN: usize = 5;
/// Users and areas that get factors, the most frequent: a model is replicated.
const ROWS_MAX: usize = 4_096;
/// Q12.
const SCALE: f64 = 4_096.0;

type Rows = BTreeMap<u64, [f64; RANK]>;

/// Fits factors to `samples`, beside the log-odds that a model gives them.
pub(super) fn fit(samples: &[&Sample], log_odds: &[f64], seed: u64) -> Factors {
    let mut random = Random::new(seed);
    let mut users = rows(samples.iter().map(|sample| sample.features.user), &mut random);
    let every_area = samples.iter().flat_map(|sample| sample.features.areas.iter().copied());
    let mut areas = rows(every_area, &mut random);
    for _ in 0..EPOCHS {
        for (sample, base) in samples.iter().zip(log_odds) {
            step(sample, *base, &mut users, &mut areas);
        }
    }
    Factors { users: quantized(users), areas: quantized(areas) }
}

fn step(sample: &Sample, base: f64, users: &mut Rows, areas: &mut Rows) {
    let Some(user) = users.get_mut(&sample.features.user) else { return };
    let known: Vec<u64> =
        sample.features.areas.iter().copied().filter(|area| areas.contains_key(area)).collect();
    if known.is_empty() {
        return;
    }
    let mut mean = [0.0; RANK];
    for area in &known {
        (0..RANK).for_each(|k| mean[k] += areas[area][k] / known.len() as f64);
    }
    let product: f64 = user.iter().zip(mean).map(|(a, b)| a * b).sum();
    let expected = 1.0 / (1.0 + (-(base + product)).exp());
    let error = f64::from(u8::from(sample.conflict)) - expected;
    for area in &known {
        let area = areas.get_mut(area).expect("it was there above");
        let share = error / known.len() as f64;
        (0..RANK).for_each(|k| area[k] += RATE * (share * user[k] - PENALTY * area[k]));
    }
    (0..RANK).for_each(|k| user[k] += RATE * (error * mean[k] - PENALTY * user[k]));
}

/// Small random rows for those who were seen often enough.
fn rows(ids: impl Iterator<Item = u64>, random: &mut Random) -> Rows {
    let mut seen = BTreeMap::<u64, usize>::new();
    ids.for_each(|id| *seen.entry(id).or_default() += 1);
    let mut frequent: Vec<(usize, u64)> =
        seen.into_iter().map(|(id, count)| (count, id)).filter(|(n, _)| *n >= SEEN_MIN).collect();
    frequent.sort_unstable_by(|a, b| b.cmp(a));
    frequent.truncate(ROWS_MAX);
    let mut row = || std::array::from_fn(|_| 0.4 * (random.unit() - 0.5));
    frequent.into_iter().map(|(_, id)| (id, row())).collect()
}

fn quantized(rows: Rows) -> BTreeMap<u64, [i16; RANK]> {
    let quantize = |row: [f64; RANK]| row.map(|value| (value * SCALE).round() as i16);
    rows.into_iter().map(|(id, row)| (id, quantize(row))).collect()
}
