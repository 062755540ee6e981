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
    /// It was rolled back, for this or for what was heard of first, and is to be kept aside.
    pub(crate) quarantined: bool,
    /// It still ran, and was held against its way so far.
    pub(crate) running: bool,
}

/// The same where it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Strange {
    /// From 1, without gaps.
    pub(crate) sequence: u64,
    pub(crate) at_unix_ms: u64,
    pub(crate) found: Found,
}

/// A ring of them, and one of those that were quarantined: what is only observed comes by far more
/// often.
#[derive(Debug)]
pub(crate) struct Anomalies {
    kept_max: usize,
    kept: Mutex<Rings>,
    /// The sequence of the latest.
    latest: watch::Sender<u64>,
    watchers: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Rings {
    all: VecDeque<Arc<Strange>>,
    quarantined: VecDeque<Arc<Strange>>,
}

impl Anomalies {
    /// Keeps so many of each.
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
        let strange = Arc::new(Strange { sequence, at_unix_ms, found });
        let Rings { all, quarantined } = &mut *kept;
        let rings = [Some(all), strange.found.quarantined.then_some(quarantined)];
        for ring in rings.into_iter().flatten() {
            if ring.len() >= self.kept_max {
                ring.pop_front();
            }
            ring.push_back(strange.clone());
        }
        self.latest.send_replace(sequence);
    }

    /// Those that were quarantined and are kept, ascending.
    pub(crate) fn quarantined(&self) -> Vec<Arc<Strange>> {
        self.kept.lock().expect("no holder panics").quarantined.iter().cloned().collect()
    }

    /// Those that are kept and of a higher sequence, ascending.
    pub(crate) fn after(&self, sequence: u64) -> Vec<Arc<Strange>> {
        let kept = self.kept.lock().expect("no holder panics");
        kept.all.iter().filter(|strange| strange.sequence > sequence).cloned().collect()
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
