//! `vatic bench foresight`: what foreseeing costs streams that nobody stands in the way of.
//!
//! In each turn a cluster of its own is started here. With `off` its nodes learn nothing and
//! foresee nothing (`learn_share_percent` = 0), and its clients ask for nothing; with `learnt` they
//! learn, as they do by default, and clients ask for nothing still; with `told` clients ask for
//! forecasts and warnings as well, so that seals wait for what they are judged by. The load is
//! `bench streams`' without its contention: records enough, drawn uniformly, and nobody thinks.

use std::time::Duration;

use clap::Args;
use serde_json::{Value as Json, json};

use super::fresh::{self, rows, streams_in_turns};
use super::report::round;
use super::streams::{BenchStreamsArgs, Mode, Tally};
use super::turns::{self, ratio};
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct BenchForesightArgs {
    /// Streams at once
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=4_096))]
    pub(crate) clients: u32,
    /// Records, of which each stream draws its own
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(64..))]
    pub(crate) keys: u32,
    /// Records that each reads and adds to
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) steps: u32,
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

/// What a cluster foresees, and what its clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Off,
    Learnt,
    Told,
}

/// Off comes first: the others are compared with it.
const KINDS: [Kind; 3] = [Kind::Off, Kind::Learnt, Kind::Told];

/// Measures each kind of cluster in each round, and prints how they compare with one that foresees
/// nothing.
pub(crate) async fn foresight(
    args: &BenchForesightArgs,
    settings: &Settings,
) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let on = (args.groups, args.learn_seconds);
    let turns = streams_in_turns(&KINDS, on, (&load(args), seed), settings).await?;
    Ok(turns::print(&report(args, seed, &turns), "kinds", settings.output)?)
}

fn load(args: &BenchForesightArgs) -> BenchStreamsArgs {
    BenchStreamsArgs {
        clients: args.clients,
        keys: args.keys,
        steps: args.steps,
        looks: 0,
        think_ms: 0,
        seconds: args.seconds,
        rounds: args.rounds,
        modes: Vec::new(),
        seed: args.seed,
    }
}

/// Medians of each kind, and of what it does in a round over what `off` does in it.
fn report(args: &BenchForesightArgs, seed: u64, turns: &[Vec<Tally>]) -> Json {
    let span = Duration::from_secs(args.seconds);
    let off = &turns[0];
    let over_off = |at: usize| round(ratio(&turns[at], off, |turn| turn.tps(span)), 3);
    json!({
        "clients": args.clients, "keys": args.keys, "steps": args.steps, "groups": args.groups,
        "seconds": args.seconds, "learn_seconds": args.learn_seconds, "rounds": args.rounds,
        "seed": seed, "kinds": rows(&KINDS, turns, span),
        "learnt_over_off": over_off(1), "told_over_off": over_off(2),
    })
}

impl fresh::Kind for Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Off => "off",
            Kind::Learnt => "learnt",
            Kind::Told => "told",
        }
    }

    fn mode(self) -> Mode {
        match self {
            Kind::Off | Kind::Learnt => Mode::Off,
            Kind::Told => Mode::Told,
        }
    }

    fn config(self) -> &'static str {
        match self {
            Kind::Off => OFF,
            Kind::Learnt | Kind::Told => "",
        }
    }
}

/// A node that foresees nothing.
const OFF: &str = "[limits]\nlearn_share_percent = 0\n";

#[cfg(test)]
mod tests {
    use super::super::fresh::Kind as _;
    use super::*;

    fn args() -> BenchForesightArgs {
        BenchForesightArgs {
            clients: 2,
            keys: 64,
            steps: 3,
            groups: 1,
            seconds: 2,
            learn_seconds: 1,
            rounds: 2,
            seed: Some(7),
        }
    }

    #[test]
    fn ratios_are_of_one_round_each_over_what_foresees_nothing() {
        let turns = [[100, 200], [90, 190], [50, 120]].map(|of| of.map(Tally::of).to_vec());
        let all = report(&args(), 7, &turns);
        // (0.9 + 0.95) / 2 and (0.5 + 0.6) / 2.
        assert_eq!((&all["learnt_over_off"], &all["told_over_off"]), (&json!(0.925), &json!(0.55)));
        let kinds: Vec<&Json> = all["kinds"].as_array().unwrap().iter().collect();
        let names: Vec<&str> = kinds.iter().map(|row| row["kind"].as_str().unwrap()).collect();
        assert_eq!(names, ["off", "learnt", "told"]);
        assert_eq!((&kinds[0]["committed_tps"], &kinds[0]["ratio"]), (&json!(75.0), &json!(1.0)));
    }

    #[test]
    fn cluster_without_foresight_learns_nothing_and_others_are_as_by_default() {
        let read: toml::Table = Kind::Off.config().parse().unwrap();
        assert_eq!(read["limits"]["learn_share_percent"].as_integer(), Some(0));
        for kind in [Kind::Learnt, Kind::Told] {
            assert!(kind.config().is_empty());
        }
    }
}
