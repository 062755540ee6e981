//! The claim: one writer of a replica at a time.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Claim, Fault};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[Model {
    name: "claim has one holder who sees what the last one did",
    preemptions_max: None,
    interleavings_min: 3,
    run: two_holders,
    twins: &[
        Twin {
            broken: Broken::Line(Fault::ClaimByLoadAndStore),
            says: "Concurrent write accesses",
        },
        Twin { broken: Broken::Line(Fault::ReleaseRelaxed), says: "Causality" },
    ],
}];

/// What only the holder may touch. loom reports two that touch it without an order between them.
struct Held(UnsafeCell<u32>);

// SAFETY: whoever touches it holds the claim; that this is so is what the model checks.
unsafe impl Sync for Held {}
// SAFETY: a plain number.
unsafe impl Send for Held {}

fn use_it(claim: &Claim, held: &Held) -> u32 {
    let Some(_claimed) = claim.take() else { return 0 };
    // SAFETY: the claim is held; loom checks that nobody else is here.
    held.0.with_mut(|number| unsafe { *number += 1 });
    1
}

fn two_holders() {
    let claim = Claim::default();
    let held = Arc::new(Held(UnsafeCell::new(0)));
    let other = {
        let (claim, held) = (claim.clone(), held.clone());
        thread::spawn(move || use_it(&claim, &held))
    };
    let mut used = use_it(&claim, &held) + use_it(&claim, &held);
    used += other.join().unwrap();
    assert_eq!(use_it(&claim, &held), 1, "nobody holds it any more");
    // SAFETY: all other threads have ended.
    assert_eq!(held.0.with(|number| unsafe { *number }), used + 1);
}
