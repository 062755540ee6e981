//! The table that costs one load while it is empty.

use loom::sync::Arc;
use loom::thread;
use vatic_sync::{Fault, Sparse};

use crate::run::{Broken, Model, Twin};

pub(crate) const MODELS: &[Model] = &[Model {
    name: "entry that stays is never overlooked",
    preemptions_max: None,
    interleavings_min: 3,
    run: two_that_enter,
    twins: &[Twin { broken: Broken::Line(Fault::CountAfterTheLock), says: "overlooked" }],
}];

fn count(table: &Vec<u32>) -> usize {
    table.len()
}

/// One enters and leaves, the other enters and stays: what stays is found.
fn two_that_enter() {
    let table = Arc::new(Sparse::new(Vec::new(), count));
    let passer = {
        let table = table.clone();
        thread::spawn(move || {
            table.with(|table| table.push(1));
            table.with(|table| table.retain(|entry| *entry != 1));
        })
    };
    table.with(|table| table.push(2));
    assert!(!table.is_empty(), "an entry was overlooked by who made it");
    passer.join().unwrap();
    assert!(!table.is_empty(), "an entry was overlooked");
    table.with(|table| assert_eq!(table, &[2]));
    table.with(Vec::clear);
    assert!(table.is_empty());
}
