//! At most one holder at a time, and who comes too early is told so at once.

use crate::fault::{Fault, broken};
use crate::shim::{Arc, AtomicBool, Ordering};

/// Names what can be held. Clones name the same.
#[derive(Clone)]
pub struct Claim {
    taken: Arc<AtomicBool>,
}

/// Holds it; given back when dropped.
pub struct Claimed {
    claim: Claim,
}

impl Default for Claim {
    fn default() -> Claim {
        Claim { taken: Arc::new(AtomicBool::new(false)) }
    }
}

impl Claim {
    /// `None`: somebody holds it. A holder sees all that the holders before it have done.
    pub fn take(&self) -> Option<Claimed> {
        let was_taken = if broken(Fault::ClaimByLoadAndStore) {
            let was_taken = self.taken.load(Ordering::Acquire);
            self.taken.store(true, Ordering::Release);
            was_taken
        } else {
            // Not a swap: who comes too early writes nothing.
            let (success, failure) = (Ordering::AcqRel, Ordering::Relaxed);
            self.taken.compare_exchange(false, true, success, failure).is_err()
        };
        (!was_taken).then(|| Claimed { claim: self.clone() })
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let relaxed = broken(Fault::ReleaseRelaxed);
        let ordering = if relaxed { Ordering::Relaxed } else { Ordering::Release };
        self.claim.taken.store(false, ordering);
    }
}
