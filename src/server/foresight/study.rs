//! All that is learnt on this node, and what is made of it. Owned by one thread.

use super::{
    anomalies::Anomalies,
    classes::Classes,
    counters::Counters,
    judge::{Judge, Judged, judged_at},
    walk::Ended,
};
use crate::time;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use vatic_core::footprint::Footprint;
use vatic_learn::forecast::{Made, Outlook, Panel, Prefix, Step, ask_at};

/// Streams of a class that must have been learnt before one of it is forecast.
const EXEMPLARS_MIN: u64 = 8;

/// A forecast of a running stream.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) outlook: Outlook,
    pub(crate) forecaster: &'static str,
    pub(crate) exemplars: u64,
    /// Groups that will take part.
    pub(crate) participants: u32,
    /// How far the stream was from its last forecast's way, in steps.
    pub(crate) strayed: Option<f64>,
    /// Its footprint when the forecast was made.
    from: Footprint,
}

/// The forecasts of one stream, between its session and the learner.
#[derive(Debug, Default)]
pub(crate) struct Line {
    told: Mutex<Vec<Arc<Told>>>,
    /// Told of each.
    pub(crate) more: Notify,
}

impl Line {
    /// The forecast at a place, in the order in which they were made.
    pub(crate) fn at(&self, place: usize) -> Option<Arc<Told>> {
        self.told.lock().expect("no holder panics").get(place).cloned()
    }

    fn last(&self) -> Option<Arc<Told>> {
        self.told.lock().expect("no holder panics").last().cloned()
    }

    /// The one that was made after so many steps.
    fn made_at(&self, steps: usize) -> Option<Arc<Told>> {
        let told = self.told.lock().expect("no holder panics");
        told.iter().find(|told| told.outlook.prefix == steps).cloned()
    }

    fn tell(&self, told: Told) {
        self.told.lock().expect("no holder panics").push(Arc::new(told));
        self.more.notify_one();
    }
}

/// See the file's head.
pub(crate) struct Study {
    panel: Panel,
    names: Vec<&'static str>,
    classes: Classes,
    judge: Judge,
    anomalies: Arc<Anomalies>,
    counters: Arc<Counters>,
}

impl Study {
    pub(crate) fn new(anomalies: Arc<Anomalies>, counters: Arc<Counters>) -> Study {
        let panel = Panel::default();
        let names = panel.names();
        let (classes, judge) = (Classes::default(), Judge::default());
        Study { panel, names, classes, judge, anomalies, counters }
    }

    /// Forecasts a running stream from its first steps, unless too little is known.
    pub(crate) fn forecast(&self, class: u64, steps: &[Step], line: &Line) {
        let prefix = Prefix { class, steps };
        let Some((outlook, forecaster)) = self.outlook(prefix) else {
            self.counters.unknown.inc();
            return;
        };
        let from = prefix.footprint();
        let strayed = line.last().map(|last| last.outlook.strayed(&last.from, &from, steps.len()));
        let known = self.classes.find(class);
        line.tell(Told {
            outlook,
            forecaster,
            exemplars: known.map_or(0, |class| class.exemplars),
            participants: known.map_or(0, |class| class.participants()),
            strayed,
            from,
        });
        self.counters.forecast.inc();
    }

    /// Judges a sealed stream by the forecast that it was given, if it was given one in time.
    pub(crate) fn judge_told(&mut self, ended: &Ended, line: &Line) -> Option<Judged> {
        let told = line.made_at(judged_at(ended.steps.len()))?;
        Some(self.judge(ended, &told.outlook, told.forecaster))
    }

    /// Learns from a sealed stream. One that was not judged yet is judged first, by what would have
    /// been forecast of it: nothing has been learnt from it by then.
    pub(crate) fn learn(&mut self, ended: &Ended, judged: bool) {
        let whole = ended.whole();
        if !judged
            && let Some((outlook, name)) = self.outlook(whole.first(judged_at(whole.steps.len())))
        {
            self.judge(ended, &outlook, name);
        }
        let asked = (1..whole.steps.len()).filter(|at| ask_at(*at));
        let made: Vec<Made> = asked.map(|at| self.panel.forecast_all(whole.first(at))).collect();
        self.panel.learn(whole, &made);
        self.classes.of(ended.class).learnt(ended.participants);
        self.judge.name(ended);
        self.counters.learnt.inc();
    }

    fn outlook(&self, prefix: Prefix<'_>) -> Option<(Outlook, &'static str)> {
        let known = self.classes.find(prefix.class)?;
        let champion = self.panel.champion_of(prefix.class);
        let enough = known.exemplars >= EXEMPLARS_MIN;
        enough.then(|| (self.panel.forecast_by(champion, prefix), self.names[champion]))
    }

    fn judge(&mut self, ended: &Ended, outlook: &Outlook, name: &'static str) -> Judged {
        let (judged, found) = self.judge.judge(&mut self.classes, ended, outlook, name);
        match found {
            Some(found) => {
                self.counters.invalid.inc();
                self.anomalies.keep(time::now().0 / 1_000, found);
            }
            None => self.counters.valid.inc(),
        }
        judged
    }
}
