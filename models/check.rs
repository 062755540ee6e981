//! Runs scenarios through the checker and gathers what came out.

use crate::commit::{
    memo,
    model::{Spine, Step},
    plan::Scenario,
};
use serde::Serialize;
use stateright::{Checker, Expectation, HasDiscoveries, Model};
use std::time::Instant;
use vatic_core::rules::{Mutant, Rules};

/// What checking a scenario found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The scenario.
    pub name: &'static str,
    /// States generated, with repeats.
    pub states: usize,
    /// States.
    pub unique_states: usize,
    /// Steps of the longest path that was taken first.
    pub depth: usize,
    /// How long it took.
    pub seconds: f64,
    /// Properties and what became of them.
    pub properties: Vec<Finding>,
}

/// What became of a property.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// The property.
    pub name: &'static str,
    /// `always` or `sometimes`.
    pub kind: &'static str,
    /// Whether it is as it should be.
    pub holds: bool,
    /// For what is violated, the steps that lead there.
    pub counterexample: Option<Vec<String>>,
}

impl Report {
    /// Whether all properties are as they should be.
    pub fn holds(&self) -> bool {
        self.properties.iter().all(|finding| finding.holds)
    }

    /// The names of the properties that are not.
    pub fn violated(&self) -> Vec<&'static str> {
        self.properties.iter().filter(|f| !f.holds).map(|finding| finding.name).collect()
    }
}

/// Checks a scenario under all rules, exhaustively.
pub fn check(scenario: Scenario, threads: usize) -> Report {
    run(Spine::new(scenario, Rules::default()), threads, HasDiscoveries::All)
}

/// Checks a scenario with one rule broken, until the property is violated.
pub fn check_mutant(
    scenario: Scenario,
    mutant: Mutant,
    property: &'static str,
    threads: usize,
) -> Report {
    let finish = HasDiscoveries::AnyOf([property].into());
    run(Spine::new(scenario, Rules::without(mutant)), threads, finish)
}

/// Keeps failed assertions of the core, which the models catch and report, off the screen.
pub fn silence_caught_panics() {
    let printing = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !memo::is_catching() {
            printing(info);
        }
    }));
}

fn run(spine: Spine, threads: usize, finish: HasDiscoveries) -> Report {
    let started = Instant::now();
    let name = spine.scenario.name;
    let checker = spine.checker().threads(threads).finish_when(finish).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let properties = checker.model().properties();
    let properties = properties.iter().map(|property| {
        let found = discoveries.get(property.name);
        let always = property.expectation == Expectation::Always;
        let path = found.filter(|_| always).cloned();
        Finding {
            name: property.name,
            kind: if always { "always" } else { "sometimes" },
            holds: always != found.is_some(),
            counterexample: path.map(|path| describe(path.into_actions())),
        }
    });
    Report {
        name,
        properties: properties.collect(),
        states: checker.state_count(),
        unique_states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: started.elapsed().as_secs_f64(),
    }
}

fn describe(steps: Vec<Step>) -> Vec<String> {
    steps.iter().map(|step| step.to_string()).collect()
}
