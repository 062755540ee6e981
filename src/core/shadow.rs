//! Shadow writes: what is not urgent is tried out in a staging area before it is sent.
//!
//! A shadow is a mutation applied to a leader's snapshot of its group, and to nothing else: its
//! votes are tried out ([`crate::group::Group::try_out`]), and it is held against the shadows that
//! were found clean before it and have not ended yet. One that is clean in all its groups is
//! staged and sent; one that somebody is in the way of costs the log no entry and nobody a lock,
//! and is tried again later.
//!
//! A vote that would be refused whatever the others do (an expectation that does not hold, a
//! quota) is no reason to wait: it is sent, and its refusal recorded.
//!
//! Invariants: the state is read and never written, so nobody sees anything of a shadow; no two
//! that are staged have a record in common; each is gone with its lease at the latest. Nothing
//! here decides whether a transaction commits: a stage that is lost, or a leader that is new, costs
//! a conflict.

use crate::{command::Why, key::Key};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Bounds of one leader's staging area.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShadowLimits {
    /// Most shadows that are staged at once.
    pub staged_max: usize,
    /// A staged one that has not left by then is gone.
    pub lease_us: u64,
}

impl ShadowLimits {
    /// What a node runs with.
    pub fn production() -> ShadowLimits {
        ShadowLimits { staged_max: 4_096, lease_us: 1_000_000 }
    }
}

/// Names a shadow, at all leaders that it is staged at.
pub type ShadowId = u64;

/// Those that are staged.
#[derive(Clone, Debug)]
pub struct Shadows {
    limits: ShadowLimits,
    /// Their records, and when they are gone.
    staged: BTreeMap<ShadowId, (Vec<Key>, u64)>,
    /// By record.
    owners: BTreeMap<Key, ShadowId>,
}

/// Whether a vote that came to this would come to something else once others are through.
pub fn waits(why: &Why) -> bool {
    matches!(why, Why::Locked { .. } | Why::RangeLocked { .. })
}

impl Shadows {
    /// A leader's, of nothing yet.
    pub fn new(limits: ShadowLimits) -> Shadows {
        Shadows { limits, staged: BTreeMap::new(), owners: BTreeMap::new() }
    }

    /// Stages a shadow that would write or rely on these records, unless another one has one of
    /// them, or there is no room. Whether it is staged.
    pub fn stage(&mut self, id: ShadowId, keys: BTreeSet<Key>, now_us: u64) -> bool {
        let taken = |key: &Key| {
            let owner = self.owners.get(key).filter(|owner| **owner != id);
            owner.is_some_and(|owner| self.staged[owner].1 > now_us)
        };
        if keys.iter().any(taken) {
            return false;
        }
        self.leave(id);
        if self.staged.len() >= self.limits.staged_max {
            self.expire(now_us);
        }
        if self.staged.len() >= self.limits.staged_max {
            return false;
        }
        // Whoever has one of them still is past its lease.
        let gone: BTreeSet<ShadowId> =
            keys.iter().filter_map(|key| self.owners.get(key).copied()).collect();
        gone.into_iter().for_each(|id| self.leave(id));
        self.owners.extend(keys.iter().map(|key| (key.clone(), id)));
        let until_us = now_us.saturating_add(self.limits.lease_us);
        self.staged.insert(id, (keys.into_iter().collect(), until_us));
        true
    }

    /// It was sent and has ended, or is not sent.
    pub fn leave(&mut self, id: ShadowId) {
        let keys = self.staged.remove(&id).map_or_else(Vec::new, |(keys, _)| keys);
        for key in keys {
            self.owners.remove(&key);
        }
    }

    /// How many are staged.
    pub fn count(&self) -> usize {
        self.staged.len()
    }

    fn expire(&mut self, now_us: u64) {
        let old = self.staged.iter().filter(|(_, (_, until_us))| *until_us <= now_us);
        let old: Vec<ShadowId> = old.map(|(id, _)| *id).collect();
        old.into_iter().for_each(|id| self.leave(id));
    }
}
