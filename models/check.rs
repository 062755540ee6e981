//! Runs models through the checker and gathers what came out.

use crate::narrate::Narrated;
use serde::Serialize;
use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Path, Property};
use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

/// How far a check goes. Without a bound on depth or time it goes on until all states are known.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Threads of the checker.
    pub threads: usize,
    /// Steps from the start that are followed at most.
    pub depth: Option<usize>,
    /// Seconds after which it stops.
    pub seconds: Option<u64>,
    /// Whether each path is followed to its end before the next one: that needs much less memory,
    /// and what it finds takes more steps than it need.
    pub depth_first: bool,
}

impl Effort {
    /// Everything, on this many threads.
    pub fn exhaustive(threads: usize) -> Effort {
        Effort { threads, depth: None, seconds: None, depth_first: false }
    }
}

/// What checking a model found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The model.
    pub name: &'static str,
    /// States generated, with repeats.
    pub states: usize,
    /// States.
    pub unique_states: usize,
    /// Steps of the longest path that was taken first.
    pub depth: usize,
    /// How long it took.
    pub seconds: f64,
    /// States in which the properties were asked: all, where all were seen.
    pub states_asked: usize,
    /// Whether all states were seen.
    pub closed: bool,
    /// Properties and what became of them.
    pub properties: Vec<Finding>,
}

/// What became of a property.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The property.
    pub name: &'static str,
    /// What it says.
    pub kind: Kind,
    /// Whether it is as it should be.
    pub is_so: Answer,
    /// What it is about and never occurred.
    pub never_met: Vec<&'static str>,
    /// For what is violated, the steps that lead there.
    pub counterexample: Option<Vec<String>>,
}

/// Kinds of properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Holds in every state.
    Always,
    /// Holds in some state.
    Sometimes,
    /// Is violated in some state: without this, others could hold because nothing happens.
    Refuted,
}

/// Whether a property is as it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is, in all states, or an example of it was found.
    Yes,
    /// It is not.
    No,
    /// No state that was seen settles it, and not all were seen.
    Open,
    /// It holds in all states, and what it is about occurs in none of them.
    NeverMet,
}

impl Report {
    /// Whether no property is known not to be as it should be.
    pub fn holds(&self) -> bool {
        self.violated().is_empty()
    }

    /// The names of the properties that are not.
    pub fn violated(&self) -> Vec<&'static str> {
        self.named(Answer::No)
    }

    /// The names of the properties of which this is so.
    pub fn named(&self, answer: Answer) -> Vec<&'static str> {
        let found = self.properties.iter().filter(|finding| finding.is_so == answer);
        found.map(|finding| finding.name).collect()
    }
}

/// Checks a model, until all properties are settled or one of those named is found violated.
pub fn check<M: Narrated>(model: M, effort: Effort, until: Option<&'static str>) -> Report {
    let started = Instant::now();
    let builder = bounded(model, effort, until);
    match effort.depth_first {
        true => report(builder.spawn_dfs().join(), started, effort, until),
        false => report(builder.spawn_bfs().join(), started, effort, until),
    }
}

/// What is made of the steps that lead to a discovery of a property: to where an `always` is
/// violated, or a `sometimes` shown.
pub fn path_to<M: Narrated, T>(
    model: M,
    property: &'static str,
    effort: Effort,
    make: impl FnOnce(&M, Steps<M>) -> Option<T>,
) -> Option<T> {
    let checker = bounded(model, effort, Some(property)).spawn_bfs().join();
    let path = checker.discoveries().remove(property)?;
    make(checker.model(), path.into_actions())
}

/// Steps of a model.
pub type Steps<M> = Vec<<M as stateright::Model>::Action>;

fn bounded<M: Narrated>(
    model: M,
    Effort { threads, depth, seconds, .. }: Effort,
    until: Option<&'static str>,
) -> CheckerBuilder<M> {
    let until = until.map(|property| HasDiscoveries::AnyOf([property].into()));
    // One thread alone never looks at the clock.
    let threads_min = if seconds.is_some() { 2 } else { 1 };
    let mut checker = model.checker().threads(threads.max(threads_min));
    checker = checker.finish_when(until.unwrap_or(HasDiscoveries::All));
    if let Some(depth) = depth {
        checker = checker.target_max_depth(depth);
    }
    if let Some(seconds) = seconds {
        checker = checker.timeout(Duration::from_secs(seconds));
    }
    checker
}

fn report<M: Narrated>(
    checker: impl Checker<M>,
    started: Instant,
    effort: Effort,
    until: Option<&'static str>,
) -> Report {
    let seconds = started.elapsed().as_secs_f64();
    // Before paths are followed again, which asks models for steps as well.
    let states_asked = checker.model().noted().looked_at();
    let found = until.is_some_and(|property| checker.discovery(property).is_some());
    let closed = !found
        && effort.depth.is_none_or(|depth| checker.max_depth() < depth)
        && effort.seconds.is_none_or(|most| seconds < most as f64);
    let (model, mut discoveries) = (checker.model(), checker.discoveries());
    let findings = model.properties().into_iter().map(|property| {
        let found = discoveries.remove(property.name);
        finding(model, &property, found, closed)
    });
    Report {
        name: model.name(),
        properties: findings.collect(),
        states: checker.state_count(),
        unique_states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
        states_asked,
        closed,
    }
}

fn finding<M: Narrated>(
    model: &M,
    property: &Property<M>,
    found: Option<Path<M::State, M::Action>>,
    closed: bool,
) -> Finding {
    let kind = match property.expectation {
        Expectation::Always if property.name == model.refuted() => Kind::Refuted,
        Expectation::Always => Kind::Always,
        _ => Kind::Sometimes,
    };
    let premises = model.premises().iter().enumerate();
    let never_met: Vec<_> = premises
        .filter(|(at, premise)| premise.of == property.name && !model.noted().is_met(*at))
        .map(|(_, premise)| premise.name)
        .collect();
    let is_so = match (kind == Kind::Always, found.is_some()) {
        (true, true) => Answer::No,
        (false, true) => Answer::Yes,
        (_, false) if !closed => Answer::Open,
        (false, false) => Answer::No,
        (true, false) if !never_met.is_empty() => Answer::NeverMet,
        (true, false) => Answer::Yes,
    };
    let path = found.filter(|_| kind != Kind::Sometimes);
    let counterexample = path.map(|path| tell(model, path));
    Finding { name: property.name, kind, is_so, never_met, counterexample }
}

/// The steps of a path in the protocol's words.
pub fn tell<M: Narrated>(model: &M, path: Path<M::State, M::Action>) -> Vec<String> {
    let steps = path.into_vec().into_iter();
    steps.filter_map(|(state, step)| Some(model.say_step(&state, &step?))).collect()
}

/// Keeps failed assertions of the core, which the models catch and report, off the screen.
pub fn silence_caught_panics() {
    let printing = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !CATCHING.get() {
            printing(info);
        }
    }));
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the core's code; a failed assertion is its result.
pub(crate) fn catching<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
    })
}
