//! What can go, and when: listed by whoever makes it, removed by collections.
//!
//! Items are gathered while an entry is applied and written at its end, many to a row, due by the
//! clock as it stands then. So they may wait a little longer than each alone would, never shorter.
//! A collection raises the horizon and removes what is due, a bounded number at a time.
//!
//! Invariant: between entries nothing is gathered (it would be lost with the process).

use crate::{
    codec,
    command::Reply,
    forget,
    group::Group,
    id::{Tid, Timestamp},
    read,
    state::{Read, State},
    tables::{self, Garbage, Kept, KeptRef},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

/// Most items in one row: what a collection may remove beyond its bound.
const ROW_ITEMS_MAX: usize = 64;

/// Items that wait to be written, by how long after the clock they are due, in microseconds.
pub(crate) type Gathered = BTreeMap<u64, Vec<Garbage>>;

impl Group {
    /// Lists an item that is due so many microseconds after the clock, as it stands at the end of
    /// the entry.
    pub(crate) fn list(&mut self, item: Garbage, after_us: u64) {
        self.gathered.entry(after_us).or_default().push(item);
    }

    /// Writes what was gathered.
    pub(crate) fn write_garbage(&mut self, state: &mut impl State) {
        for (after_us, mut items) in core::mem::take(&mut self.gathered) {
            let due = self.head.clock.plus_us(after_us);
            if items.len() > ROW_ITEMS_MAX {
                // Rows are collected in the order of their first items: an older version must not
                // outlive the tombstone that hides it.
                items.sort_by_cached_key(codec::encode);
            }
            items.chunks(ROW_ITEMS_MAX).for_each(|items| write_row(state, due, items));
        }
    }

    /// Whether a collection with this horizon would find something to remove.
    pub fn has_due(&self, state: &impl Read, horizon: Timestamp) -> bool {
        let (from, to) = due_up_to(horizon.min(self.head.clock));
        !read::keys_up_to(state, &from, &to, 1).is_empty()
    }

    /// Raises the horizon and removes what is due, up to the first row that ends at or past
    /// `items_max` items.
    pub(crate) fn collect(
        &mut self,
        state: &mut impl State,
        horizon: Timestamp,
        items_max: u32,
    ) -> Reply {
        self.head.horizon = self.head.horizon.max(horizon.min(self.head.clock));
        let rows = due_rows(state, self.head.horizon, items_max as usize);
        let is_leaves = |item: &Garbage| matches!(item, Garbage::Leaves { .. });
        let needed = match rows.iter().any(|(_, items)| items.iter().any(is_leaves)) {
            true => self.entries_that_owe_proofs(state),
            false => BTreeSet::new(),
        };
        for (row, items) in rows {
            state.delete(&row);
            for item in items {
                match item {
                    Garbage::Leaves { index } if needed.contains(&index) => self.list_leaves(index),
                    item => self.remove(state, item),
                }
            }
        }
        Reply::Done
    }

    /// Lists the leaves of an entry with Yes votes. They stay longer than what is made of them: a
    /// commit of one group is decided in the very entry, and one of several carries its proofs with
    /// its decision.
    pub(crate) fn list_leaves(&mut self, index: u64) {
        let after_us = self.config.limits.outcome_ttl_us.saturating_mul(2);
        self.list(Garbage::Leaves { index }, after_us);
    }

    /// Where Yes votes stand whose proofs somebody will want: of the undecided, for decisions; and
    /// of commits that the home group may not know of yet, for its receipt. Those are few: what is
    /// older than an outcome's time is mostly forgotten.
    fn entries_that_owe_proofs(&self, state: &impl Read) -> BTreeSet<u64> {
        let (from, to) = tables::whole(tables::PREPARED);
        let mut indexes = BTreeSet::new();
        for prepared in read::keys(state, &from, &to) {
            let kept = tables::load_kept(state, tables::tid_of(&prepared));
            indexes.extend(kept.and_then(|kept| kept.place).map(|place| place.index));
        }
        let old = self.head.horizon.0.saturating_sub(self.config.limits.outcome_ttl_us);
        let (from, to) = tables::minted(tables::TXN, self.head.watermark, Timestamp(old));
        state.scan(&from, &to, &mut |_, kept| {
            if forget::needs_settling(&tables::txn_of(kept)) {
                let Kept { place, .. } = tables::stored(kept);
                indexes.extend(place.map(|place| place.index));
            }
            true
        });
        indexes
    }

    fn remove(&mut self, state: &mut impl State, item: Garbage) {
        match item {
            Garbage::Version { key, version } => state.delete(&tables::history(&key, version)),
            Garbage::Latest { key, version } => {
                let place = tables::latest(&key);
                let current = state.get(&place).map(|stored| tables::measure_of(&stored));
                if let Some((_, bytes)) = current.filter(|(current, _)| *current == version) {
                    state.delete(&place);
                    self.head.quota.replace(bytes, 0);
                }
            }
            Garbage::Checkpoint { last } => state.delete(&tables::attested(last)),
            Garbage::Leaves { index } => state.delete(&tables::leaves(index)),
            Garbage::Outcome(tid) if self.is_stale(tid) => state.delete(&tables::txn(tid)),
            Garbage::Outcome(tid) => self.strip(state, tid),
        }
    }

    /// Drops all but vote and decision, which are not to be forgotten yet; they go some time after
    /// they are.
    fn strip(&mut self, state: &mut impl State, tid: Tid) {
        self.list(Garbage::Outcome(tid), self.config.limits.outcome_ttl_us);
        let kept = tables::load_kept(state, tid).filter(|kept| kept.aggregate.is_some());
        if let Some(Kept { txn, .. }) = kept {
            let bare = KeptRef { txn: &txn, place: None, aggregate: None };
            tables::save(state, tables::txn(tid), &bare);
        }
    }
}

/// Adds to a row that is there already: two entries may end at the same clock.
fn write_row(state: &mut impl State, due: Timestamp, items: &[Garbage]) {
    let (first, rest) = items.split_first().expect("chunks are not empty");
    let row = tables::garbage(due, first);
    let mut more = match state.get(&row) {
        Some(value) => tables::garbage_items(&row, &value).split_off(1),
        None => Vec::new(),
    };
    more.extend_from_slice(rest);
    match more.is_empty() {
        true => state.put(row, Vec::new()),
        false => tables::save(state, row, &more),
    }
}

/// The first rows that are due at a horizon, up to that which brings `items_max` items.
fn due_rows(
    state: &impl Read,
    horizon: Timestamp,
    items_max: usize,
) -> Vec<(Vec<u8>, Vec<Garbage>)> {
    let (from, to) = due_up_to(horizon);
    let (mut rows, mut found) = (Vec::new(), 0);
    state.scan(&from, &to, &mut |row, value| {
        if found < items_max {
            let items = tables::garbage_items(row, value);
            found += items.len();
            rows.push((row.to_vec(), items));
        }
        found < items_max
    });
    rows
}

/// Bounds of the garbage that is due at a horizon.
fn due_up_to(horizon: Timestamp) -> (Vec<u8>, Vec<u8>) {
    let (from, _) = tables::whole(tables::GARBAGE);
    let mut to = from.clone();
    to.extend_from_slice(&horizon.next().0.to_be_bytes());
    (from, to)
}
