//! The last streams that did not end as was forecast of them, and who waits for the next.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use vatic_core::{anomaly::Anomaly, id::Tid, verdict::Judgement};

/// Clients that may wait for anomalies of one node at once.
pub(crate) const WATCHERS_MAX: u64 = 64;

/// A stream that strayed too far.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) tid: Tid,
    pub(crate) class: String,
    pub(crate) judgement: Judgement,
    pub(crate) anomaly: Anomaly,
    /// Tokens by name, each with how many more there were than expected.
    pub(crate) strays: Vec<(String, f64)>,
}

/// The same where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Strange {
    /// From 1, without gaps.
    pub(crate) sequence: u64,
    pub(crate) at_unix_ms: u64,
    pub(crate) found: Found,
}

/// A ring of them.
#[derive(Debug)]
pub(crate) struct Anomalies {
    kept_max: usize,
    kept: Mutex<VecDeque<Arc<Strange>>>,
    /// The sequence of the latest.
    latest: watch::Sender<u64>,
    watchers: Arc<Semaphore>,
}

impl Anomalies {
    /// Keeps so many.
    pub(crate) fn new(kept_max: usize) -> Anomalies {
        Anomalies {
            kept_max,
            kept: Mutex::default(),
            latest: watch::channel(0).0,
            watchers: Arc::new(Semaphore::new(WATCHERS_MAX as usize)),
        }
    }

    /// Keeps one more; the oldest makes room.
    pub(crate) fn keep(&self, at_unix_ms: u64, found: Found) {
        let mut kept = self.kept.lock().expect("no holder panics");
        let sequence = *self.latest.borrow() + 1;
        if kept.len() >= self.kept_max {
            kept.pop_front();
        }
        kept.push_back(Arc::new(Strange { sequence, at_unix_ms, found }));
        self.latest.send_replace(sequence);
    }

    /// Those that are kept and of a higher sequence, ascending.
    pub(crate) fn after(&self, sequence: u64) -> Vec<Arc<Strange>> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.iter().filter(|strange| strange.sequence > sequence).cloned().collect()
    }

    /// Tells of each new one.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.latest.subscribe()
    }

    /// A place among those who wait, given back when it is dropped.
    pub(crate) fn watcher(&self) -> Option<OwnedSemaphorePermit> {
        self.watchers.clone().try_acquire_owned().ok()
    }
}
