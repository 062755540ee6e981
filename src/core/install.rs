//! Versions of records: installing a commit's images, and collecting what no snapshot can read.
//!
//! The latest version of a record lies in one place, older ones beside it by version. When a
//! version is superseded at time s, no snapshot at or above s needs it, so it is listed as garbage
//! due at s; collection raises the horizon and removes what is due, a bounded number at a time.
//! Invariant: every version that a snapshot at or above the horizon can see is kept.

use crate::{
    command::Reply,
    group::Group,
    id::Timestamp,
    key::Key,
    quota, read,
    request::{self, Claim},
    state::{Read, State},
    tables::{self, Garbage, Image, StoredRef},
};
use alloc::vec::Vec;

impl Group {
    /// Installs the images of a transaction at its commit timestamp.
    pub(crate) fn install(
        &mut self,
        state: &mut impl State,
        claim: Option<&Claim>,
        images: &[Image],
        ts: Timestamp,
    ) {
        for Image { key, fields } in images {
            let place = tables::latest(key);
            let (mut before, bytes) = (0, quota::record_bytes(key, fields.as_ref()));
            if let Some(old) = state.get(&place) {
                let (version, held) = tables::measure_of(&old);
                before = held;
                debug_assert!(version < ts, "{key}: {ts} is not above {version}");
                state.put(tables::history(key, version), old);
                let item = Garbage::Version { key: key.clone(), version };
                state.put(tables::garbage(ts, &item), Vec::new());
            }
            self.head.quota.replace(before, bytes);
            let stored = StoredRef { version: ts, bytes, fields: fields.as_ref() };
            tables::save(state, place, &stored);
            if let Some(due) = self.latest_due(claim, key, fields.is_none(), ts) {
                let item = Garbage::Latest { key: key.clone(), version: ts };
                state.put(tables::garbage(due, &item), Vec::new());
            }
        }
    }

    /// Whether a collection with this horizon would find something to remove.
    pub fn has_due(&self, state: &impl Read, horizon: Timestamp) -> bool {
        let (from, to) = due_up_to(horizon.min(self.head.clock));
        !read::keys_up_to(state, &from, &to, 1).is_empty()
    }

    /// Raises the horizon and removes up to `items_max` due items.
    pub(crate) fn collect(
        &mut self,
        state: &mut impl State,
        horizon: Timestamp,
        items_max: u32,
    ) -> Reply {
        self.head.horizon = self.head.horizon.max(horizon.min(self.head.clock));
        let (from, to) = due_up_to(self.head.horizon);
        for place in read::keys_up_to(state, &from, &to, items_max as usize) {
            state.delete(&place);
            self.remove(state, &tables::garbage_item(&place));
        }
        Reply::Done
    }

    /// When the new latest version itself becomes garbage, if it does.
    fn latest_due(
        &self,
        claim: Option<&Claim>,
        key: &Key,
        tombstone: bool,
        ts: Timestamp,
    ) -> Option<Timestamp> {
        if tombstone {
            return Some(ts);
        }
        let claim = claim.filter(|_| key.collection == request::COLLECTION);
        let ttl = self.config.limits.request_ttl_us;
        claim.map(|claim| claim.request.mint.max(ts).plus_us(ttl))
    }

    fn remove(&mut self, state: &mut impl State, item: &Garbage) {
        match item {
            Garbage::Version { key, version } => state.delete(&tables::history(key, *version)),
            Garbage::Latest { key, version } => {
                let place = tables::latest(key);
                let current = state.get(&place).map(|stored| tables::measure_of(&stored));
                if let Some((_, bytes)) = current.filter(|(current, _)| current == version) {
                    state.delete(&place);
                    self.head.quota.replace(bytes, 0);
                }
            }
            Garbage::Checkpoint { last } => state.delete(&tables::attested(*last)),
            Garbage::Outcome(tid) => {
                state.delete(&tables::aggregate(*tid));
                state.delete(&tables::proof(*tid));
            }
        }
    }
}

/// Bounds of the garbage that is due at a horizon.
fn due_up_to(horizon: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let (from, _) = tables::whole(tables::GARBAGE);
    let mut to = from.clone();
    to.extend_from_slice(&horizon.next().0.to_be_bytes());
    (from, to)
}
