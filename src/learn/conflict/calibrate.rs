//! What raw log-odds mean, learnt on labels that they were not fitted on (Platt, 1999).
//!
//! The map is the likeliest under a prior around "they mean what they say", so that a handful of
//! labels moves it a little and a thousand decide. It is found by Newton's method; the objective is
//! convex, and a step that does not lower it is halved.

/// Standard deviations of the prior: of the slope around 1, of the residual's weight around 0, of
/// the offset around 0.
const PRIOR: [f64; 3] = [0.5, 1.0, 1.0];
/// The same, where there is no residual: nothing but 0.
const PRIOR_ALONE: [f64; 3] = [0.5, 1e-6, 1.0];
/// A lower slope says that the scores mean nothing; one that fell to 0 would turn their order.
const SLOPE_MIN: f64 = 0.1;
const STEPS_MAX: usize = 25;
const HALVINGS_MAX: usize = 20;

/// `slope · raw + residual · r + offset`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Platt {
    pub(super) slope: f64,
    pub(super) residual: f64,
    pub(super) offset: f64,
}

/// A label that the raw log-odds did not know.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Held {
    pub(super) raw: f64,
    pub(super) residual: f64,
    pub(super) happened: bool,
    pub(super) weight: f64,
}

impl Platt {
    pub(super) fn probability(&self, held: &Held) -> f64 {
        logistic(self.slope * held.raw + self.residual * held.residual + self.offset)
    }

    /// Fits slope and offset, and with `residuals` their weight too, which is never negative.
    pub(super) fn fit(held: &[Held], residuals: bool) -> Platt {
        let found = newton(held, if residuals { &PRIOR } else { &PRIOR_ALONE });
        if residuals && found[1] < 0.0 {
            return Platt::fit(held, false);
        }
        let residual = if residuals { found[1] } else { 0.0 };
        Platt { slope: found[0].max(SLOPE_MIN), residual, offset: found[2] }
    }
}

fn newton(held: &[Held], prior: &[f64; 3]) -> [f64; 3] {
    let mut at = [1.0, 0.0, 0.0];
    let mut value = objective(held, prior, at);
    for _ in 0..STEPS_MAX {
        let (gradient, hessian) = slopes(held, prior, at);
        let step = solve(hessian, gradient);
        let mut scale = 1.0;
        let lower = (0..HALVINGS_MAX).find_map(|_| {
            let next = std::array::from_fn(|k| at[k] - scale * step[k]);
            scale /= 2.0;
            let there = objective(held, prior, next);
            (there < value).then_some((next, there))
        });
        let Some((next, there)) = lower else { break };
        let gained = value - there;
        (at, value) = (next, there);
        if gained < 1e-9 {
            break;
        }
    }
    at
}

fn objective(held: &[Held], prior: &[f64; 3], at: [f64; 3]) -> f64 {
    let losses = held.iter().map(|held| {
        let z = dot(at, columns(held));
        // -log of the probability of what happened, without overflow.
        let z = if held.happened { -z } else { z };
        held.weight * (z.max(0.0) + (-z.abs()).exp().ln_1p())
    });
    losses.sum::<f64>() + (0..3).map(|k| (away(at, k) / prior[k]).powi(2) / 2.0).sum::<f64>()
}

fn slopes(held: &[Held], prior: &[f64; 3], at: [f64; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut gradient = std::array::from_fn(|k| away(at, k) / prior[k].powi(2));
    let mut hessian = [[0.0; 3]; 3];
    (0..3).for_each(|k| hessian[k][k] = prior[k].powi(-2));
    for held in held {
        let x = columns(held);
        let p = logistic(dot(at, x));
        let error = held.weight * (p - f64::from(u8::from(held.happened)));
        for row in 0..3 {
            gradient[row] += error * x[row];
            for column in 0..3 {
                hessian[row][column] += held.weight * p * (1.0 - p) * x[row] * x[column];
            }
        }
    }
    (gradient, hessian)
}

/// Solves a positive definite system by elimination.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for pivot in 0..3 {
        for row in pivot + 1..3 {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            (pivot..3).for_each(|k| matrix[row][k] -= factor * matrix[pivot][k]);
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|k| matrix[row][k] * right[k]).sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
    right
}

fn columns(held: &Held) -> [f64; 3] {
    [held.raw, held.residual, 1.0]
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// From the centre of the prior.
fn away(at: [f64; 3], k: usize) -> f64 {
    if k == 0 { at[0] - 1.0 } else { at[k] }
}

fn logistic(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}
