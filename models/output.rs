//! What a check prints.

use crate::{
    check::{self, Report},
    commit::plan::Scenario,
    mutants::{CATCHES, Catch, Caught},
};
use comfy_table::{Table, presets};
use serde::Serialize;

/// A scenario with its properties and its mutants.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Under all rules.
    #[serde(flatten)]
    pub report: Report,
    /// How many states there should be.
    pub unique_states_pinned: usize,
    /// The mutants that this scenario is to catch and did.
    pub mutants_caught: Vec<Caught>,
    /// Those that got away.
    pub mutants_missed: Vec<String>,
}

impl Checked {
    /// Checks a scenario under all rules, then with each of its broken ones.
    pub fn run(scenario: Scenario, threads: usize) -> Checked {
        let (name, unique_states_pinned) = (scenario.name, scenario.unique_states);
        let report = check::check(scenario, threads);
        let (mut mutants_caught, mut mutants_missed) = (Vec::new(), Vec::new());
        for catch in CATCHES.iter().filter(|catch| catch.scenario == name) {
            match Catch::run(catch, threads) {
                Some(caught) => mutants_caught.push(caught),
                None => mutants_missed.push(format!("{:?}", catch.mutant)),
            }
        }
        Checked { report, unique_states_pinned, mutants_caught, mutants_missed }
    }

    /// Whether all is as it should be.
    pub fn holds(&self) -> bool {
        let counted = self.report.unique_states == self.unique_states_pinned;
        self.report.holds() && counted && self.mutants_missed.is_empty()
    }
}

/// One object on one line.
pub fn json(checked: &[Checked]) -> String {
    serde_json::json!({ "models": checked }).to_string()
}

/// A table of models, one of mutants, and the steps to whatever does not hold.
pub fn table(checked: &[Checked]) -> String {
    let mut models = new_table(&["model", "unique states", "states", "depth", "seconds", "holds"]);
    let mut mutants = new_table(&["mutant", "model", "violates", "unique states", "seconds"]);
    for Checked { report, mutants_caught, mutants_missed, .. } in checked {
        let violated = report.violated();
        let holds = if violated.is_empty() { "yes".into() } else { violated.join("; ") };
        models.add_row([
            report.name.to_string(),
            report.unique_states.to_string(),
            report.states.to_string(),
            report.depth.to_string(),
            format!("{:.1}", report.seconds),
            holds,
        ]);
        for Caught { mutant, property, unique_states, seconds, .. } in mutants_caught {
            let (states, seconds) = (unique_states.to_string(), format!("{seconds:.1}"));
            mutants.add_row([mutant, report.name, property, &states, &seconds]);
        }
        for mutant in mutants_missed {
            mutants.add_row([mutant, report.name, "NOTHING", "", ""]);
        }
    }
    format!("{models}\n\n{mutants}\n{}", counterexamples(checked))
}

fn counterexamples(checked: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { report, unique_states_pinned, .. } in checked {
        if report.unique_states != *unique_states_pinned {
            let (name, found) = (report.name, report.unique_states);
            text += &format!("\n{name} has {found} states, {unique_states_pinned} are pinned\n");
        }
        for finding in report.properties.iter().filter(|finding| !finding.holds) {
            text += &format!("\n{}: not so: {}\n", report.name, finding.name);
            let steps = finding.counterexample.iter().flatten().enumerate();
            text.extend(steps.map(|(at, step)| format!("{:>4}. {step}\n", at + 1)));
        }
    }
    text
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_header(header.to_vec());
    table
}
