//! Anomalies put into test cases, and whether the score tells them from clean ones.

use vatic_core::footprint::Footprint;
use vatic_core::verdict::{Conditions, Forecast, score};
use vatic_learn::forecast::{Prefix, Step, Symbol};

use super::history::{Case, History};
use super::study::Study;
use super::{QUARTERS, cut};

/// How a case is tampered with, always after the prefix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A random step more, at a random place.
    Insert,
    /// A random other step in place of one.
    Substitute,
    /// One step less.
    Drop,
    /// The rest of another case, cut at the same share.
    SuffixSwap,
}

pub(crate) const KINDS: [(Kind, &str); 4] = [
    (Kind::Insert, "insert"),
    (Kind::Substitute, "substitute"),
    (Kind::Drop, "drop"),
    (Kind::SuffixSwap, "suffix_swap"),
];

/// A fixed seed: a replay gives the same figures each time.
const SEED: u64 = 0x7661_7469_6300_0001;

/// The area under the curve of detection, by kind and cut.
pub(crate) fn detection(history: &History, study: &Study) -> [[f64; QUARTERS.len()]; KINDS.len()] {
    let mut random = Random(SEED);
    let mut found = [[0.0; QUARTERS.len()]; KINDS.len()];
    for quarters in QUARTERS {
        let mut clean = Vec::new();
        let mut tampered: [Vec<u64>; KINDS.len()] = Default::default();
        for (_, case) in history.test() {
            let seen = cut(case.steps.len(), quarters);
            let prefix = case.stream().first(seen);
            let forecast = study.panel.forecast_by(study.champion, prefix).fixed();
            clean.push(score_of(&forecast, &case.stream().footprint()));
            for (scores, (kind, _)) in tampered.iter_mut().zip(KINDS) {
                let steps = tamper(kind, history, case, quarters, &mut random);
                let stream = Prefix { class: case.stream().class, steps: &steps };
                scores.push(score_of(&forecast, &stream.footprint()));
            }
        }
        for (of_kind, scores) in found.iter_mut().zip(tampered) {
            of_kind[quarters - 1] = area(&clean, &scores);
        }
    }
    found
}

fn score_of(forecast: &Forecast, actual: &Footprint) -> u64 {
    score(forecast.footprint.distance(actual), Conditions::default().spread(forecast))
}

fn tamper(
    kind: Kind,
    history: &History,
    case: &Case,
    quarters: usize,
    random: &mut Random,
) -> Vec<Step> {
    let mut steps = case.steps.clone();
    let seen = cut(steps.len(), quarters);
    let at = seen + random.below(steps.len() - seen);
    match kind {
        Kind::Insert => {
            let symbol = Symbol(random.below(history.names.len()) as u32);
            steps.insert(at, history.step(symbol, &case.steps[at]));
        }
        Kind::Substitute => {
            // One of the others: all numbers but its own.
            let others = (history.names.len() - 1).max(1);
            let drawn = random.below(others) as u32;
            let other = if drawn >= steps[at].symbol.0 { drawn + 1 } else { drawn };
            let other = other.min(history.names.len() as u32 - 1);
            steps[at] = history.step(Symbol(other), &case.steps[at]);
        }
        Kind::Drop => {
            steps.remove(at);
        }
        Kind::SuffixSwap => {
            let tests = history.cases.len() - history.train;
            let other = &history.cases[history.train + random.below(tests)].steps;
            steps.truncate(seen);
            steps.extend_from_slice(&other[cut(other.len(), quarters)..]);
        }
    }
    steps
}

/// How likely a tampered case has a larger score than a clean one; equals count half.
pub(crate) fn area(clean: &[u64], tampered: &[u64]) -> f64 {
    let mut sorted = clean.to_vec();
    sorted.sort_unstable();
    let above = |score: &u64| {
        let less = sorted.partition_point(|other| other < score);
        let not_more = sorted.partition_point(|other| other <= score);
        (less + not_more) as f64 / 2.0
    };
    let sum: f64 = tampered.iter().map(above).sum();
    sum / (clean.len().max(1) * tampered.len().max(1)) as f64
}

/// splitmix64.
struct Random(u64);

impl Random {
    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((u128::from(mixed ^ (mixed >> 31)) * bound as u128) >> 64) as usize
    }
}
