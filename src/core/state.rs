//! The state that the core reads and writes: an ordered map from byte strings to byte strings.
//!
//! The core is pure, so it does not know where its records, votes and decisions live. It sees
//! these two traits; the server puts an overlay over LMDB behind them, the models and the
//! simulator a sorted map in memory. They are separate so that reads outside the log (client
//! reads, dry runs) can be given a view on which a write does not type-check.
//!
//! Invariants of every implementation:
//! - Reads are infallible. An implementation that cannot answer (a damaged page, a failed disk)
//!   must stop the node; it must never answer wrongly, and a failed read is not an absent key.
//! - Keys are ordered bytewise (`memcmp`, the shorter of two equal prefixes first), so that
//!   every replica scans in the same order.
//! - One `Read` is one moment: answers change only through the same value's `State` methods.

use alloc::vec::Vec;

/// A consistent view of an ordered map of byte strings.
pub trait Read {
    /// The value under `key`, or `None` where the key is absent. An empty value is a value.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>>;

    /// Visits the entries with `from <= key < to`, in ascending order of their keys, until the
    /// visitor returns `false`. A range that is empty or inverted (`to <= from`) visits nothing.
    fn scan(&self, from: &[u8], to: &[u8], visit: &mut dyn FnMut(&[u8], &[u8]) -> bool);
}

/// A [`Read`] that can be written. A write is seen at once by later reads of the same value.
pub trait State: Read {
    /// Sets `key` to `value`, replacing what was there.
    fn put(&mut self, key: Vec<u8>, value: Vec<u8>);

    /// Makes `key` absent. Deleting an absent key changes nothing.
    fn delete(&mut self, key: &[u8]);
}
