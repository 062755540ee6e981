//! A switch that loses messages between two nodes, for tests: a partition without a firewall.
//!
//! Why in the transport: a test that cuts the traffic below it would have to own the sockets; one
//! above it would not meet the reconnects and deadlines that a partition is about.
//!
//! Invariant: builds without the feature `faults` carry no hook, and lose nothing.

#[cfg(any(test, feature = "faults"))]
use std::sync::Arc;

/// Says whether a message from one node to another is lost.
#[cfg(any(test, feature = "faults"))]
pub type DropHook = Arc<dyn Fn(u32, u32) -> bool + Send + Sync>;

/// Which messages are lost.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    #[cfg(any(test, feature = "faults"))]
    hook: Option<DropHook>,
}

impl Faults {
    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn new(hook: DropHook) -> Self {
        Self { hook: Some(hook) }
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn drops(&self, from: u32, to: u32) -> bool {
        self.hook.as_ref().is_some_and(|hook| hook(from, to))
    }

    #[cfg(not(any(test, feature = "faults")))]
    pub(crate) fn drops(&self, _from: u32, _to: u32) -> bool {
        false
    }
}
