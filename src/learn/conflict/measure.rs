//! How good probabilities are.

/// Probabilities are held this far from 0 and 1: one certain mistake must not outweigh all else.
const EDGE: f64 = 1e-6;

/// Bins of the calibration error.
const BINS: usize = 10;

/// Log-loss of one prediction, in nats.
pub fn log_loss(probability: f64, happened: bool) -> f64 {
    let p = probability.clamp(EDGE, 1.0 - EDGE);
    if happened { -p.ln() } else { -(1.0 - p).ln() }
}

/// Mean log-loss in nats; 0 of nothing.
pub fn mean_log_loss(predictions: &[(f64, bool)]) -> f64 {
    let sum: f64 = predictions.iter().map(|(p, happened)| log_loss(*p, *happened)).sum();
    sum / predictions.len().max(1) as f64
}

/// Area under the ROC curve: how often one that happened is above one that did not; ties count
/// half. One half where only one class is there.
pub fn auc(predictions: &[(f64, bool)]) -> f64 {
    let mut sorted = predictions.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut wins, mut start) = (0.0, 0.0, 0);
    while start < sorted.len() {
        let level = sorted[start].0;
        let tied = sorted[start..].iter().take_while(|(p, _)| *p == level).count();
        let happened = sorted[start..start + tied].iter().filter(|(_, y)| *y).count() as f64;
        let not = tied as f64 - happened;
        wins += happened * (below + not / 2.0);
        below += not;
        start += tied;
    }
    let happened = sorted.len() as f64 - below;
    if below == 0.0 || happened == 0.0 { 0.5 } else { wins / (below * happened) }
}

/// Precision and recall of the `share` of all that have the highest scores, earlier ones first
/// among equals.
pub fn top_share(predictions: &[(f64, bool)], share: f64) -> (f64, f64) {
    let mut order: Vec<usize> = (0..predictions.len()).collect();
    order.sort_by(|a, b| predictions[*b].0.total_cmp(&predictions[*a].0));
    let taken = (predictions.len() as f64 * share).round() as usize;
    let hits = order[..taken].iter().filter(|at| predictions[**at].1).count() as f64;
    let all = predictions.iter().filter(|(_, happened)| *happened).count() as f64;
    (hits / taken.max(1) as f64, hits / all.max(1.0))
}

/// Expected calibration error over ten bins of equal width (Guo et al., 2017).
pub fn ece(predictions: &[(f64, bool)]) -> f64 {
    let mut bins = Bins::default();
    predictions.iter().for_each(|(p, happened)| bins.add(*p, *happened, 1.0));
    bins.ece()
}

/// The same over ten bins of equal count, which looks closer where most predictions are low.
pub fn ece_by_count(predictions: &[(f64, bool)]) -> f64 {
    let mut sorted = predictions.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let gaps = sorted.chunks(sorted.len().div_ceil(BINS).max(1)).map(|bin| {
        let happened = bin.iter().filter(|(_, happened)| *happened).count() as f64;
        (bin.iter().map(|(p, _)| p).sum::<f64>() - happened).abs()
    });
    gaps.sum::<f64>() / sorted.len().max(1) as f64
}

/// Bins of equal width that are filled as labels come.
#[derive(Clone, Debug, Default)]
pub(super) struct Bins {
    /// Weight, sum of predictions, sum of what happened.
    bins: [[f64; 3]; BINS],
}

impl Bins {
    pub(super) fn add(&mut self, probability: f64, happened: bool, weight: f64) {
        let bin = &mut self.bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin[0] += weight;
        bin[1] += weight * probability;
        bin[2] += weight * f64::from(u8::from(happened));
    }

    pub(super) fn ece(&self) -> f64 {
        let all: f64 = self.bins.iter().map(|bin| bin[0]).sum();
        let gaps: f64 = self.bins.iter().map(|bin| (bin[1] - bin[2]).abs()).sum();
        if all > 0.0 { gaps / all } else { 0.0 }
    }
}

/// How much smaller one loss was than another on the same labels.
#[derive(Clone, Debug, Default)]
pub(super) struct PairedGain {
    pub(super) labels: usize,
    weights: f64,
    weights_squared: f64,
    sum: f64,
    sum_squared: f64,
    cross: f64,
}

impl PairedGain {
    pub(super) fn add(&mut self, gain: f64, weight: f64) {
        self.labels += 1;
        self.weights += weight;
        self.weights_squared += weight * weight;
        self.sum += weight * gain;
        self.sum_squared += weight * weight * gain * gain;
        self.cross += weight * weight * gain;
    }

    pub(super) fn mean(&self) -> f64 {
        if self.weights > 0.0 { self.sum / self.weights } else { 0.0 }
    }

    /// Of the mean, by the normal approximation.
    pub(super) fn standard_error(&self) -> f64 {
        if self.weights <= 0.0 {
            return f64::INFINITY;
        }
        let mean = self.mean();
        let squares =
            self.sum_squared - 2.0 * mean * self.cross + mean * mean * self.weights_squared;
        squares.max(0.0).sqrt() / self.weights
    }

    /// Lower bound of the mean's 95 % interval.
    pub(super) fn lower_bound(&self) -> f64 {
        self.mean() - 1.96 * self.standard_error()
    }
}
