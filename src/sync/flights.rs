//! Work that is done once for all who ask while it is under way, by name.
//!
//! Invariants: of those who ask for a name that flies, none starts a second flight; a flight that
//! has landed is not found any more, also where it lands before its starter has its ticket.

use std::collections::BTreeMap;

use crate::fault::{Fault, broken};
use crate::shim::{Mutex, lock};

/// What is under way, with what each who joins is given.
pub struct Flights<K, V> {
    under_way: Mutex<BTreeMap<K, V>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Flights<K, V> {
        Flights { under_way: Mutex::new(BTreeMap::new()) }
    }
}

impl<K: Ord, V: Clone> Flights<K, V> {
    /// Joins the flight of this name, or starts it. `start` runs under the lock, so that what it
    /// starts cannot land before it is entered; it must not wait for anything.
    pub fn join(&self, name: K, start: impl FnOnce() -> V) -> V {
        let mut under_way = lock(&self.under_way);
        if let Some(ticket) = under_way.get(&name) {
            return ticket.clone();
        }
        if broken(Fault::StartOutsideTheLock) {
            drop(under_way);
            let ticket = start();
            lock(&self.under_way).insert(name, ticket.clone());
            return ticket;
        }
        let ticket = start();
        under_way.insert(name, ticket.clone());
        ticket
    }

    /// The flight is over: who asks from now on starts another.
    pub fn land(&self, name: &K) {
        // Dropped after the lock.
        let _ticket = lock(&self.under_way).remove(name);
    }

    pub fn len(&self) -> usize {
        lock(&self.under_way).len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
