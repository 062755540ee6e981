//! Transactions that may be moved over what others changed meanwhile in the records that they add
//! to.
//!
//! Which ones is drawn from the transaction's own chain, so that what else a seed draws stays.

use super::World;
use crate::history::Observed;
use vatic_core::{
    codec,
    delta::{Delta, Op},
    draft::Draft,
    key::Key,
    read::Record,
    strategy::Basis,
};

/// Of 256 transactions.
const MOVED: u8 = 64;

impl World {
    /// Has some of the streams that end rest on newer versions than they read, and answers what
    /// they read of records that they write: that need not hold.
    pub(super) fn may_move(
        draft: &mut Draft,
        deltas: &[Vec<u8>],
        seen: &mut Observed,
    ) -> Vec<Record> {
        if draft.seal().head.0[2] >= MOVED {
            return Vec::new();
        }
        draft.rest_on(Basis::Rebase);
        taken_over(deltas, seen)
    }
}

/// Takes what was read of records that these deltas write out of what must hold.
pub(super) fn taken_over(deltas: &[Vec<u8>], seen: &mut Observed) -> Vec<Record> {
    let (moved, held) = std::mem::take(&mut seen.records)
        .into_iter()
        .partition(|record| operations_on(&record.key, deltas).iter().any(Op::writes));
    seen.records = held;
    moved
}

/// What a transaction does to a record.
pub(crate) fn operations_on(key: &Key, deltas: &[Vec<u8>]) -> Vec<Op> {
    let deltas = deltas.iter().filter_map(|delta| codec::decode::<Delta>(delta).ok());
    deltas.filter(|delta| delta.key == *key).map(|delta| delta.op).collect()
}
