//! What forecasters see and what they say.

use std::collections::BTreeMap;
use std::sync::Arc;

use vatic_core::expected::{CELL_ONE, Expected, STEP};
use vatic_core::footprint::{BUCKETS, Footprint, ROWS};
use vatic_core::verdict::Forecast;

/// Cells of a footprint.
pub(crate) const CELLS: usize = ROWS * BUCKETS;

/// What a step is called, by number: the caller numbers operations, or step names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Symbol(pub u32);

/// One transition of a stream.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub symbol: Symbol,
    /// Who sent it.
    pub user: u32,
    /// When, in microseconds.
    pub at_us: i64,
    /// What it adds to the footprint.
    pub footprint: Arc<Footprint>,
}

/// The first steps of a stream; all of them where it is finished.
#[derive(Clone, Copy, Debug)]
pub struct Prefix<'a> {
    /// The transaction's class.
    pub class: u64,
    /// The steps so far, at least one.
    pub steps: &'a [Step],
}

/// What a stream is expected to be when it is finished.
#[derive(Clone, PartialEq, Debug)]
pub struct Outlook {
    /// How many steps it will have.
    pub count: f64,
    /// The cells of its footprint: the point of least expected distance, so that it may lie between
    /// the courses that are likely.
    pub cells: Box<[f64; CELLS]>,
    /// Its steps, each with its number: one course, the likeliest.
    pub steps: BTreeMap<Symbol, u32>,
    /// How many steps it was made from.
    pub prefix: usize,
    /// The distance from the footprint that the forecaster itself expects, in steps.
    pub spread: f64,
}

/// Learns finished streams, forecasts unfinished ones.
pub trait Forecaster: Send {
    /// What it is called in reports.
    fn name(&self) -> &'static str;

    /// Learns from a finished stream.
    fn learn(&mut self, finished: Prefix<'_>);

    /// Forecasts a stream from its first steps.
    fn forecast(&self, prefix: Prefix<'_>) -> Outlook;
}

/// Whether a forecast is made after this many steps: 1, 2, 4, 8, ...
pub fn ask_at(steps: usize) -> bool {
    steps.is_power_of_two()
}

impl<'a> Prefix<'a> {
    /// Its footprint.
    pub fn footprint(&self) -> Footprint {
        let mut sum = Footprint::default();
        self.steps.iter().for_each(|step| sum.add(&step.footprint));
        sum
    }

    /// Its steps, each with its number.
    pub fn counts(&self) -> BTreeMap<Symbol, u32> {
        let mut counts = BTreeMap::new();
        self.steps.iter().for_each(|step| *counts.entry(step.symbol).or_default() += 1);
        counts
    }

    /// The first `steps` of it.
    pub fn first(&self, steps: usize) -> Prefix<'a> {
        Prefix { class: self.class, steps: &self.steps[..steps] }
    }

    /// What follows the first `steps`.
    pub(crate) fn after(&self, steps: usize) -> Prefix<'a> {
        Prefix { class: self.class, steps: &self.steps[steps..] }
    }
}

impl Outlook {
    /// That nothing more will come.
    pub(crate) fn finished(prefix: Prefix<'_>) -> Outlook {
        let mut cells = Box::new([0.0; CELLS]);
        add_cells(&mut cells, &prefix.footprint(), 1.0);
        let count = prefix.steps.len() as f64;
        Outlook { count, cells, steps: prefix.counts(), prefix: prefix.steps.len(), spread: 0.0 }
    }

    /// L2 distance to what came, in steps.
    pub fn distance(&self, actual: &Footprint) -> f64 {
        self.squared(actual).sqrt() / (ROWS as f64).sqrt()
    }

    /// L2 distance to what came, relative to the L2 norm of what came.
    pub fn relative_error(&self, actual: &Footprint) -> f64 {
        let norm: f64 = actual.cells().map(|(_, sum)| f64::from(sum).powi(2)).sum();
        (self.squared(actual) / norm.max(1.0)).sqrt()
    }

    /// As it travels: in fixed point.
    pub fn fixed(&self) -> Forecast {
        let one = f64::from(CELL_ONE);
        let cells = std::array::from_fn(|at| (self.cells[at] * one).round() as i32);
        Forecast {
            footprint: Expected::from_cells(&cells),
            count: self.count.round().max(0.0) as u64,
            prefix: self.prefix as u64,
            spread: (self.spread * STEP as f64).round().max(0.0) as u64,
        }
    }

    fn squared(&self, actual: &Footprint) -> f64 {
        let mut left = *self.cells;
        add_cells(&mut left, actual, -1.0);
        left.iter().map(|cell| cell * cell).sum()
    }
}

/// Adds `times` a footprint to cells.
pub(crate) fn add_cells(cells: &mut [f64; CELLS], footprint: &Footprint, times: f64) {
    for (cell, sum) in footprint.cells() {
        cells[usize::from(cell)] += times * f64::from(sum);
    }
}
