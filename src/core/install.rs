//! Versions of records: installing a commit's images.
//!
//! The latest version of a record lies in one place, older ones beside it by version. When a
//! version is superseded at time s, no snapshot at or above s needs it, so it is listed as garbage
//! (see [`crate::garbage`]) that is due once the horizon has reached s.
//! Invariant: every version that a snapshot at or above the horizon can see is kept.

use crate::{
    group::Group,
    id::Timestamp,
    key::Key,
    quota,
    request::{self, Claim},
    rules::broken,
    state::State,
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
        for image in images {
            let replaced = state.get(&tables::latest(&image.key));
            self.install_over(state, claim, image, replaced, ts);
        }
    }

    /// Installs one image over what is known to be stored there.
    pub(crate) fn install_over(
        &mut self,
        state: &mut impl State,
        claim: Option<&Claim>,
        Image { key, fields }: &Image,
        replaced: Option<Vec<u8>>,
        ts: Timestamp,
    ) {
        let (mut before, bytes) = (0, quota::record_bytes(key, fields.as_ref()));
        if let Some(old) = replaced {
            let (version, held) = tables::measure_of(&old);
            before = if broken!(self.rules, ReplacedStillCounts) { 0 } else { held };
            debug_assert!(version < ts, "{key}: {ts} is not above {version}");
            state.put(tables::history(key, version), old);
            self.list(Garbage::Version { key: key.clone(), version }, 0);
        }
        self.head.quota.replace(before, bytes);
        let stored = StoredRef { version: ts, bytes, fields: fields.as_ref() };
        tables::save(state, tables::latest(key), &stored);
        if let Some(after_us) = self.latest_due(claim, key, fields.is_none(), ts) {
            self.list(Garbage::Latest { key: key.clone(), version: ts }, after_us);
        }
    }

    /// How long after the clock the new latest version itself becomes garbage, in microseconds, if
    /// it does.
    fn latest_due(
        &self,
        claim: Option<&Claim>,
        key: &Key,
        tombstone: bool,
        ts: Timestamp,
    ) -> Option<u64> {
        if tombstone {
            return Some(0);
        }
        let claim = claim.filter(|_| key.collection == request::COLLECTION)?;
        let ahead_us = claim.request.mint.max(ts).0.saturating_sub(self.head.clock.0);
        Some(self.config.limits.request_ttl_us.saturating_add(ahead_us))
    }
}
