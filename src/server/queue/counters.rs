//! What a node counts of tickets.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, core::Collector};

/// Each series is looked up once, at the start.
pub(crate) struct Counters {
    pub(super) enqueued: IntCounter,
    pub(super) cancelled: IntCounter,
    /// Each attempt, and what became of it.
    pub(super) begun: IntCounter,
    pub(super) committed: IntCounter,
    /// Resolved as one that cannot happen.
    pub(super) given_up: IntCounter,
    /// Somebody else had resolved it.
    pub(super) elsewhere: IntCounter,
    /// Anything else. It is begun again, unless it is found to be resolved: by this very attempt,
    /// if its outcome was not heard.
    pub(super) again: IntCounter,
    /// Attempts that are being made now.
    pub(super) under_way: IntGauge,
    events: IntCounterVec,
}

impl Default for Counters {
    fn default() -> Counters {
        let what = "Tickets, by what became of them at this node.";
        let events = IntCounterVec::new(Opts::new("vatic_tickets_total", what), &["event"]);
        let events = events.expect("the name is sound");
        let what = "Tickets whose transactions are being attempted.";
        let under_way = IntGauge::new("vatic_tickets_under_way", what).expect("the name is sound");
        let event = |name: &str| events.with_label_values(&[name]);
        Counters {
            enqueued: event("enqueued"),
            cancelled: event("cancelled"),
            begun: event("begun"),
            committed: event("committed"),
            given_up: event("given_up"),
            elsewhere: event("elsewhere"),
            again: event("again"),
            under_way,
            events,
        }
    }
}

impl Counters {
    /// For the node's registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        vec![Box::new(self.events.clone()), Box::new(self.under_way.clone())]
    }
}
