//! The command that hunts broken variants, and the table of what found them.

use crate::{Output, unknown};
use anyhow::{Context, bail};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::time::Instant;
use vatic_models::mutants::CATCHES;
use vatic_verification::{Broken, Hunts, hunt_all};

#[derive(clap::Args)]
pub(crate) struct Mutants {
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
    /// These variants alone, by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
}

impl Mutants {
    pub(crate) fn run(&self) -> anyhow::Result<bool> {
        if self.output == Output::Junit {
            bail!("mutants are reported as a table or as JSON");
        }
        let named = |name: &String| Broken::named(name).with_context(|| unknown(name));
        let mut variants: Vec<Broken> = self.only.iter().map(named).collect::<Result<_, _>>()?;
        if variants.is_empty() {
            variants = Broken::all();
        }
        // A run that panics is a finding, and told as one.
        std::panic::set_hook(Box::new(|_| {}));
        let began = Instant::now();
        let Mutants { first, seeds, repeat, threads, .. } = *self;
        let hunts =
            hunt_all(&variants, first, seeds, repeat, threads, |broken, catch| match catch {
                Some(catch) => {
                    eprintln!("{}: seed {}, {}", broken.name(), catch.seed, catch.detail)
                }
                None => eprintln!("{}: got away", broken.name()),
            });
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Output::Json => println!("{}", self.json(&hunts, seconds)),
            _ => self.print_table(&hunts, seconds),
        }
        Ok(hunts.iter().all(Hunts::all_caught))
    }

    fn print_table(&self, hunts: &[Hunts], seconds: f64) {
        let mut table = Table::new();
        let header = ["broken", "in", "median", "max", "caught by", "and by model"];
        table.load_style(UTF8_BORDERS_ONLY).set_header(header);
        for hunts in hunts {
            let (seeds, broken) = (hunts.seeds(), hunts.broken);
            let median = median(&seeds).map_or(String::new(), |seeds| seeds.to_string());
            let max = match (hunts.all_caught(), seeds.last()) {
                (true, Some(max)) => max.to_string(),
                _ => format!("> {}", self.seeds),
            };
            let models: Vec<&str> = models(broken).map(|(model, _)| model).collect();
            let (checks, models) = (checks(hunts).join(", "), models.join(", "));
            table.add_row([broken.name(), broken.part().into(), median, max, checks, models]);
        }
        println!("{table}");
        let caught = hunts.iter().filter(|hunts| hunts.all_caught()).count();
        let (of, repeat) = (hunts.len(), self.repeat);
        println!("{caught} of {of} caught, from {repeat} starting points each, in {seconds:.0} s");
    }

    fn json(&self, hunts: &[Hunts], seconds: f64) -> serde_json::Value {
        let mutants: Vec<serde_json::Value> = hunts
            .iter()
            .map(|hunts| {
                let (broken, seeds) = (hunts.broken, hunts.seeds());
                let models: Vec<serde_json::Value> = models(broken)
                    .map(|(model, property)| {
                        serde_json::json!({ "model": model, "property": property })
                    })
                    .collect();
                serde_json::json!({
                    "name": broken.name(),
                    "part": broken.part(),
                    "caught": hunts.all_caught(),
                    "seeds": seeds,
                    "median": median(&seeds),
                    "max": seeds.last(),
                    "checks": checks(hunts),
                    "models": models,
                })
            })
            .collect();
        let caught = hunts.iter().filter(|hunts| hunts.all_caught()).count();
        serde_json::json!({
            "mutants": mutants,
            "caught": caught,
            "of": hunts.len(),
            "seeds_max": self.seeds,
            "repeat": self.repeat,
            "seconds": seconds,
        })
    }
}

/// The lower one of two in the middle.
fn median(sorted: &[u64]) -> Option<u64> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn checks(hunts: &Hunts) -> Vec<&'static str> {
    hunts.checks().into_iter().map(|check| check.name()).collect()
}

/// The models that find a rule of the core missing, and by which property.
fn models(broken: Broken) -> impl Iterator<Item = (&'static str, &'static str)> {
    let of = move |mutant| matches!(broken, Broken::Core(core) if core == mutant);
    CATCHES.iter().filter(move |catch| of(catch.mutant)).map(|catch| (catch.model, catch.property))
}
