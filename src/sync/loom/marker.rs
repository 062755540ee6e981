//! Flags: who sees one up sees what was done before.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Fault, Flag, Level};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "who sees the flag sees what was done before",
        preemptions_max: None,
        interleavings_min: 2,
        run: flag_after_work,
        twins: &[Twin { broken: Broken::Line(Fault::RaiseRelaxed), says: "Causality" }],
    },
    Model {
        name: "no two steps give one number",
        preemptions_max: None,
        interleavings_min: 2,
        run: two_steps,
        twins: &[Twin {
            broken: Broken::Line(Fault::StepByLoadAndStore),
            says: "one number twice",
        }],
    },
];

struct Shared {
    done: UnsafeCell<u32>,
    flag: Flag,
    level: Level,
}

// SAFETY: `done` is written before the flag is raised and read after it was seen up; that this is
// an order is what the model checks.
unsafe impl Sync for Shared {}
// SAFETY: plain numbers.
unsafe impl Send for Shared {}

fn flag_after_work() {
    let (done, flag, level) = (UnsafeCell::new(0), Flag::default(), Level::default());
    let shared = Arc::new(Shared { done, flag, level });
    let worker = {
        let shared = shared.clone();
        thread::spawn(move || {
            // SAFETY: nobody reads it before the flag is up.
            shared.done.with_mut(|done| unsafe { *done = 7 });
            shared.level.set(1);
            assert!(!shared.flag.set(true));
        })
    };
    if shared.flag.is_up() {
        // SAFETY: the flag is up, nobody writes any more.
        assert_eq!(shared.done.with(|done| unsafe { *done }), 7);
        assert_eq!(shared.level.get(), 1);
    }
    worker.join().unwrap();
    assert!(shared.flag.set(false) && !shared.flag.is_up());
}

fn two_steps() {
    let level = Arc::new(Level::default());
    let other = {
        let level = level.clone();
        thread::spawn(move || level.step())
    };
    let own = level.step();
    assert_ne!(own, other.join().unwrap(), "one number twice");
    assert_eq!(level.get(), 2);
}
