//! The command `vatic-verification`: simulate seeds, hunt broken variants, play recorded runs
//! again, walk the models' paths, forge receipts.

mod batch;
mod conform;
mod mutant_table;
mod mutants;
mod report;
mod threads;
mod twins;
mod walk;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::{fs, path::Path, process::ExitCode, time::Instant};
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

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Junit,
}

const VERIFICATION_FAILED: u8 = 5;

/// Where the level is looked for at which simulated nodes log, to stderr.
const LEVEL: &str = "VATIC_LOG";

fn main() -> anyhow::Result<ExitCode> {
    if let Ok(level) = std::env::var(LEVEL) {
        let filter = EnvFilter::try_new(&level).with_context(|| format!("{LEVEL}={level}"))?;
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

fn unknown(name: &str) -> String {
    let names: Vec<String> = Broken::every().into_iter().map(Broken::name).collect();
    format!("{name} is none of {}", names.join(", "))
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
