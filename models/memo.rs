//! A memory of pure functions' results.
//!
//! The core's transitions are pure, and the same few of them recur in a great many states. So each
//! is computed once, by the core's own code, and looked up by fingerprint from then on.

use std::{
    collections::HashMap,
    sync::{Arc, RwLock},
};

/// Remembers by the fingerprints of what a result follows from. There are several shelves so that
/// threads rarely want the same one.
#[derive(Debug)]
pub struct Known<T>([RwLock<Shelf<T>>; SHELVES]);

type Shelf<T> = HashMap<(u64, u64), Arc<T>, ahash::RandomState>;

const SHELVES: usize = 64;

impl<T> Default for Known<T> {
    fn default() -> Known<T> {
        let seeds = ahash::RandomState::with_seeds(1, 2, 3, 4);
        Known(std::array::from_fn(|_| RwLock::new(HashMap::with_hasher(seeds.clone()))))
    }
}

impl<T> Known<T> {
    /// What was computed for this place, now or before.
    pub fn recall(&self, place: (u64, u64), compute: impl FnOnce() -> T) -> Arc<T> {
        let shelf = &self.0[(place.0 ^ place.1) as usize % SHELVES];
        if let Some(result) = shelf.read().expect("no panic while held").get(&place) {
            return Arc::clone(result);
        }
        let result = Arc::new(compute());
        let mut shelf = shelf.write().expect("no panic while held");
        Arc::clone(shelf.entry(place).or_insert(result))
    }
}
