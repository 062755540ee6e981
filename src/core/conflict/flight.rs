//! Who is in flight on what.
//!
//! Invariant: the writers of an id are those among the kept transactions that write it.

use super::mutation::Mutation;
use crate::id::{Tid, Timestamp};
use alloc::{collections::BTreeMap, vec::Vec};

/// Transactions in flight that write an id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Writers {
    /// All of them.
    pub(super) all: u32,
    /// Those whose writes are all known: staged or locked, they will land soon.
    pub(super) staged: u32,
}

/// A transaction in flight.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) mutation: Mutation,
    pub(super) staged: bool,
}

/// All that are in flight, up to a limit.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    flights: BTreeMap<Tid, Flight>,
    records: BTreeMap<u64, Writers>,
    areas: BTreeMap<u64, Writers>,
}

impl InFlight {
    /// Adds one; the oldest goes where there are `most`. One that is there already stays.
    pub(super) fn arrive(&mut self, tid: Tid, mutation: Mutation, most: usize) {
        if self.flights.contains_key(&tid) {
            return;
        }
        if self.flights.len() >= most
            && let Some(&oldest) = self.flights.keys().next()
        {
            self.leave(oldest);
        }
        self.count(&mutation, |writers| writers.all += 1);
        self.flights.insert(tid, Flight { mutation, staged: false });
    }

    /// Its writes are complete now.
    pub(super) fn stage(&mut self, tid: Tid) {
        let Some(flight) = self.flights.get_mut(&tid) else { return };
        if core::mem::replace(&mut flight.staged, true) {
            return;
        }
        let mutation = flight.mutation.clone();
        self.count(&mutation, |writers| writers.staged += 1);
    }

    /// It is over: committed, rolled back or given up.
    pub(super) fn leave(&mut self, tid: Tid) -> Option<Flight> {
        let flight = self.flights.remove(&tid)?;
        let staged = u32::from(flight.staged);
        self.count(&flight.mutation, |writers| {
            writers.all -= 1;
            writers.staged -= staged;
        });
        Some(flight)
    }

    /// Forgets those of before. Of a transaction that was led by this node when it began, and by
    /// another one when it ended, nobody says here that it is over.
    pub(super) fn forget_before(&mut self, mint: Timestamp) {
        while let Some(&oldest) = self.flights.keys().next().filter(|tid| tid.mint < mint) {
            self.leave(oldest);
        }
    }

    pub(super) fn flight(&self, tid: Tid) -> Option<&Flight> {
        self.flights.get(&tid)
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    pub(super) fn on_record(&self, id: u64) -> Writers {
        self.records.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn on_area(&self, id: u64) -> Writers {
        self.areas.get(&id).copied().unwrap_or_default()
    }

    fn count(&mut self, mutation: &Mutation, change: impl Fn(&mut Writers)) {
        let records: Vec<u64> = mutation.written().map(|touch| touch.record).collect();
        adjust(&mut self.records, records, &change);
        adjust(&mut self.areas, mutation.areas_written(), &change);
    }
}

fn adjust(
    map: &mut BTreeMap<u64, Writers>,
    ids: impl IntoIterator<Item = u64>,
    change: &impl Fn(&mut Writers),
) {
    for id in ids {
        let writers = map.entry(id).or_default();
        change(writers);
        debug_assert!(writers.staged <= writers.all, "{writers:?} of {id}");
        if *writers == Writers::default() {
            map.remove(&id);
        }
    }
}
