//! The command that has every broken variant looked for: in models, in simulated runs, by loom.

use crate::{
    Output, broken, misused,
    mutant_table::{Row, json, print},
    threads,
};
use clap::ValueEnum;
use std::time::Instant;
use vatic_models::options;
use vatic_verification::{Broken, Hunts, ask_models, hunt_all};

#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// Who is asked; `loom` builds the models of `vatic-sync`, and needs cargo and the sources.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "models,simulation,loom")]
    by: Vec<Finder>,
    /// Most seeds that a variant may survive.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Hunt each so many times, each time from seeds of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// How many hunts at once.
    #[arg(long, default_value_t = 2, value_parser = options::threads)]
    threads: usize,
    /// These variants alone, by name; those of threads have none.
    #[arg(long, value_delimiter = ',', value_parser = broken)]
    only: Vec<Broken>,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

/// Who can find a broken variant.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Finder {
    /// The models, by the property that each rule of the core is there for.
    Models,
    /// Simulated runs, seed by seed, as clean ones are.
    Simulation,
    /// loom, for what threads share.
    Loom,
}

impl Finder {
    fn name(self) -> &'static str {
        match self {
            Finder::Models => "models",
            Finder::Simulation => "simulation",
            Finder::Loom => "loom",
        }
    }
}

impl Mutants {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        if let Some(message) = self.only.iter().find_map(|broken| self.is_looked_for(*broken).err())
        {
            misused(message);
        }
        let seeds = self.seeds.checked_mul(self.repeat);
        if seeds.and_then(|seeds| self.first.checked_add(seeds)).is_none() {
            misused(format!("--first {}: there are not so many seeds from there on", self.first));
        }
        // A run that panics is a finding, and told as one.
        std::panic::set_hook(Box::new(|_| {}));
        let began = Instant::now();
        let mut rows = self.rows();
        if self.asks(Finder::Loom) && self.only.is_empty() {
            rows.extend(threads::rows()?);
        }
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Output::Json => println!("{}", json(&rows, self.seeds, self.repeat, seconds)),
            Output::Table => print(&rows, self.seeds, self.repeat, seconds),
        }
        Ok(rows.iter().all(Row::is_caught))
    }

    fn asks(&self, finder: Finder) -> bool {
        self.by.contains(&finder)
    }

    /// Whether somebody who is asked is there for a variant; else who would be.
    fn is_looked_for(&self, broken: Broken) -> Result<(), String> {
        let ways = [(Finder::Models, broken.has_model()), (Finder::Simulation, broken.is_hunted())];
        let ways = ways.into_iter().filter(|(_, is_there)| *is_there).map(|(finder, _)| finder);
        let ways: Vec<Finder> = ways.collect();
        if ways.iter().any(|finder| self.asks(*finder)) {
            return Ok(());
        }
        let name = broken.name();
        let said: Vec<String> =
            ways.iter().map(|finder| format!("--by {}", finder.name())).collect();
        match said.is_empty() {
            true => Err(format!("{name} is for twins alone: simulate --twins 1 --broken {name}")),
            false => Err(format!("{name} is caught {}, and by nobody else", said.join(" or "))),
        }
    }

    /// What was found of the core, what is around it and what is below it.
    fn rows(&self) -> Vec<Row> {
        let variants = if self.only.is_empty() { Broken::every() } else { self.only.clone() };
        let mut rows: Vec<Row> = variants.iter().map(|broken| Row::of(*broken)).collect();
        if self.asks(Finder::Models) {
            let found = ask_models(&variants, self.threads);
            rows.iter_mut().zip(found).for_each(|(row, found)| row.models = found);
        }
        if self.asks(Finder::Simulation) {
            for hunts in self.hunts(&variants) {
                let row = rows.iter_mut().find(|row| row.broken == Some(hunts.broken));
                row.expect("each has its row").hunts = Some(hunts);
            }
        }
        rows.retain(Row::was_looked_for);
        rows
    }

    fn hunts(&self, variants: &[Broken]) -> Vec<Hunts> {
        let Mutants { first, seeds, repeat, threads, .. } = *self;
        let hunted = variants.iter().copied().filter(|broken| broken.is_hunted());
        let hunted: Vec<Broken> = hunted.collect();
        hunt_all(&hunted, first, seeds, repeat, threads, |broken, catch| match catch {
            Some(catch) => eprintln!("{}: seed {}, {}", broken.name(), catch.seed, catch.detail),
            None => eprintln!("{}: got away", broken.name()),
        })
    }
}
