//! The point of least expected distance: a weighted geometric median of remainders.
//!
//! A forecast is judged by its L2 distance, so what to forecast is the point from which the expected
//! distance is least (Weber's point), not the mean, which minimises squares, and not the median of
//! each cell, which knows nothing of which cells go together. Where one remainder has half of the
//! weight it is that remainder exactly. Weiszfeld's iteration, started at the mean; the best of what
//! it reaches and of the heaviest remainders is taken, since it is slow where the median is one.

use vatic_core::footprint::{Footprint, ROWS};

use super::remainder::Remainder;
use super::stream::{CELLS, add_cells};
use super::{Outlook, Prefix};

const ITERATIONS: usize = 24;
/// So many of the heaviest remainders are tried as they are.
const TRIED: usize = 8;

/// A remainder and how likely it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Atom<'a> {
    pub(crate) remainder: &'a Remainder,
    pub(crate) weight: f64,
}

/// The forecast that follows from remainders, heaviest first; without any, that nothing follows.
pub(crate) fn outlook(prefix: Prefix<'_>, atoms: &[Atom<'_>]) -> Outlook {
    let mut outlook = Outlook::finished(prefix);
    let total: f64 = atoms.iter().map(|atom| atom.weight).sum();
    let (Some(likeliest), true) = (atoms.first(), total > 0.0) else { return outlook };
    for &(symbol, number) in &likeliest.remainder.steps {
        *outlook.steps.entry(symbol).or_default() += number;
    }
    outlook.count += count(atoms, total);
    let cloud = Cloud::new(&prefix.footprint(), atoms);
    let point = cloud.median();
    outlook.spread = cloud.mean_distance(&point, total);
    for (cell, by) in cloud.used.iter().zip(&point) {
        outlook.cells[*cell] += by;
    }
    outlook
}

/// The weighted median of how many steps remain.
fn count(atoms: &[Atom<'_>], total: f64) -> f64 {
    let mut counts: Vec<(u32, f64)> =
        atoms.iter().map(|atom| (atom.remainder.count(), atom.weight)).collect();
    counts.sort_unstable_by_key(|(count, _)| *count);
    let mut below = 0.0;
    let median = counts.iter().find(|(_, weight)| {
        below += weight;
        below >= total / 2.0
    });
    median.map_or(0.0, |(count, _)| f64::from(*count))
}

/// Remainders as points in those cells that any of them uses.
struct Cloud {
    used: Vec<usize>,
    points: Vec<Vec<f64>>,
    /// How likely each is.
    weights: Vec<f64>,
    /// The same over the norm of the finished footprint: relative errors are what counts.
    pulls: Vec<f64>,
}

impl Cloud {
    fn new(prefix: &Footprint, atoms: &[Atom<'_>]) -> Cloud {
        let mut place = [usize::MAX; CELLS];
        let mut used = Vec::new();
        for (cell, _) in atoms.iter().flat_map(|atom| atom.remainder.footprint.cells()) {
            if place[usize::from(cell)] == usize::MAX {
                place[usize::from(cell)] = used.len();
                used.push(usize::from(cell));
            }
        }
        let mut start = [0.0; CELLS];
        add_cells(&mut start, prefix, 1.0);
        let dense = |atom: &Atom<'_>| {
            let mut point = vec![0.0; used.len()];
            let cells = atom.remainder.footprint.cells();
            cells.for_each(|(cell, sum)| point[place[usize::from(cell)]] = f64::from(sum));
            point
        };
        let norm = |atom: &Atom<'_>| {
            let mut whole = start;
            add_cells(&mut whole, &atom.remainder.footprint, 1.0);
            whole.iter().map(|cell| cell * cell).sum::<f64>().sqrt().max(1.0)
        };
        let weights = atoms.iter().map(|atom| atom.weight).collect();
        let pulls = atoms.iter().map(|atom| atom.weight / norm(atom)).collect();
        Cloud { points: atoms.iter().map(dense).collect(), used, weights, pulls }
    }

    fn median(&self) -> Vec<f64> {
        let total: f64 = self.pulls.iter().sum();
        let mut heaviest: Vec<usize> = (0..self.pulls.len()).collect();
        heaviest.sort_by(|one, other| self.pulls[*other].total_cmp(&self.pulls[*one]));
        if self.pulls[heaviest[0]] * 2.0 >= total {
            return self.points[heaviest[0]].clone();
        }
        let mut best = self.weiszfeld();
        let mut least = self.cost(&best);
        for &at in heaviest.iter().take(TRIED) {
            let cost = self.cost(&self.points[at]);
            // A course that streams take is preferred to a point between two of them.
            if cost <= least * (1.0 + 1e-9) {
                (best, least) = (self.points[at].clone(), cost);
            }
        }
        best
    }

    fn weiszfeld(&self) -> Vec<f64> {
        let mut point = self.centre(&self.pulls);
        for _ in 0..ITERATIONS {
            let pulled = self.points.iter().zip(&self.pulls);
            let pulls: Vec<f64> =
                pulled.map(|(other, pull)| pull / distance(&point, other).max(1e-6)).collect();
            point = self.centre(&pulls);
        }
        point
    }

    fn centre(&self, pulls: &[f64]) -> Vec<f64> {
        let total: f64 = pulls.iter().sum();
        let mut centre = vec![0.0; self.used.len()];
        for (point, pull) in self.points.iter().zip(pulls) {
            let share = pull / total;
            centre.iter_mut().zip(point).for_each(|(sum, cell)| *sum += share * cell);
        }
        centre
    }

    fn cost(&self, from: &[f64]) -> f64 {
        let pulled = self.points.iter().zip(&self.pulls);
        pulled.map(|(point, pull)| pull * distance(from, point)).sum()
    }

    /// The expected distance from a point, in steps.
    fn mean_distance(&self, from: &[f64], total: f64) -> f64 {
        let weighed = self.points.iter().zip(&self.weights);
        let sum: f64 = weighed.map(|(point, weight)| weight * distance(from, point)).sum();
        sum / total / (ROWS as f64).sqrt()
    }
}

fn distance(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}
