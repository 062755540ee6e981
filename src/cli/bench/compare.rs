//! Several policies on one cluster, in turns, so that what else the machine does meets all of them.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value as Json, json};

use super::policy::Policy;
use super::report::{Measured, quantile_ms, round};
use super::run::{Course, measure, prepare};
use crate::args::{BenchCompareArgs, Output};
use crate::exit::Failed;
use crate::output;
use crate::settings::Settings;

/// Measures each policy in each round, and prints how they compare with the first.
pub(crate) async fn compare(args: &BenchCompareArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.load.seed.unwrap_or_else(rand::random);
    let stand = prepare(&args.load, seed, settings).await?;
    let span = Duration::from_secs(args.seconds) / args.rounds;
    let mut turns: Vec<Vec<Measured>> = args.policies.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds {
        // The same for all policies of a round.
        let seed = seed.wrapping_add(u64::from(round));
        for (policy, turns) in args.policies.iter().zip(&mut turns) {
            let course = Course { policy: *policy, seed, span };
            let measured = measure(&args.load, course, &stand).await?;
            eprintln!("{}: {:.1} tps", policy.name(), measured.throughput_tps());
            if measured.tally.done == 0 {
                bail!(Failed::unavailable("no operation ended inside a turn"));
            }
            turns.push(measured);
        }
    }
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
    if form == Output::Table {
        for row in all["policies"].as_array().into_iter().flatten() {
            output::object(form, row)?;
        }
    }
    Ok(output::line(&all.to_string())?)
}

/// One policy: medians over its turns. A ratio is taken in each round, against the first policy in
/// the same round.
fn row(policy: Policy, own: &[Measured], first: &[Measured]) -> Json {
    let over = |each: &dyn Fn(&Measured) -> f64| median(own.iter().map(each).collect());
    let ratios =
        own.iter().zip(first).map(|(own, first)| own.throughput_tps() / first.throughput_tps());
    let cpu = |turn: &Measured| turn.us_per_op(turn.server_cpu).unwrap_or(f64::NAN);
    let whole = |quantile| over(&|turn| quantile_ms(&turn.tally.whole_us, quantile));
    json!({
        "policy": policy.name(),
        "throughput_tps": round(over(&Measured::throughput_tps), 1),
        "ratio": round(median(ratios.collect()), 3),
        "abort_rate": round(over(&Measured::abort_rate), 4),
        "p50_ms": over(&|turn| quantile_ms(&turn.tally.commit_us, 0.5)),
        "e2e_p50_ms": whole(0.5),
        "e2e_p99_ms": whole(0.99),
        "e2e_p999_ms": whole(0.999),
        "server_cpu_us_per_op": round(over(&cpu), 1),
        "errors": own.iter().map(|turn| turn.tally.errors.values().sum::<u64>()).sum::<u64>(),
    })
}

/// The middle one; of an even number the mean of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_is_the_middle_of_odd_and_between_the_middles_of_even() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
