//! `vatic bench spared`: what it is worth that streams under `adaptive` ask for no turn where they
//! are not expected to write.
//!
//! In each turn a cluster of its own is started here. With `asked` its nodes spare no turn
//! (`turns_spared_after` = 0), with `spared` they do, as by default; both are asked for streams
//! under `adaptive`. With `optimistic` nobody takes turns at all: what all of it is worth. The load
//! is that of `bench streams`, contended, each step with reads of records that nobody writes.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::fresh::{self, rows, streams_in_turns};
use super::report::round;
use super::streams::{BenchStreamsArgs, Mode, Tally};
use super::turns::{self, ratio};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct BenchSparedArgs {
    /// Streams at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) clients: u32,
    /// Records that they fight over, and as many that they only read
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) keys: u32,
    /// Records that each reads and adds to
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) steps: u32,
    /// Records that each step reads before that
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(..=64))]
    pub(crate) looks: u32,
    /// How long a client thinks between reading a record and adding to it
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(..=10_000))]
    pub(crate) think_ms: u64,
    /// Data groups of each cluster
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) groups: u32,
    /// How long to measure each turn
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How long the same load runs before it is measured: so long nodes learn
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) learn_seconds: u64,
    /// Turns of each kind
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Seed of the workload [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// What nodes spare, and which strategy clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Asked,
    Spared,
    Optimistic,
}

/// The first is what the others are compared with.
const KINDS: [Kind; 3] = [Kind::Asked, Kind::Spared, Kind::Optimistic];

/// A node that asks for each turn.
const ASKED: &str = "[limits]\nturns_spared_after = 0\n";

/// Measures each kind of cluster in each round, and prints how they compare with one that spares
/// nothing.
pub(crate) async fn spared(args: &BenchSparedArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let on = (args.groups, args.learn_seconds);
    let turns = streams_in_turns(&KINDS, on, (&load(args), seed), settings).await?;
    Ok(turns::print(&report(args, seed, &turns), "kinds", settings.output)?)
}

fn load(args: &BenchSparedArgs) -> BenchStreamsArgs {
    BenchStreamsArgs {
        clients: args.clients,
        keys: args.keys,
        steps: args.steps,
        looks: args.looks,
        think_ms: args.think_ms,
        seconds: args.seconds,
        rounds: args.rounds,
        modes: Vec::new(),
        seed: args.seed,
    }
}

/// Medians of each kind, and of what it does in a round over what `asked` does in it.
fn report(args: &BenchSparedArgs, seed: u64, turns: &[Vec<Tally>]) -> Json {
    let span = Duration::from_secs(args.seconds);
    let asked = &turns[0];
    let over_asked = |at: usize| round(ratio(&turns[at], asked, |turn| turn.tps(span)), 3);
    json!({
        "clients": args.clients, "keys": args.keys, "steps": args.steps, "looks": args.looks,
        "think_ms": args.think_ms, "groups": args.groups, "seconds": args.seconds,
        "learn_seconds": args.learn_seconds, "rounds": args.rounds, "seed": seed,
        "kinds": rows(&KINDS, turns, span),
        "spared_over_asked": over_asked(1), "optimistic_over_asked": over_asked(2),
    })
}

impl fresh::Kind for Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Asked => "asked",
            Kind::Spared => "spared",
            Kind::Optimistic => "optimistic",
        }
    }

    fn mode(self) -> Mode {
        match self {
            Kind::Asked | Kind::Spared => Mode::Adaptive,
            Kind::Optimistic => Mode::Off,
        }
    }

    fn config(self) -> &'static str {
        match self {
            Kind::Asked => ASKED,
            Kind::Spared | Kind::Optimistic => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fresh::Kind as _;
    use super::*;

    fn args() -> BenchSparedArgs {
        BenchSparedArgs {
            clients: 2,
            keys: 64,
            steps: 3,
            looks: 4,
            think_ms: 0,
            groups: 1,
            seconds: 2,
            learn_seconds: 1,
            rounds: 2,
            seed: Some(7),
        }
    }

    #[test]
    fn ratios_are_of_one_round_each_over_what_asks_for_each_turn() {
        let turns = [[100, 200], [150, 260], [50, 120]].map(|of| of.map(Tally::of).to_vec());
        let all = report(&args(), 7, &turns);
        // (1.5 + 1.3) / 2 and (0.5 + 0.6) / 2.
        let ratios = (&all["spared_over_asked"], &all["optimistic_over_asked"]);
        assert_eq!(ratios, (&json!(1.4), &json!(0.55)));
        let rows = all["kinds"].as_array().unwrap();
        let named: Vec<_> = rows.iter().map(|row| (&row["kind"], &row["mode"])).collect();
        let (adaptive, off) = (json!("adaptive"), json!("off"));
        let kinds = KINDS.map(|kind| json!(kind.name()));
        assert_eq!(named, [(&kinds[0], &adaptive), (&kinds[1], &adaptive), (&kinds[2], &off)]);
        for told in ["ratio", "abort_rate", "read_p50_ms", "read_p99_ms", "read_ms_per_commit"] {
            assert!(rows[1][told].is_number(), "{told}: {}", rows[1]);
        }
    }

    #[test]
    fn one_kind_of_cluster_spares_nothing_and_others_are_as_by_default() {
        let read: toml::Table = Kind::Asked.config().parse().unwrap();
        assert_eq!(read["limits"]["turns_spared_after"].as_integer(), Some(0));
        assert!(Kind::Spared.config().is_empty() && Kind::Optimistic.config().is_empty());
    }
}
