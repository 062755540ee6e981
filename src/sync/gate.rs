//! Memory under a bound that many fill and one frees: who fills too much waits at the gate, and
//! one of them asks for it to be freed out of turn.
//!
//! Why the freeing side takes the gate's lock for nothing before it wakes: a waiter looks and falls
//! asleep under that lock. Without it the bytes could go between its look and its sleep, and the
//! wake-up with them.
//!
//! Why one relaxed counter is enough: who adds sees its own addition, so of several that add, the
//! last one sees the sum of all; and who clears `kicked` before it looks for what to free finds all
//! that was there when somebody was told that a kick is on its way.

use std::time::{Duration, Instant};

use crate::fault::{Fault, broken};
use crate::shim::{AtomicBool, AtomicUsize, Condvar, Mutex, Ordering, lock, wait_at_most};

/// See the module.
pub struct Gate {
    bytes: AtomicUsize,
    /// Somebody asked for bytes to be freed, and that has not begun.
    kicked: AtomicBool,
    gate: Mutex<()>,
    freed: Condvar,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate {
            bytes: AtomicUsize::new(0),
            kicked: AtomicBool::new(false),
            gate: Mutex::new(()),
            freed: Condvar::new(),
        }
    }
}

impl Gate {
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Something went from `before` to `after` bytes.
    pub fn resize(&self, before: usize, after: usize) {
        if broken(Fault::AddByLoadAndStore) {
            let bytes = self.bytes.load(Ordering::Relaxed) + after - before;
            return self.bytes.store(bytes, Ordering::Relaxed);
        }
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
            return;
        }
        self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        if !broken(Fault::WakeWithoutTheGate) {
            drop(lock(&self.gate));
        }
        self.freed.notify_all();
    }

    /// Whether there are `kick_bytes`, and this caller is the one to ask for them to be freed.
    pub fn wants_kick(&self, kick_bytes: usize) -> bool {
        if self.bytes() < kick_bytes {
            return false;
        }
        if broken(Fault::KickByLoadAndStore) {
            let kicked = self.kicked.load(Ordering::Relaxed);
            self.kicked.store(true, Ordering::Relaxed);
            return !kicked;
        }
        !self.kicked.swap(true, Ordering::Relaxed)
    }

    /// To be called before looking for what can be freed.
    pub fn freeing_begins(&self) {
        self.kicked.store(false, Ordering::Relaxed);
    }

    pub fn is_open(&self, bytes_max: usize) -> bool {
        self.bytes() < bytes_max
    }

    /// Waits until there are less than `bytes_max`, at most `longest`. Returns whether there are.
    pub fn wait(&self, bytes_max: usize, longest: Duration) -> bool {
        if self.is_open(bytes_max) {
            return true;
        }
        let deadline = Instant::now() + longest;
        let mut gate = lock(&self.gate);
        while !self.is_open(bytes_max) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            gate = wait_at_most(&self.freed, gate, left);
        }
        true
    }
}
