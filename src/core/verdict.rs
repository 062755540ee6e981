//! The verdict: whether a transaction ended as was forecast, and what follows from it.
//!
//! The gateway computes it before voting; it travels in the body as the fixed-point data below,
//! which is all that is needed to compute it again, as every participant does. Judged is the last
//! forecast that was made at or before half of the final count. The home group folds each score
//! into what is tolerated from then on, once, where its first decision is recorded, as far as it
//! knows the body by then.

use crate::{
    chain::Seal,
    expected::{Expected, STEP, Score},
    footprint::Footprint,
    hash::{Hash, Hasher},
    policy::Validation,
    tolerance::{Tolerance, with_tie},
};
use serde::{Deserialize, Serialize};

/// Slowest round trip that counts, against its long mean.
const RTT_RATIO_MAX: u64 = 8;
/// Largest spread, in steps: a network in trouble must not excuse everything.
const SPREAD_STEPS_MAX: u64 = 1 << 20;

/// What a transaction is expected to be when it is finished.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Forecast {
    /// Its footprint.
    pub footprint: Expected,
    /// Its count of transitions.
    pub count: u64,
    /// How many transitions had been seen.
    pub prefix: u64,
    /// The spread that the forecaster itself expects of the distance, as a [`Score`].
    pub spread: Score,
}

impl Forecast {
    /// Where a stream stands after `steps` that goes straight from its footprint, when this was
    /// forecast, to what was forecast: what it can be held against before it ends. The spread is
    /// that of the whole, so that what has not gone far is judged mildly.
    pub fn on_the_way(&self, from: &Footprint, steps: u64) -> Forecast {
        let (done, due) =
            (steps.saturating_sub(self.prefix), self.count.saturating_sub(self.prefix));
        let footprint = self.footprint.on_the_way(from, done, due);
        Forecast { footprint, count: steps, ..*self }
    }
}

/// Under which conditions a forecast was made and judged: they widen what is tolerated.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Conditions {
    /// The last round trip to the participants, in microseconds.
    pub rtt_us: u64,
    /// The long mean of round trips, in microseconds; 0 while there is none.
    pub rtt_mean_us: u64,
    /// Partial digests that had not come when it was judged: always 0 from our gateways, since one
    /// of them chains all transitions of a stream itself, and has what it stages acknowledged
    /// before it takes the next one; it stays for the sake of bodies and receipts, which list it.
    pub missing_partials: u32,
    /// Transactions in flight beside it.
    pub in_flight: u32,
}

/// The verdict with everything that it was made from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the distance was tolerated. None at all always is: what a tie adds to a score is
    /// chance, which keeps alarms to their rate and is nobody's fault.
    pub valid: bool,
    /// From the forecast to what came.
    pub distance: Score,
    /// By which the distance was made smaller.
    pub spread: Score,
    /// The distance in spreads, its tie broken.
    pub score: Score,
    /// The largest score that was tolerated.
    pub tolerance: Score,
    /// How many transitions the judged forecast had seen.
    pub prefix: u64,
    /// The conditions.
    pub conditions: Conditions,
}

/// What a transaction was judged by, and how: the part of its body that says whether it ended as
/// was foreseen.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Judgement {
    /// Which transactions count as alike: each class has a tolerance.
    pub class: u64,
    /// What was forecast.
    pub forecast: Forecast,
    /// How many transitions came.
    pub count: u64,
    /// What came of it.
    pub verdict: Verdict,
}

/// What to do with a transaction before it votes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// Vote.
    Proceed,
    /// Vote once nobody is in the way, or after a while.
    Wait,
    /// Roll back: it is not what was forecast.
    RollBack,
}

impl Judgement {
    /// Judges what came by its forecast, as [`Verdict::judge`] does.
    pub fn of(
        class: u64,
        forecast: Forecast,
        (conditions, tolerance): (Conditions, Score),
        (actual, seal): (&Footprint, &Seal),
    ) -> Judgement {
        let verdict = Verdict::judge(&forecast, actual, conditions, tolerance, &seal.head);
        Judgement { class, forecast, count: seal.count, verdict }
    }

    /// Judges what a running stream is so far by the way that its forecast had it go, and folds the
    /// score into those of such `looks`: those at a class's streams after about as many transitions
    /// are alike. Scores of parts are of other scales than those of wholes: what is tolerated of
    /// `sealed` streams stands in only while there were few looks.
    pub fn on_the_way(
        looks: &mut Tolerance,
        class: u64,
        way: Forecast,
        (conditions, sealed): (Conditions, Score),
        (now, seal): (&Footprint, &Seal),
    ) -> Judgement {
        let doubled = u64::from(seal.count.checked_ilog2().unwrap_or(0));
        let alike = class.wrapping_mul(64).wrapping_add(doubled);
        let given = (conditions, looks.threshold_or(alike, sealed));
        let judgement = Judgement::of(class, way, given, (now, seal));
        looks.fold(alike, judgement.verdict.score);
        judgement
    }

    /// Whether the verdict is what forecast, conditions and tolerance make of what came.
    pub fn holds(&self, actual: &Footprint, seal: &Seal) -> bool {
        let Judgement { class, forecast, .. } = self;
        let Verdict { conditions, tolerance, .. } = self.verdict;
        let given = (conditions, tolerance);
        *self == Judgement::of(*class, forecast.clone(), given, (actual, seal))
    }

    /// Feeds all of it, as [`crate::body::Body::digest`] lists it.
    pub(crate) fn feed(&self, hasher: Hasher) -> Hasher {
        let Judgement { class, forecast, count, verdict } = self;
        let cells = forecast.footprint.cells();
        let hasher = hasher.u64(*class).u64(forecast.footprint.cells().count() as u64);
        let hasher = cells.fold(hasher, |hasher, (cell, sum)| {
            hasher.u64(u64::from(cell)).u64(i64::from(sum) as u64)
        });
        let Verdict { valid, distance, spread, score, tolerance, prefix, conditions } = *verdict;
        let Conditions { rtt_us, rtt_mean_us, missing_partials, in_flight } = conditions;
        let hasher =
            hasher.u64(forecast.count).u64(forecast.prefix).u64(forecast.spread).u64(*count);
        let hasher = hasher.u64(u64::from(valid)).u64(distance).u64(spread).u64(score);
        let hasher = hasher.u64(tolerance).u64(prefix).u64(rtt_us).u64(rtt_mean_us);
        hasher.u64(u64::from(missing_partials)).u64(u64::from(in_flight))
    }
}

impl Verdict {
    /// Judges what came. `digest` names the transaction and breaks ties between equal scores.
    pub fn judge(
        forecast: &Forecast,
        actual: &Footprint,
        conditions: Conditions,
        tolerance: Score,
        digest: &Hash,
    ) -> Verdict {
        let distance = forecast.footprint.distance(actual);
        let spread = conditions.spread(forecast);
        let score = with_tie(score(distance, spread), digest);
        let valid = distance == 0 || score <= tolerance;
        let prefix = forecast.prefix;
        Verdict { valid, distance, spread, score, tolerance, prefix, conditions }
    }
}

impl Conditions {
    /// `σ`: what the forecaster expects to be off by, and one more step each for a stream of which
    /// nothing had been seen, for a round trip of four times the mean above it, for two missing
    /// partial digests (by their logarithm), and for 2^16 transactions in flight (likewise).
    pub fn spread(&self, forecast: &Forecast) -> Score {
        let seen = forecast.prefix.min(forecast.count);
        let unseen = STEP - share(seen, forecast.count.max(1));
        let ratio = share(self.rtt_us, self.rtt_mean_us.max(1)).min(RTT_RATIO_MAX * STEP);
        let slow = if self.rtt_mean_us == 0 { 0 } else { ratio.saturating_sub(STEP) / 4 };
        let missing = log2(self.missing_partials) * 5 / 8;
        let crowd = log2(self.in_flight) / 16;
        let sum = forecast.spread.saturating_add(unseen + slow + missing + crowd);
        sum.min(SPREAD_STEPS_MAX * STEP)
    }
}

/// `s = distance / (1 + σ)`.
pub fn score(distance: Score, spread: Score) -> Score {
    let wide = u128::from(distance) * u128::from(STEP);
    u64::try_from(wide / (u128::from(STEP) + u128::from(spread))).unwrap_or(u64::MAX)
}

/// What a policy makes of a verdict. (What could not be judged has none:
/// [`crate::finding::Finding::action`].)
pub fn action(validation: Validation, verdict: &Verdict) -> Action {
    match (verdict.valid, validation) {
        (true, _) | (false, Validation::Observe) => Action::Proceed,
        (false, Validation::Resolve) => Action::Wait,
        (false, Validation::Enforce | Validation::Quarantine) => Action::RollBack,
    }
}

fn share(part: u64, whole: u64) -> u64 {
    u64::try_from(u128::from(part) * u128::from(STEP) / u128::from(whole)).unwrap_or(u64::MAX)
}

/// log2(1 + n), in 1/65,536, linear between powers of two.
fn log2(n: u32) -> u64 {
    let n = u64::from(n) + 1;
    let whole = n.ilog2();
    (u64::from(whole) << 16) + (((n - (1 << whole)) << 16) >> whole)
}
