//! All models, by name: what they are about, their bounds, their pinned counts.

use crate::{
    check::{Effort, Report, check},
    commit::{model::Spine, plan::Scenario, scenarios},
    digest::{self, model::Scroll},
    dispatch::{self, model::Desk},
    lane::{self, model::Track},
    narrate::Narrated,
    ring::{self, model::Orbit},
};
use stateright::{Expectation, Property};
use vatic_core::rules::{Mutant, Rules};

/// One model with all that is known of it in advance.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// What makes it finite.
    pub bounds: String,
    /// How many states there are, where that was found out.
    pub unique_states: Option<usize>,
    /// Whether it is too large for every test run, and checked by command alone.
    pub by_command: bool,
    subject: Subject,
}

#[derive(Clone, Debug)]
enum Subject {
    Commit(Box<Scenario>),
    Digest(Box<digest::scenarios::Scenario>),
    Dispatch(Box<dispatch::scenarios::Scenario>),
    Lane(Box<lane::scenarios::Scenario>),
    Ring(Box<ring::scenarios::Scenario>),
}

/// What is done with a model, whichever it is.
pub trait Visit {
    /// What comes out.
    type Out;

    /// Does it.
    fn visit<M: Narrated>(self, model: M) -> Self::Out;
}

/// All models.
pub fn all() -> Vec<Entry> {
    let digests = digest::scenarios::all().into_iter().map(digest);
    let rings = ring::scenarios::all().into_iter().map(ring);
    let lanes = lane::scenarios::all().into_iter().map(lane);
    let queues = dispatch::scenarios::all().into_iter().map(queue);
    let commits = scenarios::all().into_iter().map(commit);
    commits.chain(digests).chain(rings).chain(lanes).chain(queues).collect()
}

/// Which models a check is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice<'a> {
    /// Those that every test run closes, and so CI.
    EveryRun,
    /// Those that are checked by command alone as well.
    All,
    /// One of them, by name.
    One(&'a str),
}

/// The models chosen; none where none has that name.
pub fn chosen(choice: Choice) -> Vec<Entry> {
    let mut models = all();
    models.retain(|entry| match choice {
        Choice::EveryRun => !entry.by_command,
        Choice::All => true,
        Choice::One(name) => entry.name == name,
    });
    models
}

/// The model of this name.
pub fn named(name: &str) -> Option<Entry> {
    chosen(Choice::One(name)).pop()
}

impl Entry {
    /// Builds the model under these rules and does something with it.
    pub fn build<V: Visit>(&self, rules: Rules, visit: V) -> V::Out {
        match &self.subject {
            Subject::Commit(scenario) => visit.visit(Spine::new(Scenario::clone(scenario), rules)),
            Subject::Ring(scenario) => visit.visit(Orbit::new((**scenario).clone(), rules)),
            Subject::Dispatch(scenario) => visit.visit(Desk::new((**scenario).clone(), rules)),
            Subject::Lane(scenario) => visit.visit(Track::new((**scenario).clone(), rules)),
            Subject::Digest(scenario) => visit.visit(Scroll::new((**scenario).clone(), rules)),
        }
    }

    /// What kind of model it is: those of one kind have their properties in common.
    pub fn kind(&self) -> &'static str {
        match self.subject {
            Subject::Commit(_) => "commit",
            Subject::Digest(_) => "digest",
            Subject::Dispatch(_) => "dispatch",
            Subject::Lane(_) => "lane",
            Subject::Ring(_) => "ring",
        }
    }

    /// What must hold in each of its states.
    pub fn always(&self) -> Vec<&'static str> {
        self.build(Rules::default(), Always)
    }

    /// Checks it under all rules.
    pub fn check(&self, effort: Effort) -> Report {
        self.build(Rules::default(), Check { effort, until: None })
    }

    /// Checks it with one rule broken, until the property is violated.
    pub fn check_mutant(&self, mutant: Mutant, until: &'static str, effort: Effort) -> Report {
        self.build(Rules::without(mutant), Check { effort, until: Some(until) })
    }
}

struct Check {
    effort: Effort,
    until: Option<&'static str>,
}

impl Visit for Check {
    type Out = Report;

    fn visit<M: Narrated>(self, model: M) -> Report {
        check(model, self.effort, self.until)
    }
}

struct Always;

impl Visit for Always {
    type Out = Vec<&'static str>;

    fn visit<M: Narrated>(self, model: M) -> Self::Out {
        let always = |property: &Property<M>| matches!(property.expectation, Expectation::Always);
        let properties = model.properties().into_iter().filter(always);
        let names = properties.map(|property| property.name);
        names.filter(|name| *name != model.refuted()).collect()
    }
}

fn commit(scenario: Scenario) -> Entry {
    let Scenario { name, about, unique_states, by_command, .. } = scenario;
    let bounds = scenario.bounds();
    let subject = Subject::Commit(scenario.into());
    Entry { name, about, bounds, unique_states, by_command, subject }
}

fn digest(scenario: digest::scenarios::Scenario) -> Entry {
    let digest::scenarios::Scenario { name, about, unique_states, .. } = scenario;
    let bounds = scenario.bounds();
    let subject = Subject::Digest(scenario.into());
    Entry { name, about, bounds, unique_states, by_command: false, subject }
}

fn ring(scenario: ring::scenarios::Scenario) -> Entry {
    let ring::scenarios::Scenario { name, about, unique_states, .. } = scenario;
    let bounds = scenario.bounds();
    let subject = Subject::Ring(scenario.into());
    Entry { name, about, bounds, unique_states, by_command: false, subject }
}

fn lane(scenario: lane::scenarios::Scenario) -> Entry {
    let lane::scenarios::Scenario { name, about, unique_states, by_command, .. } = scenario;
    let bounds = scenario.bounds();
    let subject = Subject::Lane(scenario.into());
    Entry { name, about, bounds, unique_states, by_command, subject }
}

fn queue(scenario: dispatch::scenarios::Scenario) -> Entry {
    let dispatch::scenarios::Scenario { name, about, unique_states, .. } = scenario;
    let bounds = scenario.bounds();
    let subject = Subject::Dispatch(scenario.into());
    Entry { name, about, bounds, unique_states, by_command: false, subject }
}
