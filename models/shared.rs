//! Values that many states share, with their fingerprint computed once.
//!
//! A state of the model holds whole groups and coordinators of the core, and most steps change one
//! of them. Sharing the others and hashing a fixed number instead of their content is what makes
//! a million states cheap. Two values count as equal when their 64-bit fingerprints are: the
//! checker identifies states by a 64-bit fingerprint anyway.

use ahash::RandomState;
use std::{
    cmp::Ordering,
    collections::BTreeSet,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

/// An immutable value behind a reference count, with its fingerprint.
pub struct Shared<T>(Arc<(u64, T)>);

/// A value's fingerprint, the same in every run of the program.
pub fn fingerprint(value: &impl Hash) -> u64 {
    const SEEDS: [u64; 4] = [0x7661_7469, 0x6331, 0x6d6f, 0x6465_6c73];
    let [a, b, c, d] = SEEDS;
    RandomState::with_seeds(a, b, c, d).hash_one(value)
}

impl<T: Hash> Shared<T> {
    /// Shares a value.
    pub fn new(value: T) -> Self {
        Shared(Arc::new((fingerprint(&value), value)))
    }
}

impl<T: Clone + Hash> Shared<T> {
    /// Replaces the value by a changed copy.
    pub fn update<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.0.1.clone();
        let result = change(&mut value);
        *self = Shared::new(value);
        result
    }
}

impl<T: Clone + Hash + Ord> Shared<BTreeSet<T>> {
    /// Adds a member, if it is new.
    pub fn insert(&mut self, member: T) {
        if !self.contains(&member) {
            self.update(|set| set.insert(member));
        }
    }
}

impl<T> Shared<T> {
    /// The fingerprint.
    pub fn fingerprint(&self) -> u64 {
        self.0.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(Arc::clone(&self.0))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.1
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }
}

impl<T> Eq for Shared<T> {}

impl<T> PartialOrd for Shared<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Shared<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.fingerprint().cmp(&other.fingerprint())
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.fingerprint());
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.1.fmt(f)
    }
}
