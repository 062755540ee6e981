//! The command `vatic-verification`: simulate seeds, hunt broken variants, play recorded runs
//! again, walk the models' paths, forge receipts.

mod conform;
mod mutants;
mod report;
mod walk;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::{
    collections::BTreeSet, fs, ops::Range, path::Path, process::ExitCode, time::Duration,
    time::Instant,
};
use vatic_verification::{
    Batch, Broken, FILE, Family, Level, Options, Run, again, forge, run, shrink, vectors,
};

#[derive(Parser)]
#[command(about = "Checks vatic's protocol by deterministic simulation", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds; exits with 5 where a check fails, or where a batch met too little.
    ///
    /// A batch of 800 seeds or more (60 at level 2) with all families of misfortune must have met
    /// every kind of fault a hundred times and reached every rare path, and its seeds must have
    /// committed 50 transactions each on average.
    Simulate(Simulate),
    /// Hunt every broken variant and print what caught it; exits with 5 where one gets away.
    Mutants(mutants::Mutants),
    /// Play what seeds record again through the core alone; exits with 5 where it differs.
    Conform(conform::Conform),
    /// Walk paths of the models over a real store; exits with 5 where something differs.
    Paths(walk::Walk),
    /// Forge receipts and print where they are found out; exits with 5 where one verifies.
    Receipts {
        /// How many.
        #[arg(long, default_value_t = 20_000)]
        count: u64,
        /// What they are drawn from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Compare the receipts' vectors in the tree with what this build gives; exits with 5 where
    /// they differ.
    Vectors {
        /// Write them instead.
        #[arg(long)]
        write: bool,
    },
}

#[derive(clap::Args)]
struct Simulate {
    /// How many seeds, from 1; or a range such as 100..200.
    #[arg(long, default_value = "800", conflicts_with = "seed")]
    seeds: String,
    /// One seed only.
    #[arg(long)]
    seed: Option<u64>,
    /// Go on with further seeds for so long instead of stopping at the range's end.
    #[arg(long)]
    minutes: Option<f64>,
    /// Simulated seconds of load and faults for each seed, in the world's time.
    #[arg(long)]
    seconds: Option<f64>,
    /// What the groups stand on: 1, a log that is assumed; 2, openraft, our log and our store.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
    level: u32,
    /// Families of misfortune to allow, by name; all, if none is named; `none` for none.
    #[arg(long, value_delimiter = ',')]
    faults: Vec<String>,
    /// Of each seed that fails, look for the shortest load and the fewest faults that do it.
    #[arg(long)]
    shrink: bool,
    /// How to report.
    #[arg(long, value_enum, default_value = "table")]
    output: Output,
    /// Break something on purpose, by name.
    #[arg(long)]
    broken: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Junit,
}

const VERIFICATION_FAILED: u8 = 5;

fn main() -> anyhow::Result<ExitCode> {
    let good = match Cli::parse().command {
        Command::Simulate(command) => command.run()?,
        Command::Mutants(command) => command.run()?,
        Command::Conform(command) => command.run()?,
        Command::Paths(command) => command.run()?,
        Command::Receipts { count, seed } => receipts(count, seed),
        Command::Vectors { write } => check_vectors(write)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(VERIFICATION_FAILED) })
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = Broken::all().into_iter().map(Broken::name).collect();
    format!("{name} is none of {}", names.join(", "))
}

fn level(number: u32) -> Level {
    if number == 2 { Level::Deployed } else { Level::Assumed }
}

fn parse_range(text: &str) -> anyhow::Result<Range<u64>> {
    let range = match text.split_once("..") {
        Some((from, to)) => from.parse()?..to.parse()?,
        None => 1..text.parse::<u64>()?.saturating_add(1),
    };
    if range.is_empty() {
        bail!("--seeds {text} names no seed");
    }
    Ok(range)
}

impl Simulate {
    fn run(&self) -> anyhow::Result<bool> {
        let options = self.options()?;
        let seeds = match self.seed {
            Some(seed) => seed..seed + 1,
            None => parse_range(&self.seeds)?,
        };
        let began = Instant::now();
        let until = self.minutes.map(|minutes| began + Duration::from_secs_f64(minutes * 60.0));
        let goes_on = |seed: &u64| match until {
            Some(until) => Instant::now() < until,
            None => seeds.contains(seed),
        };
        let (mut batch, mut runs) = (Batch::default(), Vec::new());
        for seed in (seeds.start..).take_while(goes_on) {
            let run = run(seed, &options);
            self.report_failure(&run, &options);
            runs.push(run.clone());
            batch.add(run);
        }
        let seconds = began.elapsed().as_secs_f64();
        match self.output {
            Output::Table => report::print_table(&batch, &options, seconds),
            Output::Json => println!("{}", report::json(&batch, &options, seconds)),
            Output::Junit => println!("{}", report::junit(&batch, &runs, &options)),
        }
        let shortcomings = report::shortcomings(&batch, &options);
        shortcomings.iter().for_each(|shortcoming| eprintln!("too little: {shortcoming}"));
        Ok(batch.failed.is_empty() && shortcomings.is_empty())
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut options = Options::of(level(self.level));
        if let Some(seconds) = self.seconds {
            options.load_us = (seconds * 1e6) as u64;
        }
        if !self.faults.is_empty() {
            let names = self.faults.iter().filter(|name| *name != "none");
            let families = names.map(|name| {
                let names: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
                let unknown = || format!("{name} is none of none, {}", names.join(", "));
                Family::named(name).with_context(unknown)
            });
            options.families = families.collect::<anyhow::Result<BTreeSet<Family>>>()?;
        }
        if let Some(name) = &self.broken {
            let broken = Broken::named(name).with_context(|| unknown(name))?;
            options = broken.options(&options);
        }
        Ok(options)
    }

    fn report_failure(&self, run: &Run, options: &Options) {
        for violation in &run.violations {
            eprintln!("seed {}: {violation}", run.seed);
        }
        if run.violations.is_empty() {
            return;
        }
        eprintln!("run it again: {}", again(run.seed, options));
        if let Some(least) = self.shrink.then(|| shrink(run.seed, options)).flatten() {
            eprintln!("with less: {}", again(run.seed, &least));
        }
    }
}

fn receipts(count: u64, seed: u64) -> bool {
    let began = Instant::now();
    let attack = forge(count, seed);
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["found out by", "forgeries"]);
    for (step, found) in &attack.found_out {
        table.add_row([(*step).to_owned(), found.to_string()]);
    }
    table.add_row(["nothing: they verify".to_owned(), attack.verified.len().to_string()]);
    println!("{table}");
    println!("{} forgeries in {:.1} s", attack.tried, began.elapsed().as_secs_f64());
    attack.verified.iter().for_each(|verified| eprintln!("{verified}"));
    attack.verified.is_empty()
}

fn check_vectors(write: bool) -> anyhow::Result<bool> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let text = lines(&vectors());
    if write {
        fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        return Ok(true);
    }
    let kept = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    if kept != text {
        eprintln!("{} differs from what this build gives", file.display());
    }
    Ok(kept == text)
}

/// JSON with a line for each case, so that a change shows as the cases that it changes.
fn lines(vectors: &serde_json::Value) -> String {
    let fields = vectors.as_object().expect("an object").iter().map(|(name, value)| match value {
        serde_json::Value::Array(cases) => {
            let cases: Vec<String> = cases.iter().map(|case| format!("  {case}")).collect();
            format!("{name:?}: [\n{}\n]", cases.join(",\n"))
        }
        value => format!("{name:?}: {value}"),
    });
    format!("{{\n{}\n}}\n", fields.collect::<Vec<_>>().join(",\n"))
}
