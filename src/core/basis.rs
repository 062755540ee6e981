//! Whether what a transaction rests on still holds: a rule of its vote.
//!
//! It looks at the group's own versions, the older ones included, and so comes to the same on every
//! replica.

use crate::{
    body::{Body, KeyRead, Part},
    command::Why,
    delta::Op,
    form::Checked,
    group::Group,
    id::Timestamp,
    key::Key,
    read, resolution,
    rules::broken,
    state::Read,
    strategy::Basis,
    tables,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// The operations on each record that is written.
type Written<'a> = BTreeMap<&'a Key, Vec<&'a Op>>;

impl Group {
    pub(crate) fn check_basis(
        &self,
        state: &impl Read,
        body: &Body,
        part: &Part,
        checked: &Checked,
    ) -> Result<(), Why> {
        if let Basis::Snapshot(at) = body.basis {
            self.check_first(state, at, checked)?;
        }
        let mut written: Option<Written<'_>> = None;
        for read in &part.reads {
            let found = read::version(state, &read.key);
            if found == read.version {
                continue;
            }
            let rebases = body.basis == Basis::Rebase && {
                let written = written.get_or_insert_with(|| operations(checked));
                written.get(&read.key).is_some_and(|mine| self.rebases(state, read, mine))
            };
            if !rebases {
                return Err(Why::ReadChanged { key: read.key.clone(), read: read.version, found });
            }
        }
        let records_max = self.config.limits.range_records_max;
        for read in &part.ranges {
            let found = read::fingerprint(state, &read.range, records_max);
            if found != Some(read.fingerprint) {
                return Err(Why::RangeChanged { range: read.range.clone() });
            }
        }
        Ok(())
    }

    /// Whether operations that were made for the version that was read mean the same on the latest.
    /// Where the older version is no longer kept nobody can tell.
    fn rebases(&self, state: &impl Read, read: &KeyRead, mine: &[&Op]) -> bool {
        let older = read::version_at(state, &read.key, read.version);
        let (_, newer) = read::latest(state, &read.key);
        let known = older.version == read.version;
        let (older, mine) = (older.fields.as_ref(), mine.iter().copied());
        let rebases = || resolution::rebases(mine, older, newer.as_ref());
        known && (broken!(self.rules, RebasesConflicts) || rebases())
    }

    /// The first committer wins: nobody committed a write of what this one writes since its
    /// snapshot. That a record was removed since counts, and is known down to the horizon.
    fn check_first(&self, state: &impl Read, at: Timestamp, checked: &Checked) -> Result<(), Why> {
        let horizon = self.head.horizon;
        if at < horizon {
            return Err(Why::SnapshotTooOld { at, horizon });
        }
        let written = checked.deltas.iter().filter(|(_, delta)| delta.op.writes());
        let written: BTreeSet<&Key> = written.map(|(_, delta)| &delta.key).collect();
        for key in written {
            let stored = state.get(&tables::latest(key));
            let found = stored.map_or(Timestamp::ZERO, |stored| tables::measure_of(&stored).0);
            if found > at && !broken!(self.rules, LastCommitterWins) {
                return Err(Why::WrittenSince { key: key.clone(), at, found });
            }
        }
        Ok(())
    }
}

fn operations(checked: &Checked) -> Written<'_> {
    let mut written = Written::new();
    for (_, delta) in &checked.deltas {
        written.entry(&delta.key).or_default().push(&delta.op);
    }
    written.retain(|_, operations| operations.iter().any(|op| op.writes()));
    written
}
