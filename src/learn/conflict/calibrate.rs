//! What raw log-odds mean, learnt on labels that they were not fitted on (Platt, 1999).

use ndarray::{Array1, Array2};

use super::fit;

/// Fewer of either class say too little: raw log-odds then stand as they are.
const CLASS_MIN: usize = 25;
/// Per sample: enough to keep a separable set finite.
const PENALTY: f64 = 1e-4;
/// A slope beyond these means that the set is odd, not the model.
const SLOPES: std::ops::RangeInclusive<f64> = 0.2..=3.0;

/// `slope · raw + residual · r + offset`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Platt {
    pub(super) slope: f64,
    pub(super) residual: f64,
    pub(super) offset: f64,
}

impl Platt {
    pub(super) const IDENTITY: Platt = Platt { slope: 1.0, residual: 0.0, offset: 0.0 };

    pub(super) fn probability(&self, raw: f64, residual: f64) -> f64 {
        let log_odds = self.slope * raw + self.residual * residual + self.offset;
        1.0 / (1.0 + (-log_odds).exp())
    }
}

/// A held-out label: raw log-odds, residual, what happened.
pub(super) type Held = (f64, f64, bool);

/// Fits slope and offset, and with `residuals` their weight too, which is never negative.
pub(super) fn platt(held: &[Held], residuals: bool) -> Option<Platt> {
    let happened = held.iter().filter(|(_, _, happened)| *happened).count();
    if happened.min(held.len() - happened) < CLASS_MIN {
        return None;
    }
    let width = if residuals { 2 } else { 1 };
    let columns = Array2::from_shape_fn((held.len(), width), |(row, column)| {
        if column == 0 { held[row].0 } else { held[row].1 }
    });
    let labels: Array1<bool> = held.iter().map(|(_, _, happened)| *happened).collect();
    let plane = fit::plane(columns, labels, PENALTY)?;
    let residual = plane.weights.get(1).copied().unwrap_or(0.0);
    let sound = SLOPES.contains(&plane.weights[0]) && residual >= 0.0;
    sound.then_some(Platt { slope: plane.weights[0], residual, offset: plane.bias })
}
