//! The adaptive tolerance: how far from its forecast a transaction may end.
//!
//! A pure fold over the scores of sealed transactions, in fixed point, which every replica runs.
//! For each class it tracks the quantile `1 - α` of the scores by their alarms alone (Gibbs and
//! Candès, 2021): `q ← max(0, q + η (1{s > t} - α))`, with `η` a twentieth of a tracked 99 %
//! quantile, so that the steps follow the scale of the scores. A saturated integrator is added
//! (conformal PID control: Angelopoulos, Candès, Tibshirani, 2023): `t = q + r(Σ (1{s > t} - α))`,
//! where `r` grows without bound towards `EXCESS_MAX`. It holds the alarms to their rate over short
//! windows as well, whatever the scores do, and recovers from a change of scale in a few alarms.
//!
//! Two things hold for any sequence of scores above zero:
//!
//! - The excess stays within a few alarms, hence the rate over n decisions is `α` within a few/n.
//! - At `t = 0` every score is an alarm. For that scores must not be 0: forecasts are often exact,
//!   and were their score 0, the threshold would come to rest at 0 and the rate at whatever share
//!   of forecasts fails. [`with_tie`] adds less than a sixteenth of a step, drawn from the
//!   transaction's digest. It breaks ties between equal scores by chance, as smoothed conformal
//!   p-values do (Vovk, 2005), and every replica draws the same. What is not equal by a sixteenth
//!   keeps its order.
//!
//! A class of its own is a function of that class's scores alone, in their order. What is common to
//! all, the tracker of all classes and its excess, depends on how they interleave. Of the first
//! [`DECISIONS_MIN`] the order does not matter at all. Beyond, it does, and is that of the home
//! group's log: replicas fold the same scores in the same order.

use crate::{
    expected::{STEP, Score},
    hash::Hash,
    state::{Read, State},
    tables,
    verdict::Judgement,
};
use alloc::collections::BTreeMap;
use serde::{Deserialize, Serialize};

/// Millionths: the unit of rates and of the excess.
const MILLION: i64 = 1_000_000;
/// The share of transactions that should be alarms, in millionths.
pub const ALPHA_PPM: u32 = 50_000;
/// A class with fewer decisions leans on the tracker of all classes.
pub const OWN_DECISIONS_MIN: u64 = 200;
/// With fewer decisions in all nothing is an alarm: there is nothing to compare with.
pub const DECISIONS_MIN: u64 = 20;
/// Most classes with a tracker of their own; the one that was idle longest makes room.
pub const CLASSES_MAX: usize = 64;
/// Alarms too many or too few, in millionths, that the integrator does not let happen.
const EXCESS_MAX: i64 = 8 * MILLION;
/// The integrator's largest correction, in scales.
const PRESSURE_MAX: i64 = 8;
/// The smallest scale: below it the ties alone tell scores apart.
const SCALE_MIN: u64 = TIE / 2;
/// What a tie adds at most.
const TIE: Score = STEP / 16;

/// What was learnt from the scores so far.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Tolerance {
    alpha_ppm: u32,
    all: Tracker,
    classes: BTreeMap<u64, Tracker>,
}

/// One quantile, followed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
struct Tracker {
    decisions: u64,
    /// Of all decisions, which was this tracker's last.
    last: u64,
    quantile: Score,
    /// About the 99 % quantile: the scale of the scores.
    scale: Score,
    /// Alarms less `α` times decisions, in millionths.
    excess: i64,
}

impl Default for Tolerance {
    fn default() -> Tolerance {
        Tolerance::new(ALPHA_PPM)
    }
}

/// The score with its tie broken by the transaction's digest: less than a sixteenth of a step more,
/// and never 0.
pub fn with_tie(score: Score, digest: &Hash) -> Score {
    let drawn = u64::from(u16::from_be_bytes([digest.0[0], digest.0[1]]));
    score.saturating_add(1 + ((drawn * (TIE - 1)) >> 16))
}

/// What a group tolerates, by the scores that it folded.
pub fn of_group(state: &impl Read) -> Tolerance {
    tables::load(state, tables::TOLERANCE).unwrap_or_default()
}

/// Folds a decided transaction's score into what its home group tolerates.
pub(crate) fn fold_into(state: &mut impl State, judged: &Judgement) {
    let mut tolerance = of_group(state);
    tolerance.fold(judged.class, judged.verdict.score);
    tables::save(state, tables::TOLERANCE.to_vec(), &tolerance);
}

impl Tolerance {
    /// Starts with nothing learnt, for alarms at the rate of `alpha_ppm` millionths.
    pub fn new(alpha_ppm: u32) -> Tolerance {
        let alpha_ppm = alpha_ppm.clamp(1, MILLION as u32 - 1);
        Tolerance { alpha_ppm, all: Tracker::default(), classes: BTreeMap::new() }
    }

    /// The largest score that is no alarm in a class.
    pub fn threshold(&self, class: u64) -> Score {
        if self.all.decisions < DECISIONS_MIN {
            return Score::MAX;
        }
        match self.classes.get(&class).filter(|own| own.decisions >= OWN_DECISIONS_MIN) {
            Some(own) => offset(own.threshold(), pressure(self.all.excess, own.scale)),
            None => self.all.threshold(),
        }
    }

    /// The same for looks at running streams, which fold theirs here: while they are few, what
    /// `sealed` ones are held to.
    pub fn threshold_or(&self, class: u64, sealed: Score) -> Score {
        match self.all.decisions < OWN_DECISIONS_MIN {
            true => sealed,
            false => self.threshold(class),
        }
    }

    /// Takes in the score (its tie broken) of the next sealed transaction, in the order of the log.
    /// Returns whether it was an alarm.
    pub fn fold(&mut self, class: u64, score: Score) -> bool {
        let alarm = score > self.threshold(class);
        let now = self.all.decisions;
        self.make_room(class);
        let own = self.classes.entry(class).or_default();
        own.fold(score, score > own.threshold(), self.alpha_ppm, now);
        let hypothetical = score > self.all.threshold();
        self.all.fold(score, hypothetical, self.alpha_ppm, now);
        // What was decided for all classes together is what their common excess must count.
        if self.all.decisions > DECISIONS_MIN {
            self.all.excess += (i64::from(alarm) - i64::from(hypothetical)) * MILLION;
        }
        debug_assert!(self.classes.len() <= CLASSES_MAX);
        alarm
    }

    /// How many transactions were folded.
    pub fn decisions(&self) -> u64 {
        self.all.decisions
    }

    /// Quantile and scale of a class's own tracker.
    #[cfg(test)]
    pub(crate) fn tracked(&self, class: u64) -> (Score, Score) {
        self.classes.get(&class).map_or((0, 0), |own| (own.quantile, own.scale))
    }

    /// The threshold by a class's own tracker.
    #[cfg(test)]
    pub(crate) fn own_threshold(&self, class: u64) -> Score {
        self.classes.get(&class).map_or(0, Tracker::threshold)
    }

    fn make_room(&mut self, class: u64) {
        if self.classes.len() < CLASSES_MAX || self.classes.contains_key(&class) {
            return;
        }
        let idle = self.classes.iter().min_by_key(|(class, own)| (own.last, **class));
        if let Some(idle) = idle.map(|(class, _)| *class) {
            self.classes.remove(&idle);
        }
    }
}

impl Tracker {
    fn threshold(&self) -> Score {
        offset(self.quantile, pressure(self.excess, self.scale))
    }

    fn fold(&mut self, score: Score, alarm: bool, alpha_ppm: u32, now: u64) {
        self.last = now;
        self.decisions = self.decisions.saturating_add(1);
        if self.decisions <= DECISIONS_MIN {
            // The first few bound the scores from above, and are no alarms.
            self.quantile = self.quantile.max(score);
            self.scale = self.scale.max(score);
            return;
        }
        let error = i64::from(alarm) * MILLION - i64::from(alpha_ppm);
        let step = i128::from(self.scale.max(SCALE_MIN)) * i128::from(error);
        self.quantile = offset(self.quantile, clamp(step / (20 * i128::from(MILLION))));
        let bound = 2 * EXCESS_MAX;
        self.excess = self.excess.saturating_add(error).clamp(-bound, bound);
        self.scale = follow(self.scale, score);
    }
}

/// The 99 % quantile, followed by a twentieth of itself, or of the score where that is larger.
fn follow(scale: Score, score: Score) -> Score {
    if score > scale {
        scale.saturating_add(score / 20).clamp(scale, score)
    } else {
        scale - scale / 2_000
    }
}

/// The integrator: `scale · u / 2(1 - |u|)` for `u` = excess / EXCESS_MAX, saturated.
fn pressure(excess: i64, scale: Score) -> i64 {
    let scale = i128::from(scale.max(SCALE_MIN));
    let room = i128::from(EXCESS_MAX - excess.abs().min(EXCESS_MAX)).max(1);
    let bound = scale * i128::from(PRESSURE_MAX);
    clamp((scale * i128::from(excess) / (2 * room)).clamp(-bound, bound))
}

fn offset(score: Score, by: i64) -> Score {
    score.saturating_add_signed(by)
}

fn clamp(wide: i128) -> i64 {
    i64::try_from(wide).unwrap_or(if wide < 0 { i64::MIN } else { i64::MAX })
}
