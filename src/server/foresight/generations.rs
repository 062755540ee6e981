//! The forecasters' generations: which of them speaks, and of which version it is.
//!
//! See [`vatic_core::course`] for why. All is a fold over numbered courses, without a clock and
//! without chance, so that all nodes that are of one version forecast the same. A node that misses
//! courses begins a generation anew behind them; until that has learnt what its version is made of,
//! what spoke before goes on, as of its version. A node that begins in the middle has nothing
//! better than the one that grows: it speaks, and is of no version yet.
//!
//! Invariant: whatever has a version has learnt all the courses from where [`course::begins`] says
//! up to that number, and no others.

use super::{
    classes::{ByClass, Class},
    walk::Ended,
};
use vatic_core::course;
use vatic_learn::forecast::{Made, Outlook, Panel, Prefix, ask_at};

/// Streams of a class that must have been learnt before one of it is forecast.
const EXEMPLARS_MIN: u64 = 8;

/// See the file's head.
#[derive(Default)]
pub(crate) struct Generations {
    /// What is of a version.
    speaking: Option<Generation>,
    /// What will take its place.
    growing: Option<Generation>,
}

/// A forecast, and who made it from what.
pub(crate) struct Forecast<'a> {
    pub(crate) outlook: Outlook,
    /// The forecaster's place in the order of [`Generations::names`].
    pub(crate) champion: usize,
    pub(crate) class: &'a Class,
    /// 0: of none yet.
    pub(crate) version: u64,
}

/// Forecasters that began with nothing behind a number.
struct Generation {
    began: u64,
    /// The last that they have learnt.
    learnt: u64,
    panel: Panel,
    classes: ByClass<Class>,
}

impl Generations {
    /// What forecasters are called.
    pub(crate) fn names() -> Vec<&'static str> {
        Panel::default().names()
    }

    /// Learns the course of a number. They come in order; where some are left out, the next is the
    /// first of a generation.
    pub(crate) fn learn(&mut self, number: u64, course: &Ended) {
        if self.growing.as_ref().is_some_and(|growing| growing.learnt + 1 != number) {
            self.growing = None;
        }
        let before = number - 1;
        if before.is_multiple_of(course::GENERATION) {
            self.growing = Some(Generation::new(before));
        }
        let follows = |generation: &&mut Generation| generation.learnt == before;
        let both = [&mut self.speaking, &mut self.growing].into_iter();
        both.filter_map(Option::as_mut).filter(follows).for_each(|it| it.learn(course));
        let grown = |growing: &mut Generation| growing.learnt >= course::takes_over(growing.began);
        if let Some(grown) = self.growing.take_if(grown) {
            self.speaking = Some(grown);
        }
    }

    /// Forecasts a running stream from its first steps, unless too little is known.
    pub(crate) fn forecast(&self, prefix: Prefix<'_>) -> Option<Forecast<'_>> {
        let speaks = self.speaking.as_ref().or(self.growing.as_ref())?;
        let class = speaks.classes.find(prefix.class)?;
        let champion = speaks.panel.champion_of(prefix.class);
        let enough = class.exemplars >= EXEMPLARS_MIN;
        enough.then(|| Forecast {
            outlook: speaks.panel.forecast_by(champion, prefix),
            champion,
            class,
            version: self.version(),
        })
    }

    /// The number of the last course that what is forecast was learnt from; 0: of no version yet.
    pub(crate) fn version(&self) -> u64 {
        self.speaking.as_ref().map_or(0, |speaking| speaking.learnt)
    }
}

/// For fuzzing: whether this is a course; forecasters then learn it, and it is told again.
#[cfg(feature = "fuzz")]
pub(crate) fn learns(course: &course::Course) -> bool {
    let names = super::kinds::Kinds::default();
    let Some(ended) = Ended::of(course, &names) else { return false };
    Generations::default().learn(1, &ended);
    if let Some(told) = ended.course() {
        let again = Ended::of(&told, &names).expect("what was told is a course");
        assert_eq!(again.steps.len(), ended.steps.len(), "of the same steps");
    }
    true
}

impl Generation {
    fn new(began: u64) -> Generation {
        let (panel, classes) = (Panel::default(), ByClass::default());
        Generation { began, learnt: began, panel, classes }
    }

    fn learn(&mut self, course: &Ended) {
        let whole = course.whole();
        let asked = (1..whole.steps.len()).filter(|at| ask_at(*at));
        let made: Vec<Made> = asked.map(|at| self.panel.forecast_all(whole.first(at))).collect();
        self.panel.learn(whole, &made);
        self.classes.of(course.class).learnt(course);
        self.learnt += 1;
    }
}
