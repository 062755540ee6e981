//! What a run records as it goes. Entries and what they came to need no tape: each group's log and
//! results are kept anyway.

use super::{play::Plays, queue::Queue};
use crate::event::{Found, Query};
use std::rc::Rc;
use vatic_core::{coordinator::Coordinator, multiread::MultiRead};

#[derive(Default)]
pub(crate) struct Tape {
    pub(crate) coordinators: Plays<Coordinator>,
    pub(crate) reads: Plays<MultiRead>,
    pub(crate) queues: Plays<Queue>,
    pub(crate) queries: Vec<Asked>,
    /// The groups' entries, by the world's order and by index, in the order in which they were
    /// first applied.
    pub(crate) order: Vec<(usize, u64)>,
}

/// A query and its answer.
pub(crate) struct Asked {
    /// Where, by the world's order.
    pub(crate) group: usize,
    /// The last entry that the replica had applied.
    pub(crate) index: u64,
    pub(crate) query: Rc<Query>,
    pub(crate) found: Rc<Found>,
}
