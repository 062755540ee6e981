//! What is known of a transaction when it is scored: who, since when, which records.

use super::{fixed, limits::Limits};
use crate::{
    algebra::{Relation, relation},
    delta::{Delta, Op},
    key::Key,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One record as a transaction touches it, by ids: names stay with the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Touch {
    /// The record.
    pub record: u64,
    /// The area: what lies together, in the store the (collection, partition).
    pub area: u64,
    /// The field, in the store the (collection, field) of the operation.
    pub field: u64,
    /// Whether it writes; an expectation only reads.
    pub writes: bool,
    /// Whether it commutes with another of its kind.
    pub commutes: bool,
    /// Its size.
    pub bytes: u64,
}

impl Touch {
    /// That of a delta which has `bytes` bytes.
    pub fn of_delta(delta: &Delta, bytes: usize) -> Touch {
        let collection = fixed::name_id(delta.key.collection.as_bytes());
        let field = delta.op.fields().first().map_or("", |field| *field);
        Touch {
            field: fixed::pair_id(collection, fixed::name_id(field.as_bytes())),
            writes: !matches!(delta.op, Op::Expect(_)),
            commutes: relation(&delta.op, &delta.op) == Relation::Commutes,
            bytes: bytes as u64,
            ..Touch::of_key(&delta.key)
        }
    }

    /// A record that will be written, nobody knows how.
    pub fn of_key(key: &Key) -> Touch {
        let collection = fixed::name_id(key.collection.as_bytes());
        let area = fixed::pair_id(collection, fixed::name_id(key.partition.as_bytes()));
        Touch {
            record: fixed::pair_id(area, fixed::name_id(key.sort.as_bytes())),
            area,
            field: fixed::pair_id(collection, fixed::name_id(b"")),
            writes: true,
            commutes: false,
            bytes: 0,
        }
    }

    /// A write of a named record in a named area.
    pub fn of_names(record: &str, area: &str, field: &str) -> Touch {
        Touch {
            record: fixed::name_id(record.as_bytes()),
            area: fixed::name_id(area.as_bytes()),
            field: fixed::name_id(field.as_bytes()),
            writes: true,
            commutes: false,
            bytes: record.len() as u64,
        }
    }
}

/// A transaction as contention sees it.
///
/// Invariant: the touches ascend by record and name each once; areas and fields ascend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mutation {
    pub(super) user: u64,
    pub(super) begun_us: u64,
    pub(super) touches: Vec<Touch>,
    pub(super) areas: Vec<u64>,
    pub(super) fields: Vec<u64>,
    pub(super) records: u64,
    pub(super) commuting: u64,
    pub(super) bytes: u64,
}

impl Mutation {
    /// Of `user` (an id, as [`fixed::name_id`] makes it), on a snapshot of `begun_us`. Counts are
    /// of all touches; of more than `limits` allow, the first are looked at.
    pub fn new(user: u64, begun_us: u64, touches: Vec<Touch>, limits: &Limits) -> Mutation {
        let bytes = touches.iter().fold(0, |sum: u64, touch| sum.saturating_add(touch.bytes));
        let touches = merged(touches);
        let records = touches.len() as u64;
        let commuting = touches.iter().filter(|touch| touch.commutes).count() as u64;
        let looked = &touches[..touches.len().min(limits.touches_max)];
        let areas = distinct(looked.iter().map(|touch| touch.area), limits.areas_max);
        let fields = distinct(looked.iter().map(|touch| touch.field), limits.areas_max);
        let touches = looked.to_vec();
        Mutation { user, begun_us, touches, areas, fields, records, commuting, bytes }
    }

    /// The records that it writes, of those that are looked at.
    pub(super) fn written(&self) -> impl Iterator<Item = &Touch> {
        self.touches.iter().filter(|touch| touch.writes)
    }

    /// The areas that it writes in, each once.
    pub(super) fn areas_written(&self) -> impl Iterator<Item = u64> {
        self.areas.iter().copied().filter(|area| self.writes_in(*area))
    }

    pub(super) fn writes_in(&self, area: u64) -> bool {
        self.written().any(|touch| touch.area == area)
    }
}

/// One touch a record: it writes if any does, and commutes if all do.
fn merged(mut touches: Vec<Touch>) -> Vec<Touch> {
    touches.sort_unstable();
    touches.dedup_by(|later, kept| {
        let same = later.record == kept.record;
        if same {
            kept.writes |= later.writes;
            kept.commutes &= later.commutes;
        }
        same
    });
    touches
}

fn distinct(ids: impl Iterator<Item = u64>, most: usize) -> Vec<u64> {
    let mut ids: Vec<u64> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.truncate(most);
    ids
}
