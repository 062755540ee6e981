//! The footprint that a forecast expects, and how far the actual one is from it.
//!
//! A forecast is learnt with floats, outside of this crate; what travels in log entries and is
//! compared here is fixed point, so that every replica finds the same distance. Distances and
//! scores count steps in units of 1/65,536 ([`STEP`]): a transaction that takes one step more than
//! expected is about one [`STEP`] away.

use crate::footprint::{BUCKETS, Footprint, ROWS, Token};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A distance or a score, in 1/65,536 of a step.
pub type Score = u64;

/// The score of one step that differs.
pub const STEP: Score = 1 << 16;

/// Cells hold sums in 1/256.
pub const CELL_ONE: i32 = 256;

const CELLS: usize = ROWS * BUCKETS;

/// A footprint with broken counts: cell to its sum in 1/256.
///
/// Invariant: the cells ascend, and none is zero.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u8, i32)>")]
pub struct Expected(Vec<(u8, i32)>);

/// Cells that do not ascend, or one that is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cells of an expected footprint do not ascend, or one is zero")]
pub struct NotExpected;

impl TryFrom<Vec<(u8, i32)>> for Expected {
    type Error = NotExpected;

    fn try_from(cells: Vec<(u8, i32)>) -> Result<Expected, NotExpected> {
        let ascend = cells.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let sound = ascend && cells.iter().all(|(_, sum)| *sum != 0);
        if sound { Ok(Expected(cells)) } else { Err(NotExpected) }
    }
}

impl From<&Footprint> for Expected {
    fn from(footprint: &Footprint) -> Expected {
        let cells = footprint.cells().map(|(cell, sum)| (cell, sum.saturating_mul(CELL_ONE)));
        Expected(cells.collect())
    }
}

impl Expected {
    /// From all cells in order, in 1/256; those that are zero are left out.
    pub fn from_cells(cells: &[i32; CELLS]) -> Expected {
        let kept = (0u8..=u8::MAX).zip(cells.iter().copied()).filter(|(_, sum)| *sum != 0);
        Expected(kept.collect())
    }

    /// L2 distance over all cells, the rows taken as repeated measurements: the root of the rows'
    /// mean squared distance. Saturates.
    pub fn distance(&self, actual: &Footprint) -> Score {
        let squares = self.differences(actual).map(|(_, by)| u128::from(by.unsigned_abs()).pow(2));
        // Sums are in 1/256, squares in 1/65,536: sixteen more bits give the root its unit.
        let mean = squares.sum::<u128>() / ROWS as u128;
        u64::try_from((mean << 16).isqrt()).unwrap_or(u64::MAX)
    }

    /// What stands where `done` of `due` steps are gone of the straight way from a footprint to
    /// this one; this one behind its end.
    pub fn on_the_way(&self, from: &Footprint, done: u64, due: u64) -> Expected {
        if done >= due {
            return self.clone();
        }
        let (done, due) = (i128::from(done), i128::from(due));
        let mut sums = [0i128; CELLS];
        for (cell, sum) in from.cells() {
            sums[usize::from(cell)] += i128::from(sum) * i128::from(CELL_ONE) * (due - done);
        }
        self.0.iter().for_each(|&(cell, sum)| sums[usize::from(cell)] += i128::from(sum) * done);
        // To the nearest, away from 0.
        let nearest = |sum: i128| (sum + sum.signum() * (due / 2)) / due;
        let fits = |sum: i128| sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32;
        Expected::from_cells(&sums.map(|sum| fits(nearest(sum))))
    }

    /// How many more of a token the actual footprint has than expected, in 1/256: the median over
    /// the rows, as a count sketch is asked.
    pub fn residual(&self, actual: &Footprint, token: Token) -> i64 {
        let mut rows = [0i64; ROWS];
        for (row, (cell, sign)) in rows.iter_mut().zip(token.cells()) {
            let found = self.differences(actual).find(|&(at, _)| at == cell);
            *row = found.map_or(0, |(_, by)| by * i64::from(sign));
        }
        rows.sort_unstable();
        (rows[ROWS / 2 - 1] + rows[ROWS / 2]) / 2
    }

    /// The cells that are not zero, ascending, in 1/256.
    pub fn cells(&self) -> impl Iterator<Item = (u8, i32)> {
        self.0.iter().copied()
    }

    /// Actual less expected for each cell that either has, ascending, in 1/256.
    fn differences(&self, actual: &Footprint) -> impl Iterator<Item = (u8, i64)> {
        let mut expected = self.0.iter().copied().peekable();
        let mut actual = actual.cells().peekable();
        core::iter::from_fn(move || {
            let cell = match (expected.peek(), actual.peek()) {
                (None, None) => return None,
                (Some(&(one, _)), None) | (None, Some(&(one, _))) => one,
                (Some(&(one, _)), Some(&(other, _))) => one.min(other),
            };
            let due = expected.next_if(|&(at, _)| at == cell).map_or(0, |(_, sum)| i64::from(sum));
            let is = actual.next_if(|&(at, _)| at == cell).map_or(0, |(_, sum)| i64::from(sum));
            Some((cell, is * i64::from(CELL_ONE) - due))
        })
    }
}
