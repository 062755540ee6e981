//! The command `vatic-verification`: simulate seeds, hunt broken variants, play recorded runs
//! again, walk the models' paths, forge receipts.
//!
//! Exit code 0: all is as it should be; 1: something could not be read, written or started; 2: a
//! mistake of usage, told before anything is run; 5: a check fails.

mod batch;
mod conform;
mod mutant_table;
mod mutants;
mod report;
mod threads;
mod twins;
mod walk;

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum, error::ErrorKind};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::{fmt, fs, ops::Range, path::Path, process::ExitCode, time::Instant};
use tracing_subscriber::EnvFilter;
use vatic_verification::{Broken, FILE, Level, forge, vectors};

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
    /// A batch of 400 seeds or more (40 at level 2) with all families of misfortune must have met
    /// every kind of fault a hundred times (at level 2 those that it is there for) and reached
    /// every rare path, and its seeds must have committed 50 transactions each on average.
    Simulate(batch::Simulate),
    /// Run one seed and print its report as one line, the same bytes each time: for twins.
    #[command(hide = true)]
    Once(batch::Simulate),
    /// Have every broken variant looked for, by models, simulation and loom, and print what caught
    /// it; exits with 5 where one gets away.
    Mutants(mutants::Mutants),
    /// Play what seeds record again through the core alone; exits with 5 where it differs.
    Conform(conform::Conform),
    /// Walk paths of the models over a real store; exits with 5 where something differs.
    Paths(walk::Walk),
    /// Forge receipts and print where they are found out; exits with 5 where one verifies.
    Receipts {
        /// How many.
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

const VERIFICATION_FAILED: u8 = 5;

/// Where the level is looked for at which simulated nodes log, to stderr.
const LEVEL: &str = "VATIC_LOG";

fn main() -> anyhow::Result<ExitCode> {
    if let Ok(level) = std::env::var(LEVEL) {
        let filter = EnvFilter::try_new(&level);
        let filter = filter.unwrap_or_else(|error| misused(format!("{LEVEL}={level}: {error}")));
        // The wall clock says nothing of a simulated one.
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        log.without_time().init();
    }
    let good = match Cli::parse().command {
        Command::Simulate(command) => command.run()?,
        Command::Once(command) => command.once()?,
        Command::Mutants(command) => command.run()?,
        Command::Conform(command) => command.run()?,
        Command::Paths(command) => command.run()?,
        Command::Receipts { count, seed } => receipts(count, seed),
        Command::Vectors { write } => check_vectors(write)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(VERIFICATION_FAILED) })
}

/// Ends with what was wrong with the arguments, as the parser of arguments itself does.
fn misused(message: impl fmt::Display) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, message).exit()
}

/// The broken variant of this name.
fn broken(name: &str) -> Result<Broken, String> {
    let names = || Broken::every().into_iter().map(Broken::name).collect::<Vec<_>>().join(", ");
    Broken::named(name).ok_or_else(|| format!("there are {}", names()))
}

/// So many seeds from 1, or a range of them.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    let range = match text.split_once("..") {
        Some((from, to)) => number(from)?..number(to)?,
        None => 1..number(text)?.saturating_add(1),
    };
    if range.is_empty() { Err("it names no seed".into()) } else { Ok(range) }
}

fn level(number: u32) -> Level {
    if number == 2 { Level::Deployed } else { Level::Assumed }
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
    let vectors = vectors();
    if write {
        fs::write(&file, lines(&vectors)).with_context(|| format!("writing {}", file.display()))?;
        return Ok(true);
    }
    let kept = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let kept: serde_json::Value =
        serde_json::from_str(&kept).with_context(|| format!("reading {}", file.display()))?;
    // What the cases say counts, not the order in which a build's maps have their fields.
    let same = kept == vectors;
    if !same {
        eprintln!("{} differs from what this build gives", file.display());
    }
    Ok(same)
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
