//! All that this node has learnt, and what is made of it. Owned by one thread.
//!
//! What forecasts are made from is learnt of the courses of all nodes; how streams were judged, and
//! what was strange about them, is what this node saw.

use super::{
    anomalies::Anomalies,
    convert::steps,
    counters::Counters,
    generations::{Forecast, Generations},
    judge::Judge,
    learner::Judged,
    walk::Ended,
};
use crate::time;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::sync::Notify;
use vatic_core::{footprint::Footprint, id::GroupId, verdict};
use vatic_learn::forecast::{Ahead, Outlook, Prefix, Step};

/// A forecast of a running stream.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) outlook: Outlook,
    pub(crate) forecaster: &'static str,
    pub(crate) exemplars: u64,
    /// Of the forecasters: the number of the last course that they had learnt. 0: of none yet.
    pub(crate) version: u64,
    /// How many groups will take part.
    pub(crate) participants: u32,
    /// Those that most likely will.
    pub(crate) groups: Vec<GroupId>,
    /// Where the way that its last forecast had it go stands by now.
    pub(crate) way: Option<verdict::Forecast>,
    /// Its footprint when the forecast was made.
    pub(crate) now: Footprint,
    /// Where it will write.
    pub(crate) ahead: Ahead,
}

impl Told {
    /// How far the stream was from its last forecast's way, in steps.
    pub(crate) fn strayed(&self) -> Option<f64> {
        self.way.as_ref().map(|way| steps(way.footprint.distance(&self.now)))
    }
}

/// The forecasts of one stream, between its session and the learner.
#[derive(Debug, Default)]
pub(crate) struct Line {
    answers: Mutex<Answers>,
    /// Told of each answer.
    pub(crate) more: Notify,
}

#[derive(Debug, Default)]
struct Answers {
    told: Vec<Arc<Told>>,
    /// How often too little was known.
    unknown: usize,
    /// Those after so many transitions that leaders weigh, or have weighed.
    odds: BTreeMap<usize, Odds>,
}

/// How likely a stream is to meet a conflict.
#[derive(Clone, Copy, Debug)]
enum Odds {
    /// They have not answered.
    UnderWay,
    /// In parts per million; `None`: nobody knows.
    Known(Option<u32>),
}

impl Line {
    /// The forecast at a place, in the order in which they were made.
    pub(crate) fn at(&self, place: usize) -> Option<Arc<Told>> {
        self.answers.lock().expect("no holder panics").told.get(place).cloned()
    }

    /// How likely it was to meet a conflict after so many transitions, in parts per million;
    /// nothing at all where that may be known in a moment.
    pub(crate) fn odds(&self, prefix: usize) -> Option<Option<u32>> {
        match self.answers.lock().expect("no holder panics").odds.get(&prefix) {
            Some(Odds::UnderWay) => None,
            Some(Odds::Known(odds_ppm)) => Some(*odds_ppm),
            None => Some(None),
        }
    }

    /// Leaders are asked how likely that is.
    pub(super) fn weigh(&self, prefix: usize) {
        self.answers.lock().expect("no holder panics").odds.insert(prefix, Odds::UnderWay);
    }

    /// They answered, or did not in time.
    pub(super) fn weighed(&self, prefix: usize, odds_ppm: Option<u32>) {
        let mut answers = self.answers.lock().expect("no holder panics");
        answers.odds.insert(prefix, Odds::Known(odds_ppm));
        drop(answers);
        self.more.notify_one();
    }

    /// The last one that was made after at most so many steps.
    pub(crate) fn made_by(&self, steps: usize) -> Option<Arc<Told>> {
        let answers = self.answers.lock().expect("no holder panics");
        answers.told.iter().rfind(|told| told.outlook.prefix <= steps).cloned()
    }

    /// How many questions were answered, if only by silence.
    pub(crate) fn answered(&self) -> usize {
        let answers = self.answers.lock().expect("no holder panics");
        answers.told.len() + answers.unknown
    }

    /// Whether too little was known for one of them.
    pub(crate) fn is_unknown(&self) -> bool {
        self.answers.lock().expect("no holder panics").unknown > 0
    }

    /// The last one of all.
    pub(crate) fn last(&self) -> Option<Arc<Told>> {
        self.answers.lock().expect("no holder panics").told.last().cloned()
    }

    fn answer(&self, told: Option<Told>) {
        let mut answers = self.answers.lock().expect("no holder panics");
        match told {
            Some(told) => answers.told.push(Arc::new(told)),
            None => answers.unknown += 1,
        }
        drop(answers);
        self.more.notify_one();
    }
}

/// See the file's head.
pub(crate) struct Study {
    generations: Generations,
    names: Vec<&'static str>,
    judge: Judge,
    anomalies: Arc<Anomalies>,
    counters: Arc<Counters>,
}

impl Study {
    pub(crate) fn new(anomalies: Arc<Anomalies>, counters: Arc<Counters>) -> Study {
        let (generations, names) = (Generations::default(), Generations::names());
        Study { generations, names, judge: Judge::default(), anomalies, counters }
    }

    /// Forecasts a running stream from its first steps, unless too little is known.
    pub(crate) fn forecast(&self, class: u64, steps: &[Step], line: &Line) {
        let prefix = Prefix { class, steps };
        let Some(Forecast { outlook, champion, class, version }) =
            self.generations.forecast(prefix)
        else {
            self.counters.unknown.inc();
            return line.answer(None);
        };
        let now = prefix.footprint();
        let last = line.last().filter(|last| last.outlook.prefix < steps.len());
        let on_the_way =
            |last: &Told| last.outlook.fixed().on_the_way(&last.now, steps.len() as u64);
        let way = last.as_deref().map(on_the_way);
        line.answer(Some(Told {
            ahead: class.ahead(&outlook),
            outlook,
            forecaster: self.names[champion],
            exemplars: class.exemplars,
            version,
            participants: class.participants(),
            groups: class.groups(),
            way,
            now,
        }));
        self.counters.forecast.inc();
    }

    /// Takes note of a verdict.
    pub(crate) fn judged(&mut self, judged: &Judged) {
        match judged.judgement.verdict.valid {
            true => self.counters.valid.inc(),
            false => self.counters.invalid.inc(),
        }
        let found = self.judge.look(judged);
        if let Some(found) = found {
            self.anomalies.keep(time::now().0 / 1_000, found);
        }
    }

    /// Takes note of a stream that still runs, and has strayed.
    pub(crate) fn strays(&mut self, judged: &Judged) {
        let found = self.judge.look_at_running(judged);
        self.anomalies.keep(time::now().0 / 1_000, found);
    }

    /// Learns the course of a number, of whichever node.
    pub(crate) fn learn(&mut self, number: u64, course: &Ended) {
        self.generations.learn(number, course);
        self.judge.name(course);
        self.counters.learnt.inc();
        self.counters.version.set(self.version() as i64);
    }

    /// Of the forecasters.
    pub(crate) fn version(&self) -> u64 {
        self.generations.version()
    }
}
