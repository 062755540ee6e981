//! vatic-bench: what the core costs, as commands.
//!
//! Figures are medians over rounds of one run, each beside its floor measured in the same run: on a
//! shared machine only such ratios mean something. Nothing here is a test, and nothing is asserted
//! about time.

mod receipts;
mod workload;

use clap::{Parser, Subcommand};
use receipts::Signed;
use std::time::{Duration, Instant};
use workload::Workload;

/// Measures parts of vatic.
#[derive(Parser)]
#[command(name = "vatic-bench")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Applying transactions on a state in memory, and making and verifying their receipts:
    /// microseconds for each, beside the hashing that they cannot do without.
    Core {
        /// How long each figure is measured, in seconds.
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// Transitions in each transaction.
        #[arg(long, default_value_t = 3)]
        transitions: u64,
    },
}

fn main() {
    match Args::parse().command {
        Command::Core { seconds, transitions } => core(Duration::from_secs(seconds), transitions),
    }
}

fn core(each: Duration, transitions: u64) {
    println!("{:<34} {:>12} {:>12}", "", "median µs", "x floor");
    let floor = median_us(each, || workload::hash_floor(transitions));
    println!("{:<34} {floor:>12.2} {:>12.1}", "floor: the chain's hashes", 1.0);
    for groups in [1, 2] {
        let mut workload = Workload::new(groups, transitions);
        let took = median_us(each, || workload.transact());
        row(&format!("seal, vote, decide: {groups} group(s)"), took, floor);
    }
    let mut signed = Signed::new(transitions);
    row("receipt: verify, complete", median_us(each, || signed.verify()), floor);
    row("receipt: find its endorsement", median_us(each, || signed.endorse()), floor);
    row("checkpoint of 1,024 entries", median_us(each, || signed.checkpoint()), floor);
    row("checkpoint: sign", median_us(each, || signed.sign()), floor);
    row("checkpoint: attest", median_us(each, || signed.attest()), floor);
    println!("a complete receipt has {} bytes", signed.receipt_bytes());
}

fn row(name: &str, took: f64, floor: f64) {
    println!("{name:<34} {took:>12.2} {:>12.1}", took / floor);
}

/// The median time of one call, over rounds that are too short for the scheduler to end often in
/// one: the machine may be shared.
fn median_us(each: Duration, mut call: impl FnMut()) -> f64 {
    const ROUND: Duration = Duration::from_micros(50);
    let ends = Instant::now() + each;
    let mut rounds = Vec::new();
    while Instant::now() < ends {
        let began = Instant::now();
        let mut calls = 0;
        while calls == 0 || began.elapsed() < ROUND {
            call();
            calls += 1;
        }
        rounds.push(began.elapsed() / calls);
    }
    rounds.sort_unstable();
    rounds[rounds.len() / 2].as_secs_f64() * 1e6
}
