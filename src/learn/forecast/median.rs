//! The point of least expected distance: a weighted geometric median of remainders.
//!
//! A forecast is judged by its L2 distance, so what to forecast is the point from which the
//! expected distance is least (Weber's point), not the mean, which minimises squares, and not the
//! median of each cell, which knows nothing of which cells go together. Where one remainder has
//! half of the weight it is that remainder exactly. Weiszfeld's iteration, started at the mean; the
//! best of what it reaches and of the heaviest remainders is taken, since it is slow where the
//! median is one.

use vatic_core::footprint::{Footprint, ROWS};

use super::remainder::Remainder;
use super::stream::{CELLS, add_cells};
use super::{Outlook, Prefix};

const ITERATIONS: usize = 24;
/// So many of the heaviest remainders are tried as they are.
const TRIED: usize = 8;
const LANES: usize = 8;

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
        outlook.cells[*cell] += f64::from(*by);
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

/// Remainders as points in those cells that any of them uses; rows are padded to whole lanes.
struct Cloud {
    used: Vec<usize>,
    width: usize,
    points: Vec<f32>,
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
        let width = used.len().next_multiple_of(LANES).max(LANES);
        let mut points = vec![0.0; width * atoms.len()];
        let mut start = [0.0; CELLS];
        add_cells(&mut start, prefix, 1.0);
        let start_squared: f64 = start.iter().map(|cell| cell * cell).sum();
        let mut pulls = Vec::with_capacity(atoms.len());
        for (row, atom) in points.chunks_exact_mut(width).zip(atoms) {
            let mut squared = start_squared;
            for (cell, sum) in atom.remainder.footprint.cells() {
                row[place[usize::from(cell)]] = sum as f32;
                let (was, by) = (start[usize::from(cell)], f64::from(sum));
                squared += by * (by + 2.0 * was);
            }
            pulls.push(atom.weight / squared.sqrt().max(1.0));
        }
        let weights = atoms.iter().map(|atom| atom.weight).collect();
        Cloud { used, width, points, weights, pulls }
    }

    fn median(&self) -> Vec<f32> {
        let total: f64 = self.pulls.iter().sum();
        let mut heaviest: Vec<usize> = (0..self.pulls.len()).collect();
        heaviest.sort_by(|one, other| self.pulls[*other].total_cmp(&self.pulls[*one]));
        if self.pulls[heaviest[0]] * 2.0 >= total {
            return self.point(heaviest[0]).to_vec();
        }
        let mut best = self.weiszfeld();
        let mut least = self.cost(&best);
        for &at in heaviest.iter().take(TRIED) {
            let cost = self.cost(self.point(at));
            // A course that streams take is preferred to a point between two of them.
            if cost <= least * (1.0 + 1e-6) {
                (best, least) = (self.point(at).to_vec(), cost);
            }
        }
        best
    }

    fn weiszfeld(&self) -> Vec<f32> {
        let mut point = self.centre(&self.pulls);
        let mut before = f64::INFINITY;
        for _ in 0..ITERATIONS {
            let apart: Vec<f64> = self.rows().map(|row| distance(&point, row)).collect();
            let cost: f64 = apart.iter().zip(&self.pulls).map(|(apart, pull)| apart * pull).sum();
            if cost > before * (1.0 - 1e-4) {
                break;
            }
            before = cost;
            let pulled = apart.iter().zip(&self.pulls);
            let pulls: Vec<f64> = pulled.map(|(apart, pull)| pull / apart.max(1e-4)).collect();
            point = self.centre(&pulls);
        }
        point
    }

    fn centre(&self, pulls: &[f64]) -> Vec<f32> {
        let total: f64 = pulls.iter().sum();
        let mut centre = vec![0.0; self.width];
        for (row, pull) in self.rows().zip(pulls) {
            let share = (pull / total) as f32;
            centre.iter_mut().zip(row).for_each(|(sum, cell)| *sum += share * cell);
        }
        centre
    }

    fn cost(&self, from: &[f32]) -> f64 {
        self.rows().zip(&self.pulls).map(|(row, pull)| pull * distance(from, row)).sum()
    }

    /// The expected distance from a point, in steps.
    fn mean_distance(&self, from: &[f32], total: f64) -> f64 {
        let weighed = self.rows().zip(&self.weights);
        let sum: f64 = weighed.map(|(row, weight)| weight * distance(from, row)).sum();
        sum / total / (ROWS as f64).sqrt()
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.points.chunks_exact(self.width)
    }

    fn point(&self, at: usize) -> &[f32] {
        &self.points[at * self.width..(at + 1) * self.width]
    }
}

/// Summed in lanes, which the compiler makes vectors of; both are whole lanes long.
fn distance(one: &[f32], other: &[f32]) -> f64 {
    let mut sums = [0.0f32; LANES];
    for (a, b) in one.chunks_exact(LANES).zip(other.chunks_exact(LANES)) {
        for lane in 0..LANES {
            let apart = a[lane] - b[lane];
            sums[lane] += apart * apart;
        }
    }
    f64::from(sums.iter().sum::<f32>()).sqrt()
}
