//! One measurement: connect, load, warm up, measure, report.

use std::time::Duration;

use anyhow::{Context, bail};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use vatic_client::{Client, ClientError, Options, Pipeline, PipelineOptions};
use vatic_core::delta::Delta;

use super::cpu::Processes;
use super::data;
use super::limits::{ERROR_PAUSE_MS, LAST_MS, LOAD_RETRY_MS, LOADERS, WARM_UP_MS, client_limits};
use super::play::{Player, Window};
use super::report::Measured;
use super::tally::Tally;
use super::workload::Jobs;
use crate::args::BenchRunArgs;
use crate::exit::Failed;
use crate::settings::Settings;

pub(crate) async fn run(args: &BenchRunArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let options = Options { limits: client_limits(), ..Options::default() };
    let client = Client::connect(&settings.endpoints, options).await?;
    let verify = !args.no_verify;
    let options = PipelineOptions { connections: args.connections as usize, verify };
    let pipeline = client.pipeline(options).await?;
    if !args.loaded {
        load(args, &pipeline, seed).await.context("loading")?;
    }
    let servers = Processes::listening(&client.endpoints());
    let measured = measure(args, &pipeline, seed, servers.as_ref()).await?;
    measured.print(args, settings.output)?;
    if measured.tally.done == 0 {
        bail!(Failed::unavailable("no operation ended inside the measured time"));
    }
    Ok(())
}

async fn load(args: &BenchRunArgs, pipeline: &Pipeline, seed: u64) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("loading {bar:40} {pos}/{len}")?;
    let bar = ProgressBar::new(u64::from(args.keys)).with_style(style);
    let mut loaded = futures::stream::iter(0..args.keys)
        .map(|record| {
            let (pipeline, workload) = (pipeline.clone(), args.workload);
            let mut random = SmallRng::seed_from_u64(seed ^ u64::from(record));
            async move { write(&pipeline, &data::loading(workload, record, &mut random)).await }
        })
        .buffer_unordered(LOADERS);
    while let Some(one) = loaded.next().await {
        one?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// Writes a record's first content, however often that takes: a node may die meanwhile. It replaces
/// what is there, so that an attempt which did commit does no harm.
async fn write(pipeline: &Pipeline, deltas: &[Delta]) -> Result<(), ClientError> {
    let end = Instant::now() + Duration::from_millis(LOAD_RETRY_MS);
    loop {
        match pipeline.submit(deltas).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let passes =
                    error.retryable() || matches!(error, ClientError::OutcomeUnknown { .. });
                if !passes || Instant::now() >= end {
                    return Err(error);
                }
                sleep(Duration::from_millis(ERROR_PAUSE_MS)).await;
            }
        }
    }
}

async fn measure(
    args: &BenchRunArgs,
    pipeline: &Pipeline,
    seed: u64,
    servers: Option<&Processes>,
) -> anyhow::Result<Measured> {
    let from = Instant::now() + Duration::from_millis(WARM_UP_MS);
    let to = from + Duration::from_secs(args.seconds);
    let window = Window { from, to, think: Duration::from_millis(args.think_ms) };
    let mut clients = JoinSet::new();
    for client in 0..args.clients {
        let jobs = Jobs::new(args.workload, seed, client, args.keys, args.theta);
        let own_seed = seed.wrapping_add(u64::from(client));
        let player = Player::new(pipeline.clone(), jobs, own_seed, window.from);
        clients.spawn(player.run(window));
    }
    let own = Processes::own();
    let cpu = || (servers.and_then(Processes::time), own.time());
    sleep_until(window.from).await;
    let before = cpu();
    sleep_until(window.to).await;
    let (after, span) = (cpu(), window.from.elapsed());
    let mut tally = Tally::new(window.from);
    let last = window.to + Duration::from_millis(LAST_MS);
    while let Ok(Some(ended)) = timeout_at(last, clients.join_next()).await {
        tally.add(&ended?);
    }
    let spent = |before: Option<Duration>, after: Option<Duration>| Some(after? - before?);
    Ok(Measured {
        seed,
        tally,
        span,
        server_cpu: spent(before.0, after.0),
        client_cpu: spent(before.1, after.1),
    })
}
