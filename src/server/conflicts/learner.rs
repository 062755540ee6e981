//! The learning loop of this node: a thread of its own, since a fit takes a while.
//!
//! Invariant: nobody waits for it. What it has no room for is not learnt, whatever it says, and is
//! counted.

use crate::peer::NodeLearnt;
use std::{
    sync::{
        Arc, Mutex, RwLock,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
};
use vatic_core::conflict::{Label, Model};
use vatic_learn::conflict::{Learner, Mode, Offered, Rules, Sample, Status};

/// Labels that may wait for a fit to end.
const WAITING_MAX: usize = 4_096;
/// The newest labels that are kept to fit on: a fit of them takes about half a second.
const WINDOW_LABELS: usize = 5_000;

pub(crate) struct Learning {
    lessons: SyncSender<Lesson>,
    learnt: Arc<Learnt>,
    passed_over: Mutex<u64>,
}

enum Lesson {
    Label(Sample),
    /// From a group's history, the oldest first.
    Past(Vec<Sample>),
}

struct Learnt {
    /// What this node learnt, and from how many labels.
    own: RwLock<(Arc<Model>, u64)>,
    /// What the cluster has, if that is known.
    offered: Mutex<Option<Offered>>,
    /// That of both which is used.
    used: RwLock<Arc<Model>>,
    status: Mutex<Status>,
    /// Samples of the past that wait.
    recalling: Mutex<usize>,
}

impl Learning {
    pub(crate) fn start(node: u32, rules: Rules) -> Learning {
        let learner = Learner::new(rules.clone(), u64::from(node));
        let (lessons, taught) = sync_channel(WAITING_MAX);
        let model = Arc::new(learner.model().clone());
        let learnt = Arc::new(Learnt {
            own: RwLock::new((model.clone(), 0)),
            offered: Mutex::default(),
            used: RwLock::new(model),
            status: Mutex::new(learner.status()),
            recalling: Mutex::default(),
        });
        let teaches = learnt.clone();
        // It ends when the node is gone, and with it the sender.
        let thread = thread::Builder::new().name("learner".into());
        thread.spawn(move || teaches.run(learner, &rules, &taught)).expect("a thread starts");
        Learning { lessons, learnt, passed_over: Mutex::new(0) }
    }

    /// The model to score with.
    pub(crate) fn model(&self) -> Arc<Model> {
        self.learnt.used.read().expect("no holder panics").clone()
    }

    /// What this node learnt that others may use, and from how many labels.
    pub(super) fn to_share(&self) -> Option<(Arc<Model>, u64)> {
        let mode = self.learnt.status.lock().expect("no holder panics").mode;
        let own = self.learnt.own.read().expect("no holder panics").clone();
        (mode == Mode::Full).then_some(own)
    }

    /// The cluster's model, or none.
    pub(super) fn offer(&self, offered: Option<Offered>) {
        *self.learnt.offered.lock().expect("no holder panics") = offered;
        self.learnt.choose();
    }

    pub(crate) fn learn(&self, label: Label, now_us: u64) {
        let Label { features, conflict, propensity_ppm } = label;
        let sample = Sample { features, conflict, propensity_ppm, stands_for: 1, at_us: now_us };
        if self.lessons.try_send(Lesson::Label(sample)).is_err() {
            *self.passed_over.lock().expect("no holder panics") += 1;
        }
    }

    /// Learns from a group's past, unless the pasts of others that wait fill the window already.
    pub(super) fn recall(&self, past: Vec<Sample>) {
        let count = past.len();
        let mut recalling = self.learnt.recalling.lock().expect("no holder panics");
        if count == 0 {
            return;
        }
        let fits = *recalling + count <= WINDOW_LABELS;
        if fits && self.lessons.try_send(Lesson::Past(past)).is_ok() {
            *recalling += count;
        } else {
            *self.passed_over.lock().expect("no holder panics") += count as u64;
        }
    }

    pub(crate) fn account(&self) -> NodeLearnt {
        let status = self.learnt.status.lock().expect("no holder panics").clone();
        let mode = match status.mode {
            Mode::Full => "full",
            Mode::Hotness => "hotness",
            Mode::Prior => "none",
        };
        NodeLearnt {
            mode: mode.to_owned(),
            labels: status.labels,
            passed_over: *self.passed_over.lock().expect("no holder panics"),
            version: status.version,
            promotions: status.promotions,
            reverts: status.reverts,
            switched_off: status.switched_off,
            factors_active: status.factors_active,
            shared: self.learnt.uses_shared(),
            // Of those another thread knows.
            forecasters: 0,
        }
    }
}

impl Learnt {
    fn run(&self, mut learner: Learner, rules: &Rules, lessons: &Receiver<Lesson>) {
        while let Ok(lesson) = lessons.recv() {
            match lesson {
                Lesson::Label(sample) => {
                    if let Some(offered) = self.offered.lock().expect("no holder panics").as_mut() {
                        // Before anybody has learnt from it.
                        offered.note(&sample, learner.model(), learner.prior_model(), rules);
                    }
                    learner.learn(sample);
                }
                Lesson::Past(past) => {
                    *self.recalling.lock().expect("no holder panics") -= past.len();
                    learner.recall(past);
                }
            }
            self.know(&learner);
            self.choose();
        }
    }

    fn know(&self, learner: &Learner) {
        let (model, status) = (learner.model(), learner.status());
        let mut own = self.own.write().expect("no holder panics");
        let named = |model: &Model| (model.version, model.revision);
        // The running rate has no version, and is no model to choose by.
        if named(&own.0) != named(model) {
            own.0 = Arc::new(model.clone());
        }
        own.1 = status.labels;
        *self.status.lock().expect("no holder panics") = status;
    }

    fn choose(&self) {
        let (own, labels) = self.own.read().expect("no holder panics").clone();
        let offered = self.offered.lock().expect("no holder panics");
        let offered = offered.as_ref().filter(|offered| offered.is_used(labels));
        let chosen = offered.map_or(own, |offered| offered.model.clone());
        *self.used.write().expect("no holder panics") = chosen;
    }

    fn uses_shared(&self) -> bool {
        let labels = self.own.read().expect("no holder panics").1;
        let offered = self.offered.lock().expect("no holder panics");
        offered.as_ref().is_some_and(|offered| offered.is_used(labels))
    }
}

/// What a node learns by; `filter`: whether the collaborative filter is tried.
pub(super) fn rules(filter: bool) -> Rules {
    let production = Rules::production();
    // A loss below none of what it is without.
    let factors_ratio = if filter { production.factors_ratio } else { 0.0 };
    Rules { window_labels: WINDOW_LABELS, factors_ratio, ..production }
}
