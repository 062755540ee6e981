//! The gate: bytes that many add and one frees.

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Fault, Gate};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "waiter is woken when there is room",
        preemptions_max: None,
        interleavings_min: 2,
        run: waiter_beside_release,
        twins: &[Twin { broken: Broken::Line(Fault::WakeWithoutTheGate), says: "deadlock" }],
    },
    Model {
        name: "every waiter is woken when there is room",
        preemptions_max: None,
        interleavings_min: 3,
        run: two_waiters_beside_release,
        twins: &[Twin { broken: Broken::Line(Fault::WakeWithoutTheGate), says: "deadlock" }],
    },
    Model {
        name: "bytes are counted exactly",
        preemptions_max: None,
        interleavings_min: 3,
        run: sizes_beside_each_other,
        twins: &[Twin { broken: Broken::Line(Fault::AddByLoadAndStore), says: "miscounted" }],
    },
    Model {
        name: "one of those that pass the mark asks for a flush",
        preemptions_max: None,
        interleavings_min: 3,
        run: two_that_pass_the_mark,
        twins: &[Twin { broken: Broken::Line(Fault::KickByLoadAndStore), says: "2 kicks" }],
    },
];

const HOUR: Duration = Duration::from_secs(3_600);

/// Who waits for room is woken when there is some.
fn waiter_beside_release() {
    let gate = Arc::new(Gate::default());
    gate.resize(0, 2);
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || gate.wait(2, HOUR))
    };
    gate.resize(2, 0);
    assert!(waiter.join().unwrap());
}

/// Two wait, and both go on.
fn two_waiters_beside_release() {
    let gate = Arc::new(Gate::default());
    gate.resize(0, 1);
    let waiter = {
        let gate = gate.clone();
        thread::spawn(move || gate.wait(1, HOUR))
    };
    let release = {
        let gate = gate.clone();
        thread::spawn(move || gate.resize(1, 0))
    };
    assert!(gate.wait(1, HOUR));
    release.join().unwrap();
    assert!(waiter.join().unwrap());
}

/// Growing and shrinking at once, and nothing is miscounted.
fn sizes_beside_each_other() {
    let gate = Arc::new(Gate::default());
    gate.resize(0, 4);
    let other = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.resize(1, 4);
            gate.resize(4, 2);
        })
    };
    gate.resize(3, 1);
    gate.resize(1, 6);
    other.join().unwrap();
    assert_eq!(gate.bytes(), 8, "bytes were miscounted");
}

/// Of two that pass the mark together, one asks, whoever adds last.
fn two_that_pass_the_mark() {
    let gate = Arc::new(Gate::default());
    let add = |gate: &Gate| {
        gate.resize(0, 1);
        gate.wants_kick(2)
    };
    let other = {
        let gate = gate.clone();
        thread::spawn(move || {
            gate.resize(0, 1);
            gate.wants_kick(2)
        })
    };
    let asked = usize::from(add(&gate)) + usize::from(other.join().unwrap());
    assert_eq!(asked, 1, "{asked} kicks");
}
