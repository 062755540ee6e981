//! `vatic bench overload`: an open loop. Operations begin when they are due, whether those before
//! have ended or not, and each is tried once: what users do who know nothing of each other.
//!
//! Latencies count from when an operation was due.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use vatic_client::{Client, ClientError, Limits, Options, Pipeline, PipelineOptions};

use super::limits::{
    CLASSES, LAST_MS, LATENCY_US_MAX, RAMP_MS, RATES, UNDER_WAY_MAX, client_limits,
};
use super::play::Hand;
use super::policy::Policy;
use super::report::{quantile_ms, round};
use super::run::{Course, Spent, Stand, measure, prepare};
use super::workload::Jobs;
use crate::args::{LoadArgs, Output};
use crate::exit::Failed;
use crate::output;
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct BenchOverloadArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// How long to measure at each rate
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Operations a second that count as what the cluster can do [default: measured by `--clients`
    /// in a closed loop]
    #[arg(long)]
    pub(crate) capacity: Option<f64>,
}

/// What came of the operations of one class that were due in the window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    due: u64,
    done: u64,
    refused: u64,
    rolled_back: u64,
    failed: u64,
}

pub(crate) struct Tally {
    classes: [Counts; CLASSES.len()],
    /// Of those that were done.
    pub(crate) took_us: Histogram<u64>,
    spent: Spent,
}

/// Measures what the cluster can do, then asks for parts and multiples of that.
pub(crate) async fn overload(args: &BenchOverloadArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.load.seed.unwrap_or_else(rand::random);
    let span = Duration::from_secs(args.seconds);
    let stand = prepare(&args.load, seed, settings).await?;
    let capacity_tps = match args.capacity {
        Some(given) => given,
        None => {
            let course = Course { policy: Policy::Fifo, seed, span };
            measure(&args.load, course, &stand).await?.throughput_tps()
        }
    };
    if capacity_tps < 1.0 {
        bail!(Failed::unavailable("no operation ended inside the measured time"));
    }
    eprintln!("capacity: {capacity_tps:.1} tps");
    let pipelines = connect(&args.load, settings).await?;
    let mut tallies = Vec::new();
    for rate in RATES {
        let tps = rate * capacity_tps;
        let tally = ask(&args.load, &stand, &pipelines, Rate { tps, span, seed }).await?;
        eprintln!("{rate} of it: {:.1} tps", tally.done() as f64 / span.as_secs_f64());
        tallies.push(tally);
    }
    print(args, seed, capacity_tps, &tallies, settings.output)?;
    stand.check(&args.load).await
}

/// One client a class.
pub(crate) async fn connect(load: &LoadArgs, settings: &Settings) -> anyhow::Result<Vec<Pipeline>> {
    let mut pipelines = Vec::new();
    for (priority, _) in CLASSES {
        let limits = Limits { attempts_max: 1, ..client_limits() };
        // One user for all classes: who is left out goes by class alone, then by lot.
        let options = Options { limits, priority, ..Options::default() };
        let client = Client::connect(&settings.endpoints, options).await?;
        let (connections, verify) = (load.connections as usize, !load.no_verify);
        pipelines.push(client.pipeline(PipelineOptions { connections, verify }).await?);
    }
    Ok(pipelines)
}

/// How many operations a second are begun, and for how long that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) tps: f64,
    pub(crate) span: Duration,
    pub(crate) seed: u64,
}

/// Begins operations as they are due.
pub(crate) async fn ask(
    load: &LoadArgs,
    stand: &Stand,
    pipelines: &[Pipeline],
    Rate { tps, span, seed }: Rate,
) -> anyhow::Result<Tally> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut jobs = Jobs::new(load.workload, seed, 0, load.extent());
    let took_us = Histogram::new_with_bounds(1, LATENCY_US_MAX, 3).expect("bounds are valid");
    let tally = Tally { classes: Default::default(), took_us, spent: Spent::default() };
    let tally = Arc::new(Mutex::new(tally));
    let from = Instant::now() + Duration::from_millis(RAMP_MS);
    let (mut due, to) = (Instant::now(), from + span);
    // In a task of its own: this one may be late.
    let spent = tokio::spawn(stand.spent(from, to));
    let mut under_way = JoinSet::new();
    while due < to {
        if due > Instant::now() {
            sleep_until(due).await;
        }
        while under_way.try_join_next().is_some() {}
        let at = class(random.random_range(0..100));
        let counts = due >= from;
        if counts {
            tally.lock().expect("no holder panics").classes[at].due += 1;
        }
        let pipeline = pipelines[at].clone();
        let mut hand = Hand {
            pipeline,
            random: SmallRng::seed_from_u64(random.random()),
            policy: Policy::Fifo,
        };
        let (job, tally) = (jobs.next(), tally.clone());
        if under_way.len() < UNDER_WAY_MAX {
            under_way.spawn(async move {
                let ended = hand.once(job).await;
                if counts {
                    tally.lock().expect("no holder panics").count(at, &ended, due.elapsed());
                }
            });
        }
        // Gaps as of many who know nothing of each other.
        let gap_s = -(1.0 - random.random::<f64>()).ln() / tps;
        due += Duration::from_secs_f64(gap_s);
    }
    let last = async { while under_way.join_next().await.is_some() {} };
    // What has not ended by then counts as not done.
    let _ = tokio::time::timeout(Duration::from_millis(LAST_MS), last).await;
    under_way.shutdown().await;
    sleep(Duration::from_secs(1)).await;
    let tally = Arc::into_inner(tally).expect("all who count have ended");
    let spent = spent.await?;
    Ok(Tally { spent, ..tally.into_inner().expect("no holder panics") })
}

/// The class of one of a hundred.
fn class(mut drawn: u32) -> usize {
    for (at, (_, share)) in CLASSES.iter().enumerate() {
        if drawn < *share {
            return at;
        }
        drawn -= share;
    }
    CLASSES.len() - 1
}

impl Tally {
    fn count(&mut self, class: usize, ended: &Result<(), ClientError>, took: Duration) {
        let counts = &mut self.classes[class];
        match ended {
            Ok(()) => {
                counts.done += 1;
                self.took_us.saturating_record(took.as_micros() as u64);
            }
            Err(ClientError::RolledBack(_)) => counts.rolled_back += 1,
            Err(ClientError::Refused(refusal)) if refusal.retry_after.is_some() => {
                counts.refused += 1;
            }
            Err(_) => counts.failed += 1,
        }
    }

    pub(crate) fn done(&self) -> u64 {
        self.sum(|class| class.done)
    }

    /// Of those of the highest class that were due.
    pub(crate) fn highest_served(&self) -> f64 {
        served(&self.classes[CLASSES.len() - 1])
    }

    fn sum(&self, of: impl Fn(&Counts) -> u64) -> u64 {
        self.classes.iter().map(of).sum()
    }

    fn json(&self, rate: f64, seconds: u64) -> Json {
        let per_s = |count: u64| round(count as f64 / seconds as f64, 1);
        let cores =
            |cpu: Option<Duration>| cpu.map(|cpu| round(cpu.as_secs_f64() / seconds as f64, 3));
        let classes = CLASSES.iter().zip(&self.classes).map(|((class, _), counts)| {
            json!({ "class": class, "due": counts.due, "served": round(served(counts), 4) })
        });
        json!({
            "rate": rate,
            "offered_tps": per_s(self.sum(|class| class.due)),
            "goodput_tps": per_s(self.sum(|class| class.done)),
            "refused_tps": per_s(self.sum(|class| class.refused)),
            "rolled_back_tps": per_s(self.sum(|class| class.rolled_back)),
            "failed": self.sum(|class| class.failed),
            "p50_ms": quantile_ms(&self.took_us, 0.5),
            "p99_ms": quantile_ms(&self.took_us, 0.99),
            "server_cores": cores(self.spent.servers),
            "client_cores": cores(self.spent.client),
            "classes": classes.collect::<Vec<_>>(),
        })
    }
}

/// Of those that were due; a rollback is an answer as well.
fn served(counts: &Counts) -> f64 {
    (counts.done + counts.rolled_back) as f64 / counts.due.max(1) as f64
}

fn print(
    args: &BenchOverloadArgs,
    seed: u64,
    capacity_tps: f64,
    tallies: &[Tally],
    form: Output,
) -> anyhow::Result<()> {
    let rates: Vec<Json> =
        RATES.iter().zip(tallies).map(|(rate, tally)| tally.json(*rate, args.seconds)).collect();
    let (least, most) = (&tallies[0], &tallies[tallies.len() - 1]);
    let done = |tally: &Tally| tally.done() as f64;
    let peak = tallies.iter().map(done).fold(0.0, f64::max);
    let p99 = |tally: &Tally| quantile_ms(&tally.took_us, 0.99);
    let all = json!({
        "workload": args.load.workload.name(),
        "clients": args.load.clients,
        "keys": args.load.keys,
        "seconds": args.seconds,
        "seed": seed,
        "capacity_tps": round(capacity_tps, 1),
        "rates": rates,
        "goodput_of_peak": round(done(most) / peak.max(1.0), 3),
        "p99_of_unloaded": round(p99(most) / p99(least).max(0.001), 2),
        "highest_class_served": round(most.highest_served(), 4),
    });
    if form == Output::Table {
        for rate in &rates {
            output::object(form, rate)?;
        }
    }
    Ok(output::line(&all.to_string())?)
}

#[cfg(test)]
mod tests {
    use super::{CLASSES, class};

    #[test]
    fn hundred_draws_give_each_class_its_share() {
        for (at, (_, share)) in CLASSES.iter().enumerate() {
            let drawn = (0..100).filter(|drawn| class(*drawn) == at).count();
            assert_eq!(drawn as u32, *share);
        }
    }
}
