//! Bytes of records that a group may keep, and what its undecided votes were promised of them.
//!
//! A vote that would make the group larger than its limit is a No. A Yes is promised the growth
//! that its images mean, so that installing them later cannot fail for want of room; the decision
//! turns the promise into bytes held, or gives it back. What does not grow is never refused:
//! deleting is how room is made, and a limit may be lowered below what is there.
//!
//! Only the latest versions of what clients name count. Older ones, tombstones and request records
//! go by themselves; counting the last would have a full group refuse the deletes of every client
//! that names its requests. Growth is measured against a version that stays until the decision: the
//! vote's own lock keeps other writers away, and a collection removes nothing that counts.
//!
//! Invariant: both are what counting the rows gives (see [`crate::invariant`]), and together they
//! pass the limit only where it was lowered.

use crate::{
    command::Why,
    key::Key,
    limits::Limits,
    request,
    value::{self, Fields},
};
use serde::{Deserialize, Serialize};

/// How much of a group's quota is in use, in bytes as [`record_bytes`] counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Quota {
    /// By the latest versions of records.
    pub held: u64,
    /// By the growth that undecided Yes votes were promised.
    pub promised: u64,
}

impl Quota {
    /// Whether there is room for this growth.
    pub(crate) fn check(&self, growth: i64, limits: &Limits) -> Result<(), Why> {
        let Quota { held, promised } = *self;
        let (wanted, limit) = (promise(growth), limits.records_bytes_max);
        let used = held.saturating_add(promised);
        if wanted == 0 || wanted <= limit.saturating_sub(used) {
            return Ok(());
        }
        Err(Why::Quota { wanted, held, promised, limit })
    }

    /// Sets room aside for a Yes vote.
    pub(crate) fn promise(&mut self, growth: i64) {
        self.promised += promise(growth);
    }

    /// Takes the promise back: its vote is decided.
    pub(crate) fn settle(&mut self, growth: i64) {
        self.promised -= promise(growth);
    }

    /// A record of `before` bytes has `after` now.
    pub(crate) fn replace(&mut self, before: u64, after: u64) {
        self.held = self.held - before + after;
    }
}

/// What a record counts against the quota, in bytes: its key's components, and its fields as its
/// own size limit counts them; nothing where it is absent, or stands for a request.
pub fn record_bytes(key: &Key, fields: Option<&Fields>) -> u64 {
    let counted = fields.filter(|_| key.collection != request::COLLECTION);
    let name = key.collection.len() + key.partition.len() + key.sort.len();
    counted.map_or(0, |fields| name as u64 + value::size_bytes(fields))
}

/// A vote that shrinks the group is promised nothing: what it frees is free once it is decided.
fn promise(growth: i64) -> u64 {
    u64::try_from(growth).unwrap_or(0)
}
