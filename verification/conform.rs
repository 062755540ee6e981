//! The command that plays recorded runs again through the core alone.

use crate::{Output, level, parse_range};
use anyhow::{Context, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::time::Instant;
use vatic_core::rules::{Mutant, Rules};
use vatic_verification::{Conformance, Options, again, conform_all};

#[derive(clap::Args)]
pub(crate) struct Conform {
    /// How many seeds, from 1; or a range such as 100..200.
    #[arg(long, default_value = "400")]
    seeds: String,
    /// What the groups stand on: 1, a log that is assumed; 2, openraft, our log and our store.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    level: u32,
    /// How many runs at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Play again with this rule of the core switched off, which must differ.
    #[arg(long)]
    without: Option<String>,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Conform {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        if self.output == Output::Junit {
            bail!("conformance is reported as a table or as JSON");
        }
        let options = Options::of(level(self.level));
        let rules = self.without.as_deref().map(rules_without).transpose()?;
        let seeds = parse_range(&self.seeds)?;
        let (count, began) = (seeds.end - seeds.start, Instant::now());
        let rules = rules.unwrap_or_default();
        let (runs, conformance) = conform_all(seeds, &options, rules, self.threads);
        let failed: Vec<_> = runs.iter().filter(|run| !run.violations.is_empty()).collect();
        for run in &failed {
            eprintln!("seed {} violates something: {}", run.seed, again(run.seed, &options));
        }
        conformance.differences.iter().for_each(|difference| eprintln!("{difference}"));
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Output::Json => println!("{}", json(count, &conformance, seconds)),
            _ => print_table(count, &conformance, seconds),
        }
        Ok(failed.is_empty() && conformance.differences.is_empty())
    }
}

fn rules_without(name: &str) -> anyhow::Result<Rules> {
    let mut mutants = Mutant::ALL.into_iter().chain(Mutant::OF_EVIDENCE_AND_RING);
    let mutant = mutants.find(|mutant| format!("{mutant:?}").eq_ignore_ascii_case(name));
    mutant.map(Rules::without).with_context(|| format!("{name} is no rule of the core"))
}

fn counts(conformance: &Conformance) -> [(&'static str, u64); 5] {
    [
        ("events", conformance.events()),
        ("commands", conformance.commands),
        ("queries", conformance.queries),
        ("coordinator_events", conformance.coordinator_events),
        ("read_events", conformance.read_events),
    ]
}

fn print_table(seeds: u64, conformance: &Conformance, seconds: f64) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["", ""]);
    table.add_row(["seeds", &seeds.to_string()]);
    for (name, count) in counts(conformance) {
        table.add_row([name, &count.to_string()]);
    }
    table.add_row(["differences", &conformance.differences.len().to_string()]);
    println!("{table}");
    println!("in {seconds:.1} s");
}

fn json(seeds: u64, conformance: &Conformance, seconds: f64) -> serde_json::Value {
    let mut json = serde_json::json!({
        "seeds": seeds,
        "differences": conformance.differences.len(),
        "seconds": seconds,
    });
    for (name, count) in counts(conformance) {
        json[name] = count.into();
    }
    json
}
