//! The command that has every broken variant looked for: in models, in simulated runs, by loom.

use crate::{
    Output,
    mutant_table::{Row, json, print},
    threads, unknown,
};
use anyhow::{Context, bail};
use clap::ValueEnum;
use std::time::Instant;
use vatic_verification::{Broken, Hunts, ask_models, hunt_all};

#[derive(clap::Args)]
pub(crate) struct Mutants {
    /// Who is asked; `loom` builds the models of `vatic-sync`, and needs cargo and the sources.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "models,simulation,loom")]
    by: Vec<Finder>,
    /// Most seeds that a variant may survive.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// Hunt each so many times, each time from seeds of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// How many hunts at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// These variants alone, by name; those of threads have none.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
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

impl Mutants {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        if self.output == Output::Junit {
            bail!("mutants are reported as a table or as JSON");
        }
        // A run that panics is a finding, and told as one.
        std::panic::set_hook(Box::new(|_| {}));
        let began = Instant::now();
        let mut rows = self.rows()?;
        if self.asks(Finder::Loom) && self.only.is_empty() {
            rows.extend(threads::rows()?);
        }
        if rows.is_empty() {
            bail!("none of these is for those who are asked");
        }
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Output::Json => println!("{}", json(&rows, self.seeds, self.repeat, seconds)),
            _ => print(&rows, self.seeds, self.repeat, seconds),
        }
        Ok(rows.iter().all(Row::is_caught))
    }

    fn asks(&self, finder: Finder) -> bool {
        self.by.contains(&finder)
    }

    /// What was found of the core, what is around it and what is below it.
    fn rows(&self) -> anyhow::Result<Vec<Row>> {
        let variants = self.variants()?;
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
        Ok(rows)
    }

    fn variants(&self) -> anyhow::Result<Vec<Broken>> {
        let named = |name: &String| Broken::named(name).with_context(|| unknown(name));
        match self.only.is_empty() {
            true => Ok(Broken::every()),
            false => self.only.iter().map(named).collect(),
        }
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
