//! The nearest exemplars: the 25 prefixes most like this one, and the median of what followed them.
//!
//! Alike are prefixes by their steps (log counts), the last two, their length, class, user and
//! pace. Of equally near ones the latest count. All exemplars of about the same length are looked
//! at: a few thousand are faster than a tree that must be kept balanced while they come and go.

use std::collections::{BTreeMap, VecDeque};

use vatic_core::footprint::ROWS;

use super::remainder::Remainder;
use super::stream::CELLS;
use super::{Forecaster, Outlook, Prefix, Symbol};

const NEIGHBOURS: usize = 25;
/// Exemplars that are kept: the latest.
const EXEMPLARS_MAX: usize = 8_192;
/// Positions of one stream that are learnt.
const POSITIONS_MAX: usize = 64;

/// See the file's head.
#[derive(Debug, Default)]
pub struct Nearest {
    by_length: BTreeMap<usize, VecDeque<Exemplar>>,
    order: VecDeque<usize>,
    learnt: u64,
}

#[derive(Debug)]
struct Exemplar {
    look: Look,
    remainder: Remainder,
    at: u64,
}

/// What prefixes are compared by.
#[derive(Debug)]
struct Look {
    counts: Vec<(Symbol, f64)>,
    last: [Option<Symbol>; 2],
    length: f64,
    class: u64,
    user: u32,
    pace: f64,
}

impl Forecaster for Nearest {
    fn name(&self) -> &'static str {
        "knn"
    }

    fn learn(&mut self, finished: Prefix<'_>) {
        for length in 1..finished.steps.len().min(POSITIONS_MAX + 1) {
            let look = Look::of(finished.first(length));
            let remainder = Remainder::of(finished.after(length));
            self.learnt += 1;
            let exemplar = Exemplar { look, remainder, at: self.learnt };
            self.by_length.entry(length).or_default().push_back(exemplar);
            self.order.push_back(length);
            if self.order.len() > EXEMPLARS_MAX {
                self.forget_oldest();
            }
        }
    }

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        let mut outlook = Outlook::finished(prefix);
        let near = self.nearest(prefix);
        if near.is_empty() {
            return outlook;
        }
        for (symbol, more) in median_steps(&near) {
            *outlook.steps.entry(symbol).or_default() += more;
        }
        let mut left: Vec<f64> = near.iter().map(|other| f64::from(other.count())).collect();
        outlook.count += median(&mut left);
        let point = median_cells(&near);
        let squares = |other: &&Remainder| {
            let mut apart = point;
            super::stream::add_cells(&mut apart, &other.footprint, -1.0);
            apart.iter().map(|cell| cell * cell).sum::<f64>()
        };
        let apart: f64 = near.iter().map(|other| squares(other).sqrt()).sum();
        outlook.spread = apart / near.len() as f64 / (ROWS as f64).sqrt();
        outlook.cells.iter_mut().zip(point).for_each(|(cell, by)| *cell += by);
        outlook
    }
}

impl Nearest {
    fn forget_oldest(&mut self) {
        let Some(length) = self.order.pop_front() else { return };
        if let Some(exemplars) = self.by_length.get_mut(&length) {
            exemplars.pop_front();
            if exemplars.is_empty() {
                self.by_length.remove(&length);
            }
        }
    }

    fn nearest(&self, prefix: Prefix<'_>) -> Vec<&Remainder> {
        let look = Look::of(prefix);
        let length = prefix.steps.len().min(POSITIONS_MAX);
        let about = length - length.div_ceil(4)..=length + length.div_ceil(4);
        let mut near: Vec<(f64, u64, &Remainder)> = Vec::with_capacity(NEIGHBOURS + 1);
        for exemplar in
            self.by_length.range(about).flat_map(|(_, exemplars)| exemplars.iter().rev())
        {
            let bound = near.get(NEIGHBOURS - 1).map_or(f64::INFINITY, |(apart, ..)| *apart);
            let Some(apart) = look.distance(&exemplar.look, bound) else { continue };
            let age = self.learnt - exemplar.at;
            let place = near.partition_point(|other| (other.0, other.1) < (apart, age));
            near.insert(place, (apart, age, &exemplar.remainder));
            near.truncate(NEIGHBOURS);
        }
        near.into_iter().map(|(_, _, remainder)| remainder).collect()
    }
}

impl Look {
    fn of(prefix: Prefix<'_>) -> Look {
        let steps = prefix.steps;
        let counts = prefix.counts().into_iter();
        let took = steps.last().map_or(0, |last| last.at_us - steps[0].at_us).max(0);
        Look {
            counts: counts.map(|(symbol, n)| (symbol, f64::from(n).ln_1p())).collect(),
            last: [1, 2].map(|back| steps.len().checked_sub(back).map(|at| steps[at].symbol)),
            length: (steps.len() as f64).ln(),
            class: prefix.class,
            user: steps.last().map_or(0, |step| step.user),
            pace: (took as f64 / 1e6 / steps.len() as f64).ln_1p(),
        }
    }

    /// Squared, unless it is above a bound; the last steps count as much as steps that only one
    /// has, the rest less.
    fn distance(&self, other: &Look, bound: f64) -> Option<f64> {
        let differ = |differ: bool, weight: f64| if differ { weight } else { 0.0 };
        let apart = differ(self.last[0] != other.last[0], 2.0)
            + differ(self.last[1] != other.last[1], 2.0)
            + (self.length - other.length).powi(2)
            + differ(self.class != other.class, 2.0)
            + differ(self.user != other.user, 0.1)
            + 0.005 * (self.pace - other.pace).powi(2);
        // What is dear comes last: few exemplars get here.
        let apart = if apart > bound { apart } else { apart + self.steps_apart(other) };
        (apart <= bound).then_some(apart)
    }

    fn steps_apart(&self, other: &Look) -> f64 {
        let (mut one, mut two) = (self.counts.iter().peekable(), other.counts.iter().peekable());
        let mut sum = 0.0;
        loop {
            let symbol = match (one.peek(), two.peek()) {
                (None, None) => return sum,
                (Some(at), None) | (None, Some(at)) => at.0,
                (Some(a), Some(b)) => a.0.min(b.0),
            };
            let a = one.next_if(|at| at.0 == symbol).map_or(0.0, |at| at.1);
            let b = two.next_if(|at| at.0 == symbol).map_or(0.0, |at| at.1);
            sum += (a - b) * (a - b);
        }
    }
}

fn median_steps(near: &[&Remainder]) -> Vec<(Symbol, u32)> {
    let mut numbers: BTreeMap<Symbol, Vec<u32>> = BTreeMap::new();
    for (symbol, number) in near.iter().flat_map(|remainder| &remainder.steps) {
        numbers.entry(*symbol).or_default().push(*number);
    }
    let middle = |mut some: Vec<u32>| {
        // Those that do not have it at all have none.
        some.resize(near.len(), 0);
        some.sort_unstable();
        some[near.len() / 2]
    };
    let medians = numbers.into_iter().map(|(symbol, some)| (symbol, middle(some)));
    medians.filter(|(_, number)| *number > 0).collect()
}

fn median_cells(near: &[&Remainder]) -> [f64; CELLS] {
    let mut sums: Vec<Vec<f64>> = vec![Vec::new(); CELLS];
    for (cell, sum) in near.iter().flat_map(|remainder| remainder.footprint.cells()) {
        sums[usize::from(cell)].push(f64::from(sum));
    }
    std::array::from_fn(|cell| {
        let some = &mut sums[cell];
        if some.is_empty() {
            return 0.0;
        }
        some.resize(near.len(), 0.0);
        median(some)
    })
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    if numbers.len() % 2 == 1 {
        numbers[middle]
    } else {
        f64::midpoint(numbers[middle - 1], numbers[middle])
    }
}
