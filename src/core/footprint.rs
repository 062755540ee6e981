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
/// Partitions fall into this many buckets as tokens.
const PARTITION_BUCKETS: u64 = 32;

/// A sparse count sketch: cell `row * 64 + bucket` to its sum.
///
/// Invariant: the cells ascend, and none is zero.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<(u8, i32)>")]
pub struct Footprint(Vec<(u8, i32)>);

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

impl Footprint {
    /// Adds the tokens of one delta: (collection, operation, field) for each field, (collection,
    /// partition bucket), and the log2 class of its size.
    pub fn add_delta(&mut self, delta: &Delta, delta_bytes: usize) {
        let collection = &delta.key.collection;
        let op = delta.op.name();
        let fields = delta.op.fields();
        if fields.is_empty() {
            self.add_token(Hasher::new("op").bytes(collection.as_bytes()).bytes(op.as_bytes()));
        }
        for field in fields {
            let token = Hasher::new("op").bytes(collection.as_bytes()).bytes(op.as_bytes());
            self.add_token(token.bytes(field.as_bytes()));
        }
        let bucket = Hasher::new("bucket").bytes(delta.key.partition.as_bytes()).finish().0[0];
        let bucket = u64::from(bucket) % PARTITION_BUCKETS;
        self.add_token(Hasher::new("part").bytes(collection.as_bytes()).u64(bucket));
        self.add_token(
            Hasher::new("size").u64(u64::from(usize::BITS - delta_bytes.leading_zeros())),
        );
    }

    /// Adds another footprint cell by cell.
    pub fn add(&mut self, other: &Footprint) {
        for &(cell, count) in &other.0 {
            self.bump(cell, count);
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

    fn add_token(&mut self, token: Hasher) {
        let digest = token.finish().0;
        for row in 0..ROWS {
            let bucket = usize::from(digest[row * 2]) % BUCKETS;
            let sign = if digest[row * 2 + 1] & 1 == 0 { 1 } else { -1 };
            self.bump((row * BUCKETS + bucket) as u8, sign);
        }
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
