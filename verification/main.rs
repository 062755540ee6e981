//! The command `vatic-verification`: simulate seeds, or hunt broken variants.

use anyhow::{Context, bail};
use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::{fs, ops::Range, path::Path, process::ExitCode, time::Instant};
use vatic_verification::{
    Batch, Broken, FILE, Fault, Level, Options, Probe, Run, again, forge, hunt, run, vectors,
};

#[derive(Parser)]
#[command(about = "Checks vatic's protocol by deterministic simulation", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run seeds; exits with 5 where a check fails.
    Simulate {
        /// How many seeds, from 1; or a range such as 100..200.
        #[arg(long, default_value = "300", conflicts_with = "seed")]
        seeds: String,
        /// One seed only.
        #[arg(long)]
        seed: Option<u64>,
        /// Simulated seconds of load and faults for each seed.
        #[arg(long)]
        seconds: Option<f64>,
        /// What the groups stand on: 1, a log that is assumed; 2, openraft, our log and our store.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=2))]
        level: u32,
        /// How to report.
        #[arg(long, value_enum, default_value = "table")]
        output: Output,
        /// Break something on purpose, by name.
        #[arg(long)]
        broken: Option<String>,
    },
    /// Hunt every broken variant and print what caught it; exits with 5 where one gets away.
    Mutants {
        /// Most seeds for each.
        #[arg(long, default_value_t = 200)]
        seeds: u64,
        /// First seed.
        #[arg(long, default_value_t = 1)]
        first: u64,
    },
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
}

const VERIFICATION_FAILED: u8 = 5;

fn main() -> anyhow::Result<ExitCode> {
    let good = match Cli::parse().command {
        Command::Simulate { seeds, seed, seconds, level, output, broken } => {
            let level = if level == 2 { Level::Deployed } else { Level::Assumed };
            let mut options = Options { level, ..Options::default() };
            if let Some(seconds) = seconds {
                options.load_us = (seconds * 1e6) as u64;
            }
            if let Some(name) = broken {
                let broken = Broken::named(&name).with_context(|| unknown(&name))?;
                options = broken.options(&options);
            }
            let range = match seed {
                Some(seed) => seed..seed + 1,
                None => parse_range(&seeds)?,
            };
            simulate(range, &options, output)
        }
        Command::Mutants { seeds, first } => mutants(first, seeds),
        Command::Receipts { count, seed } => receipts(count, seed),
        Command::Vectors { write } => check_vectors(write)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(VERIFICATION_FAILED) })
}

fn unknown(name: &str) -> String {
    let names: Vec<String> = Broken::all().into_iter().map(Broken::name).collect();
    format!("{name} is none of {}", names.join(", "))
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

fn simulate(seeds: Range<u64>, options: &Options, output: Output) -> bool {
    let began = Instant::now();
    let mut batch = Batch::default();
    for seed in seeds {
        let run = run(seed, options);
        report_failure(&run, options);
        batch.add(run);
    }
    let seconds = began.elapsed().as_secs_f64();
    match output {
        Output::Table => print_table(&batch, seconds),
        Output::Json => println!("{}", json(&batch, seconds)),
    }
    batch.failed.is_empty()
}

fn report_failure(run: &Run, options: &Options) {
    for violation in &run.violations {
        eprintln!("seed {}: {violation}", run.seed);
    }
    if !run.violations.is_empty() {
        eprintln!("run it again: {}", again(run.seed, options));
    }
}

fn seeds_per_minute(batch: &Batch, seconds: f64) -> u64 {
    (batch.seeds as f64 * 60.0 / seconds.max(1e-9)) as u64
}

fn print_table(batch: &Batch, seconds: f64) {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["", ""]);
    let mut row = |name: &str, value: String| {
        table.add_row([name, &value]);
    };
    row("seeds", batch.seeds.to_string());
    row("seeds that failed", batch.failed.len().to_string());
    row("committed", batch.committed.to_string());
    row("rolled back", batch.rolled_back.to_string());
    row("strict and snapshot reads", batch.reads.to_string());
    row("simulated seconds", format!("{:.1}", batch.simulated_us as f64 / 1e6));
    row("seeds a minute, one core", seeds_per_minute(batch, seconds).to_string());
    row("trace", format!("{:016x}", batch.trace));
    for &fault in Fault::ALL {
        row(&format!("fault {}", fault.name()), batch.faults.count(fault).to_string());
    }
    for &probe in Probe::ALL {
        row(&format!("probe {}", probe.name()), batch.probes.count(probe).to_string());
    }
    println!("{table}");
    if !batch.probes.missed().is_empty() {
        println!("never reached: {}", batch.probes.missed().join(", "));
    }
}

fn json(batch: &Batch, seconds: f64) -> serde_json::Value {
    let violations: Vec<_> = batch
        .failed
        .iter()
        .flat_map(|run| run.violations.iter().map(|found| (run.seed, found)))
        .map(|(seed, found)| {
            serde_json::json!({
                "seed": seed, "check": found.check.name(), "detail": found.detail,
            })
        })
        .collect();
    let faults: serde_json::Map<_, _> = Fault::ALL
        .iter()
        .map(|&fault| (fault.name().into(), batch.faults.count(fault).into()))
        .collect();
    let probes: serde_json::Map<_, _> = Probe::ALL
        .iter()
        .map(|&probe| (probe.name().into(), batch.probes.count(probe).into()))
        .collect();
    serde_json::json!({
        "seeds": batch.seeds,
        "violations": violations,
        "faults": faults,
        "probes": probes,
        "simulated_seconds": batch.simulated_us as f64 / 1e6,
        "transactions": batch.committed,
        "rolled_back": batch.rolled_back,
        "reads": batch.reads,
        "seeds_per_minute": seeds_per_minute(batch, seconds),
        "trace_hash": format!("{:016x}", batch.trace),
    })
}

fn mutants(first: u64, seeds: u64) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY).set_header(["broken", "seeds", "seed", "caught by"]);
    let mut all_caught = true;
    for broken in Broken::all() {
        match hunt(broken, None, first, seeds) {
            Some(caught) => {
                let checks: Vec<&str> = caught.checks.iter().map(|check| check.name()).collect();
                let (seeds, seed) = (caught.seeds.to_string(), caught.seed.to_string());
                table.add_row([broken.name(), seeds, seed, checks.join(", ")]);
            }
            None => {
                all_caught = false;
                table.add_row([broken.name(), format!("> {seeds}"), String::new(), String::new()]);
            }
        }
    }
    println!("{table}");
    all_caught
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
