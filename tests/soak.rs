//! The soak: overwrites by the million, under which nobody may raise a false alarm and no disk may
//! fill.
//!
//! `cargo run --release -p vatic-tests --bin soak -- --operations 1000000 --seed 1`. The first
//! thing that is not as it should be ends it with exit code 1. `--sabotage` shows that it would.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use serde_json::json;
use vatic_tests::endurance::{self, Plan, Report, SMALL, Sabotage};

/// Overwrite few records all the time, and watch alarms and disks.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Arguments {
    /// Overwrites that must be acknowledged
    #[arg(long, default_value_t = 1_000_000)]
    operations: u64,
    /// Decides which records are overwritten
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients at once
    #[arg(long, default_value_t = 64)]
    clients: u64,
    /// Records
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(2..))]
    keys: u64,
    /// What the nodes keep, and for how long
    #[arg(long, value_enum, default_value_t = Limits::Small)]
    limits: Limits,
    /// Make something go wrong, which must be found
    #[arg(long, value_enum)]
    sabotage: Option<Sabotage>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Limits {
    /// Whatever is kept for a while goes within seconds
    Small,
    /// An hour of outcomes and request ids is kept: disks grow for that long
    Production,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let settings = match arguments.limits {
        Limits::Small => SMALL.to_vec(),
        Limits::Production => Vec::new(),
    };
    let Arguments { operations, seed, clients, keys, sabotage, json, .. } = arguments;
    let plan = Plan { operations, seed, clients, keys, settings, sabotage };
    match endurance::run(&plan).await {
        Ok(report) => print(&report, json),
        Err(found) => {
            eprintln!("soak: {found}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn print(report: &Report, as_json: bool) {
    let Report { acknowledged, rolled_back, troubled, took, peaks, purged, scrubbed, untaken } =
        report;
    if as_json {
        let peaks = peaks.each_ref().map(|peaks| {
            let named = peaks.iter().map(|(measure, bytes)| (format!("{measure:?}"), json!(bytes)));
            named.collect::<serde_json::Map<_, _>>()
        });
        let result = json!({
            "acknowledged": acknowledged, "rolled_back": rolled_back, "troubled": troubled,
            "seconds": took.as_secs_f64(), "peak_bytes_second_quarter": peaks[0],
            "peak_bytes_last_quarter": peaks[1], "purged_entries": purged, "scrubs": scrubbed,
            "untaken_scans": untaken,
        });
        println!("{result}");
        return;
    }
    println!("{:>24} {acknowledged:>12}", "acknowledged");
    println!("{:>24} {rolled_back:>12}", "rolled back, made again");
    println!("{:>24} {troubled:>12}", "in trouble, made again");
    println!("{:>24} {purged:>12}", "log entries purged");
    println!("{:>24} {scrubbed:>12}", "scrubs of a replica");
    println!("{:>24} {untaken:>12}", "scans that nobody took");
    println!("{:>24} {:>12} {:>12}", "most bytes of a node", "2nd quarter", "last quarter");
    for (measure, early) in &peaks[0] {
        let name = format!("{measure:?}");
        println!("{name:>24} {early:>12} {:>12}", peaks[1][measure]);
    }
    println!("no alarm, no growth, after {:.0} s", took.as_secs_f64());
}
