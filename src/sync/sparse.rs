//! A table under a lock that costs one load for as long as it is empty.
//!
//! Invariant: the count is that of the table whenever nobody holds the lock, so that an entry that
//! happened before a look is never overlooked. A look beside a change may see either.

use crate::fault::{Fault, broken};
use crate::shim::{AtomicUsize, Mutex, Ordering, lock};

/// See the module.
pub struct Sparse<T> {
    table: Mutex<T>,
    /// Entries of the table.
    count: AtomicUsize,
    count_of: fn(&T) -> usize,
}

impl<T> Sparse<T> {
    /// `count_of` says how many entries a table has.
    pub fn new(table: T, count_of: fn(&T) -> usize) -> Sparse<T> {
        let count = AtomicUsize::new(count_of(&table));
        Sparse { table: Mutex::new(table), count, count_of }
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut table = lock(&self.table);
        let result = change(&mut table);
        let count = (self.count_of)(&table);
        if broken(Fault::CountAfterTheLock) {
            drop(table);
            self.count.store(count, Ordering::Release);
            return result;
        }
        self.count.store(count, Ordering::Release);
        result
    }
}
