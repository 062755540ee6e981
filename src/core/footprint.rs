//! The footprint: a digest in which distance means something.
//!
//! A count sketch (Charikar, Chen, Farach-Colton, 2002) of signed integers, 4 rows of 64 buckets:
//! each token adds ±1 to one bucket of each row. It is linear, so the partial footprints of all
//! groups sum to the transaction's in any order, and the L2 distance of two footprints estimates
//! how many steps differ. Integers only; cells that are zero are not kept, so equal footprints are
//! equal bytes.

use crate::{delta::Delta, hash::Hasher};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Rows of the sketch.
pub const ROWS: usize = 4;
/// Buckets in a row.
pub const BUCKETS: usize = 64;

/// A sparse count sketch: cell `row * 64 + bucket` to its sum.
///
/// Invariant: the cells ascend, and none is zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u8, i32)>")]
pub struct Footprint(Vec<(u8, i32)>);

/// What a footprint counts: where it falls in each row, and with which sign.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Token([u8; 2 * ROWS]);

/// Cells that do not ascend, or one that is zero: not what this crate wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the cells of a footprint do not ascend, or one is zero")]
pub struct NotAFootprint;

impl TryFrom<Vec<(u8, i32)>> for Footprint {
    type Error = NotAFootprint;

    fn try_from(cells: Vec<(u8, i32)>) -> Result<Footprint, NotAFootprint> {
        let ascend = cells.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let sound = ascend && cells.iter().all(|(_, count)| *count != 0);
        if sound { Ok(Footprint(cells)) } else { Err(NotAFootprint) }
    }
}

impl Token {
    /// The token of a named step, for streams that are not deltas.
    pub fn step(name: &str) -> Token {
        Token::of(Hasher::new("step").bytes(name.as_bytes()))
    }

    /// The token of one operation; `field` is empty for those that have none.
    pub fn operation(collection: &str, operation: &str, field: Option<&str>) -> Token {
        let token = Hasher::new("op").bytes(collection.as_bytes()).bytes(operation.as_bytes());
        Token::of(match field {
            Some(field) => token.bytes(field.as_bytes()),
            None => token,
        })
    }

    /// The cell and the sign in each row.
    pub fn cells(&self) -> impl Iterator<Item = (u8, i32)> {
        (0..ROWS).map(|row| {
            let bucket = usize::from(self.0[row * 2]) % BUCKETS;
            let sign = if self.0[row * 2 + 1] & 1 == 0 { 1 } else { -1 };
            ((row * BUCKETS + bucket) as u8, sign)
        })
    }

    fn of(hasher: Hasher) -> Token {
        let digest = hasher.finish().0;
        Token(core::array::from_fn(|at| digest[at]))
    }
}

impl Footprint {
    /// Adds the tokens of one delta: (collection, operation, field) for each field. Partitions and
    /// sizes are not counted: they are chance, which no forecast can be held to.
    pub fn add_delta(&mut self, delta: &Delta) {
        self.add_operation(&delta.key.collection, delta.op.name(), &delta.op.fields());
    }

    /// Adds the tokens of one operation on a record of a collection.
    pub fn add_operation<F: AsRef<str>>(&mut self, collection: &str, op: &str, fields: &[F]) {
        if fields.is_empty() {
            self.add_token(Token::operation(collection, op, None));
        }
        for field in fields {
            self.add_token(Token::operation(collection, op, Some(field.as_ref())));
        }
    }

    /// Adds one token.
    pub fn add_token(&mut self, token: Token) {
        token.cells().for_each(|(cell, sign)| self.bump(cell, sign));
    }

    /// Adds another footprint cell by cell.
    pub fn add(&mut self, other: &Footprint) {
        for &(cell, count) in &other.0 {
            self.bump(cell, count);
        }
    }

    /// Takes another footprint off, cell by cell: of the whole and a prefix it leaves the
    /// remainder.
    pub fn subtract(&mut self, other: &Footprint) {
        for &(cell, count) in &other.0 {
            self.bump(cell, count.saturating_neg());
        }
    }

    /// Squared L2 distance: the median of the rows' squared distances, which a collision in one
    /// row cannot move far.
    pub fn distance_squared(&self, other: &Footprint) -> u64 {
        let mut rows = [0u64; ROWS];
        for cell in 0..=u8::MAX {
            let difference = i64::from(self.cell(cell)) - i64::from(other.cell(cell));
            rows[usize::from(cell) / BUCKETS] += (difference * difference) as u64;
        }
        rows.sort_unstable();
        (rows[ROWS / 2 - 1] + rows[ROWS / 2]) / 2
    }

    /// The cells that are not zero, ascending.
    pub fn cells(&self) -> impl Iterator<Item = (u8, i32)> {
        self.0.iter().copied()
    }

    /// Feeds the cells in order into a digest.
    pub(crate) fn feed(&self, hasher: Hasher) -> Hasher {
        self.0.iter().fold(hasher.u64(self.0.len() as u64), |hasher, &(cell, count)| {
            hasher.u64(u64::from(cell)).u64(count as i64 as u64)
        })
    }

    fn bump(&mut self, cell: u8, by: i32) {
        match self.0.binary_search_by_key(&cell, |&(cell, _)| cell) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.saturating_add(by);
                if self.0[at].1 == 0 {
                    self.0.remove(at);
                }
            }
            Err(at) => self.0.insert(at, (cell, by)),
        }
    }

    fn cell(&self, cell: u8) -> i32 {
        self.0.binary_search_by_key(&cell, |&(cell, _)| cell).map_or(0, |at| self.0[at].1)
    }
}
