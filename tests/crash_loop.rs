//! The crash loop: real nodes killed, stopped and restarted under load until so many were killed.
//!
//! `cargo run --release -p vatic-tests --bin crash-loop -- --kills 200 --seed 1`. At the end no
//! acknowledged commit may be lost, none may be there twice or by half, every store must open, and
//! all replicas must agree; the first thing that is not so ends it with a panic that says what.

use std::time::Instant;

use clap::Parser;
use serde_json::json;
use vatic_tests::cluster::Cluster;
use vatic_tests::load::Load;
use vatic_tests::strikes::Strikes;

/// Commits that the load makes between two strikes.
const PROGRESS: u64 = 20;

/// Kill, stop and restart nodes under load, then hold the clients' books against the cluster.
#[derive(Debug, Parser)]
#[command(name = "crash-loop")]
struct Arguments {
    /// SIGKILLs in all
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Decides what happens to which node
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Clients of the load
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    clients: u64,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let started = Instant::now();
    let cluster = Cluster::start().await;
    let load = Load::start(&cluster, "loop", "loop-names", arguments.clients as usize).await;
    let mut strikes = Strikes::new(arguments.seed);
    while strikes.kills < arguments.kills {
        load.progress(&cluster, PROGRESS).await;
        let strike = strikes.strike(&cluster).await;
        eprintln!("{:>4} kills, {}", strikes.kills, strike.name());
    }
    load.progress(&cluster, PROGRESS).await;
    cluster.wait_ready().await;
    let balance = load.check(&cluster).await;
    cluster.wait_agreed().await;
    let seconds = started.elapsed().as_secs();
    let strikes: Vec<(&str, u64)> =
        strikes.counts.iter().map(|(strike, count)| (strike.name(), *count)).collect();
    if arguments.json {
        let strikes: serde_json::Map<_, _> =
            strikes.iter().map(|(name, count)| ((*name).to_owned(), json!(count))).collect();
        let result = json!({
            "seed": arguments.seed, "seconds": seconds, "strikes": strikes,
            "acknowledged": balance.acknowledged, "unknown": balance.unknown,
            "failed": balance.failed,
        });
        println!("{result}");
    } else {
        for (name, count) in strikes {
            println!("{name:>16} {count:>6}");
        }
        println!("{:>16} {:>6}", "acknowledged", balance.acknowledged);
        println!("{:>16} {:>6}", "unknown", balance.unknown);
        println!("{:>16} {:>6}", "failed", balance.failed);
        println!("nothing lost, nothing doubled, all replicas agree, after {seconds} s");
    }
}
