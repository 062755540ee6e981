//! One measurement: connect, load, warm up, measure, report.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
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
use super::limits::{
    ERROR_PAUSE_MS, LAST_MS, LOAD_RETRY_MS, LOADERS, TPCC_ITEMS_MIN, WARM_UP_MS, client_limits,
};
use super::play::{Hand, Player, Window};
use super::policy::{Oracle, Policy};
use super::report::Measured;
use super::tally::Tally;
use super::tpcc;
use super::workload::{Jobs, Workload};
use crate::args::LoadArgs;
use crate::exit::Failed;
use crate::settings::Settings;

#[derive(Debug, Args)]
pub(crate) struct BenchRunArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// What a transaction does about others that mean to write the same records
    #[arg(long, value_enum, default_value_t = Policy::KeyLane)]
    pub(crate) policy: Policy,
    /// How long to measure
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
}

pub(crate) async fn run(args: &BenchRunArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.load.seed.unwrap_or_else(rand::random);
    let stand = prepare(&args.load, seed, settings).await?;
    let course = Course { policy: args.policy, seed, span: Duration::from_secs(args.seconds) };
    let measured = measure(&args.load, course, &stand).await?;
    measured.print(&args.load, args.policy, settings.output)?;
    stand.check(&args.load).await?;
    if measured.tally.done == 0 {
        bail!(Failed::unavailable("no operation ended inside the measured time"));
    }
    Ok(())
}

/// A cluster that is ready to be loaded.
pub(crate) struct Stand {
    client: Client,
    pipeline: Pipeline,
    servers: Option<Processes>,
}

/// CPU time of a span, where it is known.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Of all servers, where they are on this machine.
    pub(crate) servers: Option<Duration>,
    pub(crate) client: Option<Duration>,
}

impl Stand {
    /// What servers and client spend from one moment to another.
    pub(crate) fn spent(
        &self,
        from: Instant,
        to: Instant,
    ) -> impl Future<Output = Spent> + Send + 'static {
        spent(self.servers.clone(), from, to)
    }

    /// Whether what is there afterwards can be: only `tpcc` has conditions for that.
    pub(crate) async fn check(&self, load: &LoadArgs) -> anyhow::Result<()> {
        if load.workload != Workload::Tpcc {
            return Ok(());
        }
        let faults = tpcc::check(&self.client, load.warehouses).await.context("checking")?;
        if !faults.is_empty() {
            bail!(Failed::verification(format!("inconsistent: {}", faults.join("; "))));
        }
        eprintln!("consistency conditions 1 to 4 hold in {} warehouses", load.warehouses);
        Ok(())
    }
}

/// Connects, and writes the records unless they are there.
pub(crate) async fn prepare(
    args: &LoadArgs,
    seed: u64,
    settings: &Settings,
) -> anyhow::Result<Stand> {
    if args.workload == Workload::Tpcc && args.keys < TPCC_ITEMS_MIN {
        let said = format!("tpcc needs --keys of at least {TPCC_ITEMS_MIN}, not {}", args.keys);
        bail!(Failed::usage(said));
    }
    let options = Options { limits: client_limits(), ..Options::default() };
    let client = Client::connect(&settings.endpoints, options).await?;
    let verify = !args.no_verify;
    let options = PipelineOptions { connections: args.connections as usize, verify };
    let pipeline = client.pipeline(options).await?;
    if !args.loaded {
        load(args, &pipeline, seed).await.context("loading")?;
    }
    let servers = Processes::listening(&client.endpoints());
    Ok(Stand { client, pipeline, servers })
}

async fn load(args: &LoadArgs, pipeline: &Pipeline, seed: u64) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("loading {bar:40} {pos}/{len}")?;
    let batches = data::batches(args.workload, args.extent());
    let bar = ProgressBar::new(u64::from(batches)).with_style(style);
    let mut loaded = futures::stream::iter(0..batches)
        .map(|batch| {
            let (pipeline, workload, extent) = (pipeline.clone(), args.workload, args.extent());
            let mut random = SmallRng::seed_from_u64(seed ^ u64::from(batch));
            async move {
                let deltas = data::loading(workload, extent, batch, &mut random);
                write(&pipeline, &deltas).await
            }
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
    let mut told = false;
    loop {
        match pipeline.submit(deltas).await {
            Ok(_) => return Ok(()),
            Err(error) => {
                let passes =
                    error.retryable() || matches!(error, ClientError::OutcomeUnknown { .. });
                if !passes || Instant::now() >= end {
                    return Err(error);
                }
                if !std::mem::replace(&mut told, true) {
                    eprintln!("loading, tried again for a while: {error}");
                }
                sleep(Duration::from_millis(ERROR_PAUSE_MS)).await;
            }
        }
    }
}

/// What one measurement is of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) policy: Policy,
    pub(crate) seed: u64,
    pub(crate) span: Duration,
}

/// Warms up and measures. What the clients do hangs on the seed alone.
pub(crate) async fn measure(
    load: &LoadArgs,
    course: Course,
    stand: &Stand,
) -> anyhow::Result<Measured> {
    let pipeline = &stand.pipeline;
    let Course { policy, seed, span } = course;
    let from = Instant::now() + Duration::from_millis(WARM_UP_MS);
    let window = Window { from, to: from + span, think: Duration::from_millis(load.think_ms) };
    let oracle = Arc::new(Oracle::default());
    let mut clients = JoinSet::new();
    for client in 0..load.clients {
        let player = Player {
            hand: Hand {
                pipeline: pipeline.clone(),
                random: SmallRng::seed_from_u64(seed.wrapping_add(u64::from(client))),
                policy,
            },
            jobs: Jobs::new(load.workload, seed, client, load.extent()),
            tally: Tally::new(window.from),
            oracle: oracle.clone(),
        };
        clients.spawn(player.run(window));
    }
    let spent = stand.spent(window.from, window.to).await;
    let span = window.from.elapsed();
    let mut tally = Tally::new(window.from);
    let last = window.to + Duration::from_millis(LAST_MS);
    while let Ok(Some(ended)) = timeout_at(last, clients.join_next()).await {
        tally.add(&ended?);
    }
    Ok(Measured { seed, tally, span, server_cpu: spent.servers, client_cpu: spent.client })
}

/// CPU time of servers and of this process, between two moments.
pub(super) async fn spent(servers: Option<Processes>, from: Instant, to: Instant) -> Spent {
    let own = Processes::own();
    let cpu = || (servers.as_ref().and_then(Processes::time), own.time());
    sleep_until(from).await;
    let before = cpu();
    sleep_until(to).await;
    let after = cpu();
    let since = |before: Option<Duration>, after: Option<Duration>| Some(after? - before?);
    Spent { servers: since(before.0, after.0), client: since(before.1, after.1) }
}
