//! `vatic bench ablation`: what each mechanism of the queue is good for.
//!
//! In each turn a cluster of its own is started here, which does without one mechanism; the first
//! kind has all. It is asked for two things: `hotspot` under the learned policy, with tickets of
//! low priority beside it, once it has had time to learn; and twice as many transactions on
//! records that nobody else wants (`uniform`) as it can do, of three classes.

use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde_json::{Value as Json, json};
use vatic_client::{Client, Options};

use super::limits::{HOT_KEYS, RATES, client_limits};
use super::overload;
use super::policy::Policy;
use super::report::{quantile_ms, round};
use super::run::{Course, measure, prepare};
use super::tickets::{self, Beside, tickets_per_s};
use super::turns::{self, in_turns, over, ratio};
use super::workload::Workload;
use crate::args::LoadArgs;
use crate::cluster_processes::{ClusterProcesses, READY_MS};
use crate::exit::Failed;
use crate::settings::Settings;
use crate::start::Mechanism;

const NODES: u32 = 3;

#[derive(Debug, Args)]
pub(crate) struct BenchAblationArgs {
    /// Mechanisms to do without, one at a time
    #[arg(long, value_delimiter = ',', value_parser = mechanism,
          default_values = Mechanism::ALL.map(Mechanism::name))]
    pub(crate) mechanisms: Vec<Mechanism>,
    /// Clients of `hotspot`
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) clients: u32,
    /// Clients of `uniform`, by which what a cluster can do is measured
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) uniform_clients: u32,
    /// Tickets at once, beside them
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) enqueuers: u32,
    /// Records
    #[arg(long, default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(i64::from(HOT_KEYS)..))]
    pub(crate) keys: u32,
    /// Data groups of each cluster
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub(crate) groups: u32,
    /// How long to measure each of both in each turn
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How long a cluster learns before it is measured
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) learn_seconds: u64,
    /// Turns of each kind
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Operations of `uniform` a second that count as what a cluster can do [default: measured
    /// once, on one that has all mechanisms]
    #[arg(long)]
    pub(crate) capacity: Option<f64>,
    /// Seed of the workload [default: random, printed]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// What one cluster did.
struct Done {
    contended: tickets::Turn,
    overloaded: overload::Tally,
}

/// Measures each kind of cluster in each round, and prints how they compare with the whole one.
pub(crate) async fn ablation(args: &BenchAblationArgs, settings: &Settings) -> anyhow::Result<()> {
    let seed = args.seed.unwrap_or_else(rand::random);
    let kinds: Vec<Option<Mechanism>> =
        std::iter::once(None).chain(args.mechanisms.iter().copied().map(Some)).collect();
    let mut capacity_tps = args.capacity;
    let turn = async |without, seed| turn(args, without, seed, &mut capacity_tps, settings).await;
    let turns = in_turns(&kinds, args.rounds, seed, turn).await?;
    let rows = kinds.iter().zip(&turns);
    let rows: Vec<Json> = rows.map(|(without, own)| row(args, *without, own, &turns[0])).collect();
    let all = json!({
        "clients": args.clients, "enqueuers": args.enqueuers, "keys": args.keys,
        "groups": args.groups, "seconds": args.seconds, "rounds": args.rounds, "seed": seed,
        "capacity_tps": capacity_tps.map(|tps| round(tps, 1)), "without": rows,
    });
    Ok(turns::print(&all, "without", settings.output)?)
}

/// One cluster, from its start to its end.
async fn turn(
    args: &BenchAblationArgs,
    without: Option<Mechanism>,
    seed: u64,
    capacity_tps: &mut Option<f64>,
    settings: &Settings,
) -> anyhow::Result<Done> {
    let dir = tempfile::Builder::new().prefix("vatic-ablation-").tempdir()?;
    let flag = without.map(|without| ["--without".to_owned(), without.name().to_owned()]);
    let flags: Vec<String> = flag.into_iter().flatten().collect();
    let mut cluster = ClusterProcesses::start_with(NODES, args.groups, dir.path(), &flags)?;
    cluster.wait_ready(Duration::from_millis(READY_MS)).await?;
    let settings = Settings { endpoints: cluster.endpoints(), ..settings.clone() };
    let done = measured(args, seed, capacity_tps, &settings).await;
    cluster.stop().await;
    let done = done?;
    let hotspot_tps = done.contended.0.throughput_tps();
    let goodput_tps = done.overloaded.done() as f64 / args.seconds as f64;
    let name = named(without);
    eprintln!("without {name}: hotspot {hotspot_tps:.1} tps, overloaded {goodput_tps:.1} tps");
    Ok(done)
}

async fn measured(
    args: &BenchAblationArgs,
    seed: u64,
    capacity_tps: &mut Option<f64>,
    settings: &Settings,
) -> anyhow::Result<Done> {
    let span = Duration::from_secs(args.seconds);
    let keys = args.keys;
    let hotspot = LoadArgs { clients: args.clients, keys, ..LoadArgs::of(Workload::Hotspot) };
    let clients = args.uniform_clients;
    let uniform = LoadArgs { clients, keys, loaded: true, ..LoadArgs::of(Workload::Uniform) };
    let stand = prepare(&hotspot, seed, settings).await?;
    let options = Options { limits: client_limits(), ..Options::default() };
    let client = Client::connect(&settings.endpoints, options).await?;

    let learned = Course { policy: Policy::Learned, seed, span };
    let learning = Course { span: Duration::from_secs(args.learn_seconds), ..learned };
    measure(&hotspot, learning, &stand).await?;
    let beside = Beside { priority: Some(tickets::LOW), enqueuers: args.enqueuers };
    let contended = tickets::turn(&hotspot, learned, beside, (&stand, &client)).await?;

    let capacity_tps = match *capacity_tps {
        Some(known) => known,
        None => {
            let fifo = Course { policy: Policy::Fifo, seed, span };
            *capacity_tps.insert(measure(&uniform, fifo, &stand).await?.throughput_tps())
        }
    };
    let pipelines = overload::connect(&uniform, settings).await?;
    let twice = RATES[RATES.len() - 1] * capacity_tps;
    let rate = overload::Rate { tps: twice, span, seed };
    let overloaded = overload::ask(&uniform, &stand, &pipelines, rate).await?;
    if contended.0.tally.done == 0 || overloaded.done() == 0 {
        bail!(Failed::unavailable("no operation ended inside a turn"));
    }
    Ok(Done { contended, overloaded })
}

/// One kind: medians over its turns. Ratios are taken in each round, against the whole cluster.
fn row(args: &BenchAblationArgs, without: Option<Mechanism>, own: &[Done], whole: &[Done]) -> Json {
    let over = |each: &dyn Fn(&Done) -> f64| over(own, each);
    let tps = |turn: &Done| turn.contended.0.throughput_tps();
    let goodput_tps = |turn: &Done| turn.overloaded.done() as f64 / args.seconds as f64;
    json!({
        "without": named(without),
        "hotspot_tps": round(over(&tps), 1),
        "hotspot_ratio": round(ratio(own, whole, tps), 3),
        "hotspot_abort_rate": round(over(&|turn| turn.contended.0.abort_rate()), 4),
        "hotspot_p99_ms": over(&|turn| quantile_ms(&turn.contended.0.tally.whole_us, 0.99)),
        "tickets_per_s": round(over(&|turn| tickets_per_s(&turn.contended)), 1),
        "overload_goodput_tps": round(over(&goodput_tps), 1),
        "overload_ratio": round(ratio(own, whole, goodput_tps), 3),
        "overload_p99_ms": over(&|turn| quantile_ms(&turn.overloaded.took_us, 0.99)),
        "highest_class_served": round(over(&|turn| turn.overloaded.highest_served()), 4),
    })
}

fn named(without: Option<Mechanism>) -> &'static str {
    without.map_or("nothing", Mechanism::name)
}

fn mechanism(text: &str) -> Result<Mechanism, String> {
    let found = Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == text);
    let names = || Mechanism::ALL.map(Mechanism::name).join(", ");
    found.ok_or_else(|| format!("there is no {text:?}; there are {}", names()))
}
