//! Work that is done once for all who ask meanwhile: the drivers of sealed transactions.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use vatic_sync::{Fault, Flights};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[
    Model {
        name: "of two that ask one starts",
        preemptions_max: None,
        interleavings_min: 2,
        run: two_that_ask,
        twins: &[Twin { broken: Broken::Line(Fault::StartOutsideTheLock), says: "two drivers" }],
    },
    Model {
        name: "driver that ends at once is not joined later",
        preemptions_max: None,
        interleavings_min: 2,
        run: landing_at_once,
        twins: &[Twin { broken: Broken::Line(Fault::StartOutsideTheLock), says: "still joined" }],
    },
];

/// Two ask for the same; nothing lands meanwhile.
fn two_that_ask() {
    let flights = Arc::new(Flights::<u32, usize>::default());
    let started = Arc::new(AtomicUsize::new(0));
    let ask = |flights: &Flights<u32, usize>, started: &AtomicUsize| {
        flights.join(7, || started.fetch_add(1, Ordering::Relaxed))
    };
    let other = {
        let (flights, started) = (flights.clone(), started.clone());
        thread::spawn(move || flights.join(7, || started.fetch_add(1, Ordering::Relaxed)))
    };
    let own = ask(&flights, &started);
    assert_eq!((own, other.join().unwrap()), (0, 0), "two drivers of one transaction");
    flights.land(&7);
    assert!(flights.is_empty());
}

/// What is started may land at once, before its starter goes on.
fn landing_at_once() {
    let flights = Arc::new(Flights::<u32, usize>::default());
    let driver = Arc::new(loom::sync::Mutex::new(None));
    let ticket = flights.join(7, || {
        let landing = flights.clone();
        *driver.lock().unwrap() = Some(thread::spawn(move || landing.land(&7)));
        1
    });
    assert_eq!(ticket, 1);
    // Who asks now joins it, or begins anew.
    let asked = flights.join(7, || 2);
    let driver = driver.lock().unwrap().take().unwrap();
    driver.join().unwrap();
    assert!(asked == 2 || flights.is_empty(), "a driver that ended is still joined");
}
