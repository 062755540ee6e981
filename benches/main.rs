//! vatic-bench: what a cluster costs as it grows, as a command.
//!
//! What the core's functions cost alone is `cargo bench -p vatic-bench`. Nothing here is a test,
//! and nothing is asserted about time.

mod cluster;
// The file of `vatic bench`: what both count as CPU is the same.
#[allow(dead_code)]
#[path = "../src/cli/bench/cpu.rs"]
mod cpu;
mod etcd;
mod limits;
mod profile;
mod results;
mod scale;
mod stage;
mod yardstick;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures vatic.
#[derive(Parser)]
#[command(name = "vatic-bench")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// CPU of all servers for one operation, at so many groups and records; and what a cluster
    /// costs that nobody asks anything. Starts its own clusters of three nodes.
    Scale(scale::Args),
    /// Where the CPU of an operation goes, by part of the node; needs `perf`. Starts its own
    /// clusters of three nodes.
    Profile(profile::Args),
    /// CPU of all servers for one operation, of vatic and of etcd: the same loads on three nodes
    /// of each, in turns, and medians.
    Yardstick(yardstick::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Args::parse().command {
        Command::Scale(args) => scale::run(&args).await,
        Command::Profile(args) => profile::run(&args).await,
        Command::Yardstick(args) => yardstick::run(&args).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vatic-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
