//! What a check prints.

use crate::{
    catalogue::Entry,
    check::{Answer, Effort, Finding, Kind, Report},
    mutants::{CATCHES, Catch, Caught, Escape},
};
use comfy_table::{Table, presets};
use serde::Serialize;

/// A model with its properties and its mutants.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// Under all rules.
    #[serde(flatten)]
    pub report: Report,
    /// What makes it finite.
    pub bounds: String,
    /// How many states there should be.
    pub unique_states_pinned: Option<usize>,
    /// The mutants that this model is to catch and did.
    pub mutants_caught: Vec<Caught>,
    /// Those that got away.
    pub mutants_missed: Vec<String>,
    /// Those that were not caught before the check was to stop.
    pub mutants_unsettled: Vec<String>,
    /// Whether all was seen: nothing of it, nor of its mutants, was left open.
    pub complete: bool,
}

impl Checked {
    /// Checks a model under all rules, then with each of its broken ones.
    pub fn run(model: &Entry, effort: Effort) -> Checked {
        let report = model.check(effort);
        let (bounds, unique_states_pinned) = (model.bounds.clone(), model.unique_states);
        let (mut mutants_caught, mut mutants_missed) = (Vec::new(), Vec::new());
        let mut mutants_unsettled = Vec::new();
        for catch in CATCHES.iter().filter(|catch| catch.model == model.name) {
            match Catch::run(catch, effort) {
                Ok(caught) => mutants_caught.push(caught),
                Err(Escape::Missed) => mutants_missed.push(format!("{:?}", catch.mutant)),
                Err(Escape::Unsettled) => mutants_unsettled.push(format!("{:?}", catch.mutant)),
            }
        }
        let complete = report.closed && mutants_unsettled.is_empty();
        Checked {
            complete,
            report,
            bounds,
            unique_states_pinned,
            mutants_caught,
            mutants_missed,
            mutants_unsettled,
        }
    }

    /// Whether all is as it should be, as far as can be told where the check stopped early.
    pub fn holds(&self) -> bool {
        self.report.holds() && self.counted() && self.mutants_missed.is_empty()
    }

    fn counted(&self) -> bool {
        let found = self.report.unique_states;
        !self.report.closed || self.unique_states_pinned.is_none_or(|pinned| pinned == found)
    }
}

/// One object on one line.
pub fn json(checked: &[Checked]) -> String {
    let complete = checked.iter().all(|one| one.complete);
    serde_json::json!({ "models": checked, "complete": complete }).to_string()
}

/// A table of models, one of mutants, and the steps to whatever does not hold.
pub fn table(checked: &[Checked]) -> String {
    let mut models =
        new_table(&["model", "unique states", "states", "depth", "seconds", "closed", "holds"]);
    let mut mutants = new_table(&["mutant", "model", "violates", "unique states", "seconds"]);
    for checked in checked {
        let Checked { report, mutants_caught, mutants_missed, mutants_unsettled, .. } = checked;
        models.add_row([
            report.name.to_string(),
            report.unique_states.to_string(),
            report.states.to_string(),
            report.depth.to_string(),
            format!("{:.1}", report.seconds),
            if report.closed { "yes" } else { "no" }.into(),
            all_in_all(report),
        ]);
        for Caught { mutant, property, unique_states, seconds, .. } in mutants_caught {
            let (states, seconds) = (unique_states.to_string(), format!("{seconds:.1}"));
            mutants.add_row([mutant, report.name, property, &states, &seconds]);
        }
        for mutant in mutants_missed {
            mutants.add_row([mutant, report.name, "NOTHING", "", ""]);
        }
        for mutant in mutants_unsettled {
            mutants.add_row([mutant, report.name, "nothing before the check stopped", "", ""]);
        }
    }
    let mut text = format!("{models}\n");
    if mutants.row_count() > 0 {
        text += &format!("\n{mutants}\n");
    }
    text += &left_open(checked);
    // One model is looked at closely: what it is bounded by, and what it was asked.
    if let [one] = checked {
        text += &format!("\nbounds: {}\n\n{}", one.bounds, properties(one));
    }
    text + &counterexamples(checked)
}

fn properties(checked: &Checked) -> String {
    let mut table = new_table(&["property", "kind", "is so"]);
    for finding in &checked.report.properties {
        let kind = match finding.kind {
            Kind::Always => "always",
            Kind::Sometimes => "sometimes",
            Kind::Refuted => "must be violated",
        };
        table.add_row([finding.name, kind, &answer(finding, checked.report.states_asked)]);
    }
    format!("{table}\n")
}

fn answer(finding: &Finding, states_asked: usize) -> String {
    match (finding.is_so, finding.kind) {
        (Answer::Yes, _) => "yes".into(),
        (Answer::No, _) => "NO".into(),
        (Answer::NeverMet, _) => format!("never met: {}", finding.never_met.join("; ")),
        (Answer::Open, Kind::Always) => format!("not refuted within {states_asked} states"),
        (Answer::Open, _) => format!("not found within {states_asked} states"),
    }
}

fn all_in_all(report: &Report) -> String {
    let violated = report.violated();
    let (open, never_met) = (report.named(Answer::Open), report.named(Answer::NeverMet));
    match (violated.is_empty(), open.is_empty(), never_met.len()) {
        (false, ..) => violated.join("; "),
        (true, false, _) => format!("not refuted within {} states", report.states_asked),
        (true, true, 0) => "yes".into(),
        (true, true, some) => format!("yes, and {some} never met"),
    }
}

fn left_open(checked: &[Checked]) -> String {
    let open: Vec<&str> =
        checked.iter().filter(|one| !one.complete).map(|one| one.report.name).collect();
    match open.is_empty() {
        true => String::new(),
        false => format!("\nnot complete, stopped before all was seen: {}\n", open.join(", ")),
    }
}

fn counterexamples(checked: &[Checked]) -> String {
    let mut text = String::new();
    for one in checked {
        let report = &one.report;
        if let Some(pinned) = one.unique_states_pinned.filter(|_| !one.counted()) {
            let (name, found) = (report.name, report.unique_states);
            text += &format!("\n{name} has {found} states, {pinned} are pinned\n");
        }
        for finding in report.properties.iter().filter(|finding| finding.is_so == Answer::No) {
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
