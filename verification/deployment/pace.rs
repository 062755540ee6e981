//! How fast a node's disk is, and that it hangs for a while: controllers and clouds do that.
//!
//! It is the machine's: a process that is started again finds the disk as slow as it was.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::chance;
use tokio::time::Instant;

/// Clones are the same disk's.
#[derive(Clone)]
pub(super) struct Pace {
    /// From the first queued record to the batch, and so from batch to batch.
    sync_us: u64,
    hung_until: Arc<Mutex<Option<Instant>>>,
}

impl Pace {
    pub(super) fn new(sync_us: u64) -> Pace {
        Pace { sync_us, hung_until: Arc::default() }
    }

    /// Nothing is written before this moment.
    pub(super) fn hang(&self, until: Instant) {
        *self.hung_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Nothing hangs any more.
    pub(super) fn recover(&self) {
        self.hung_until.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits for as long as a batch takes.
    pub(super) async fn batch(&self) {
        let us = self.sync_us / 2 + chance::next() % self.sync_us;
        tokio::time::sleep(Duration::from_micros(us)).await;
        while let Some(until) = self.hung_until() {
            tokio::time::sleep_until(until).await;
        }
    }

    fn hung_until(&self) -> Option<Instant> {
        let hung = self.hung_until.lock().unwrap_or_else(PoisonError::into_inner);
        hung.filter(|until| *until > Instant::now())
    }
}
