//! A door that counts who is inside, lets in at most so many, and can be closed: whoever waits for
//! it to be empty afterwards misses nobody.
//!
//! Why one number for both: a closed flag beside a count is two looks, and who has looked at the
//! flag and not yet been counted is missed by whoever closes in between.

use crate::fault::{Fault, broken};
use crate::shim::{AtomicU64, Ordering};

/// Set once the door is closed; the other bits count who is inside.
const CLOSED: u64 = 1 << 63;

/// See the module.
#[derive(Default)]
pub struct Door(AtomicU64);

/// Why somebody may not enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    Closed,
    Full,
}

impl Door {
    /// Lets `count` in where there are no more than `max` afterwards. Who entered must leave.
    pub fn enter(&self, count: u64, max: u64) -> Result<(), Shut> {
        let mut now = self.0.load(Ordering::Acquire);
        loop {
            let inside = (now & !CLOSED).saturating_add(count);
            match now & CLOSED {
                0 if inside <= max => {}
                0 => return Err(Shut::Full),
                _ => return Err(Shut::Closed),
            }
            if broken(Fault::EnterInTwoSteps) {
                self.0.fetch_add(count, Ordering::AcqRel);
                return Ok(());
            }
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match self.0.compare_exchange_weak(now, inside, success, failure) {
                Ok(_) => return Ok(()),
                Err(changed) => now = changed,
            }
        }
    }

    pub fn leave(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::AcqRel);
    }

    /// Nobody enters any more.
    pub fn close(&self) {
        self.0.fetch_or(CLOSED, Ordering::AcqRel);
    }

    pub fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED != 0
    }

    pub fn inside(&self) -> u64 {
        self.0.load(Ordering::Acquire) & !CLOSED
    }
}
