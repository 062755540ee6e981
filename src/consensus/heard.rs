//! When a replica last took a message from a leader.
//!
//! Why beside Raft: a follower that hears nobody asks its peers before it raises its term, and
//! without a majority it goes on for ever naming the leader of its last term. Silence shows here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Clones are the same replica's.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Option<Instant>>>);

impl Heard {
    /// A leader was heard, whom Raft has taken for one.
    pub(crate) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Since the last one.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|last| last.elapsed())
    }
}
