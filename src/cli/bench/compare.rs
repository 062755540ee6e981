//! Several policies on one cluster, in turns.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value as Json, json};

use super::policy::Policy;
use super::report::{Measured, quantile_ms, round};
use super::run::{Course, measure, prepare};
use super::turns::{self, in_turns, over, ratio};
use crate::args::{LoadArgs, Output};
use crate::exit::Failed;
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct BenchCompareArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// The policies, the one that the others are compared with first
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Policy::ALL)]
    pub(crate) policies: Vec<Policy>,
    /// How long to measure each policy, all its turns together
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Turns of each policy
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
}

/// Measures each policy in each round, and prints how they compare with the first.
pub(crate) async fn compare(args: &BenchCompareArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.load.seed.unwrap_or_else(rand::random);
    let stand = prepare(&args.load, seed, settings).await?;
    let span = Duration::from_secs(args.seconds) / args.rounds;
    let turn = async |policy: Policy, seed| {
        let measured = measure(&args.load, Course { policy, seed, span }, &stand).await?;
        eprintln!("{}: {:.1} tps", policy.name(), measured.throughput_tps());
        if measured.tally.done == 0 {
            bail!(Failed::unavailable("no operation ended inside a turn"));
        }
        Ok(measured)
    };
    let turns = in_turns(&args.policies, args.rounds, seed, turn).await?;
    let rows: Vec<Json> = args
        .policies
        .iter()
        .zip(&turns)
        .map(|(policy, own)| row(*policy, own, &turns[0]))
        .collect();
    print(args, seed, rows, settings.output)?;
    stand.check(&args.load).await
}

fn print(args: &BenchCompareArgs, seed: u64, rows: Vec<Json>, form: Output) -> anyhow::Result<()> {
    let all = json!({
        "workload": args.load.workload.name(),
        "clients": args.load.clients,
        "keys": args.load.keys,
        "seconds": args.seconds,
        "rounds": args.rounds,
        "seed": seed,
        "policies": rows,
    });
    Ok(turns::print(&all, "policies", form)?)
}

/// One policy: medians over its turns. A ratio is taken in each round, against the first policy in
/// the same round.
fn row(policy: Policy, own: &[Measured], first: &[Measured]) -> Json {
    let over = |each: &dyn Fn(&Measured) -> f64| over(own, each);
    let cpu = |turn: &Measured| turn.us_per_op(turn.server_cpu).unwrap_or(f64::NAN);
    let whole = |quantile| over(&|turn| quantile_ms(&turn.tally.whole_us, quantile));
    json!({
        "policy": policy.name(),
        "throughput_tps": round(over(&Measured::throughput_tps), 1),
        "ratio": round(ratio(own, first, Measured::throughput_tps), 3),
        "abort_rate": round(over(&Measured::abort_rate), 4),
        "p50_ms": over(&|turn| quantile_ms(&turn.tally.commit_us, 0.5)),
        "e2e_p50_ms": whole(0.5),
        "e2e_p99_ms": whole(0.99),
        "e2e_p999_ms": whole(0.999),
        "server_cpu_us_per_op": round(over(&cpu), 1),
        "errors": own.iter().map(|turn| turn.tally.errors.values().sum::<u64>()).sum::<u64>(),
    })
}
