//! Single flags and numbers that one thread sets and others look at.

use crate::fault::{Fault, broken};
use crate::shim::{AtomicBool, AtomicU64, Ordering};

/// Up or down. Who sees it up sees what was done before it was raised.
pub struct Flag(AtomicBool);

impl Flag {
    pub fn new(up: bool) -> Flag {
        Flag(AtomicBool::new(up))
    }

    pub fn is_up(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Returns how it was.
    pub fn set(&self, up: bool) -> bool {
        let relaxed = broken(Fault::RaiseRelaxed);
        self.0.swap(up, if relaxed { Ordering::Relaxed } else { Ordering::AcqRel })
    }
}

impl Default for Flag {
    fn default() -> Flag {
        Flag::new(false)
    }
}

/// A number to look at. Nothing else may be concluded from it.
pub struct Level(AtomicU64);

impl Level {
    pub fn new(level: u64) -> Level {
        Level(AtomicU64::new(level))
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, level: u64) {
        self.0.store(level, Ordering::Relaxed);
    }

    /// Adds one, and returns how it was.
    pub fn step(&self) -> u64 {
        if broken(Fault::StepByLoadAndStore) {
            let before = self.get();
            self.set(before + 1);
            return before;
        }
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for Level {
    fn default() -> Level {
        Level::new(0)
    }
}
