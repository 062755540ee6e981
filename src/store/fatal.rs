//! What happens when the store can no longer be trusted: it stops the node.
//!
//! State machine reads are infallible by contract, so an error here has nowhere to go; and a
//! replica that went on after a failed write would diverge from the others in silence. The
//! action can be replaced, so that a test sees the stop instead of dying of it; even then the
//! calling thread does not return with an answer, it panics.

use std::sync::Arc;

/// What to do when the store must stop; it gets the reason. The default logs and aborts.
pub type FatalAction = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Clone)]
pub(crate) struct Fatal(FatalAction);

impl Fatal {
    pub(crate) fn new(action: FatalAction) -> Fatal {
        Fatal(action)
    }

    /// The default action: log the reason, abort the process.
    pub(crate) fn abort() -> Fatal {
        Fatal(Arc::new(|reason| {
            tracing::error!(reason, "the state store cannot go on; stopping the node");
            std::process::abort();
        }))
    }

    /// Runs the action. Never returns: where the action does, the thread panics.
    pub(crate) fn stop(&self, reason: &str) -> ! {
        (self.0)(reason);
        panic!("the state store stopped: {reason}");
    }
}
