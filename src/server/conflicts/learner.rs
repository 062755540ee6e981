//! The learning loop of this node: a thread of its own, since a fit takes a while.
//!
//! Invariant: nobody waits for it. What it has no room for is not learnt, whatever it says, and is
//! counted.

use super::history::Met;
use crate::peer::NodeConflicts;
use std::{
    sync::{
        Arc, Mutex, RwLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use vatic_core::conflict::{Label, Model};
use vatic_learn::conflict::{Learner, Mode, Rules, Sample, Status};

/// Labels that may wait for a fit to end.
const WAITING_MAX: usize = 4_096;
/// The newest labels that are kept to fit on: a fit of them takes about half a second.
const WINDOW_LABELS: usize = 5_000;

pub(crate) struct Learning {
    labels: SyncSender<Sample>,
    learnt: Arc<Learnt>,
    passed_over: Mutex<u64>,
}

struct Learnt {
    model: RwLock<Arc<Model>>,
    status: Mutex<Status>,
}

impl Learning {
    pub(crate) fn start(node: u32) -> Learning {
        let rules = Rules { window_labels: WINDOW_LABELS, ..Rules::production() };
        let learner = Learner::new(rules, u64::from(node));
        let (labels, taught) = sync_channel(WAITING_MAX);
        let learnt = Arc::new(Learnt {
            model: RwLock::new(Arc::new(learner.model().clone())),
            status: Mutex::new(learner.status()),
        });
        let teaches = learnt.clone();
        // It ends when the node is gone, and with it the sender.
        let thread = thread::Builder::new().name("learner".into());
        thread.spawn(move || teaches.run(learner, &taught)).expect("a thread starts");
        Learning { labels, learnt, passed_over: Mutex::new(0) }
    }

    /// The model to score with.
    pub(crate) fn model(&self) -> Arc<Model> {
        self.learnt.model.read().expect("no holder panics").clone()
    }

    pub(crate) fn learn(&self, label: Label, now_us: u64) {
        let Label { features, conflict, propensity_ppm } = label;
        let sample = Sample { features, conflict, propensity_ppm, at_us: now_us };
        if self.labels.try_send(sample).is_err() {
            *self.passed_over.lock().expect("no holder panics") += 1;
        }
    }

    pub(crate) fn account(&self, conflicts: Vec<Met>) -> NodeConflicts {
        let status = self.learnt.status.lock().expect("no holder panics").clone();
        let mode = match status.mode {
            Mode::Full => "full",
            Mode::Hotness => "hotness",
            Mode::Prior => "none",
        };
        NodeConflicts {
            mode: mode.to_owned(),
            labels: status.labels,
            passed_over: *self.passed_over.lock().expect("no holder panics"),
            version: status.version,
            promotions: status.promotions,
            reverts: status.reverts,
            switched_off: status.switched_off,
            factors_active: status.factors_active,
            conflicts,
        }
    }
}

impl Learnt {
    fn run(&self, mut learner: Learner, labels: &Receiver<Sample>) {
        while let Ok(sample) = labels.recv() {
            learner.learn(sample);
            let model = learner.model();
            let current = self.model.read().expect("no holder panics").clone();
            let named = |model: &Model| (model.version, model.revision);
            // The running rate has no version, and is no model to choose by.
            if named(&current) != named(model) {
                *self.model.write().expect("no holder panics") = Arc::new(model.clone());
            }
            *self.status.lock().expect("no holder panics") = learner.status();
        }
    }
}
