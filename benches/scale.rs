//! `vatic-bench scale`: what an operation costs, by groups and records, and what a group costs.
//!
//! Each row is a cluster of its own, so that no row pays for what another left on its disks. The
//! costs of a group are the slopes of the idle costs over the numbers of groups.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;

use crate::cluster::{Cluster, Idle};
use crate::limits::{SEED, SETTLE_MS};
use crate::results::{Cell, Results};

const WORKLOADS: [&str; 3] = ["put", "get", "uniform"];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Data groups
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    groups: Vec<u32>,
    /// Records that are loaded first
    #[arg(long, value_delimiter = ',', default_value = "1000,100000")]
    records: Vec<u32>,
    /// How long each workload is measured
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// How long an idle cluster is watched; 0: not at all
    #[arg(long, default_value_t = 20)]
    idle_seconds: u64,
    /// Clients
    #[arg(long, default_value_t = 64)]
    clients: u32,
    /// Where the clusters keep their data meanwhile [default: the system's temporary directory]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How results are printed; the last line is JSON either way
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

pub(crate) async fn run(args: &Args) -> anyhow::Result<()> {
    let mut results = Results::default();
    for &groups in &args.groups {
        for (nth, &records) in args.records.iter().enumerate() {
            let what = || format!("{groups} groups, {records} records");
            eprintln!("vatic-bench: {}", what());
            let idle = nth == 0 && args.idle_seconds > 0;
            row(args, groups, records, idle, &mut results).await.with_context(what)?;
        }
    }
    if args.output == Output::Table {
        results.print_tables();
    }
    println!("{}", results.json());
    Ok(())
}

async fn row(
    args: &Args,
    groups: u32,
    records: u32,
    watch_idle: bool,
    results: &mut Results,
) -> anyhow::Result<()> {
    let beside = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    let cluster = Cluster::start(groups, &beside).await?;
    if watch_idle {
        results.idle.push((groups, idle(&cluster, args.idle_seconds).await?));
    }
    for workload in WORKLOADS {
        let mut arguments: Vec<String> = [
            ("--workload", workload.to_owned()),
            ("--keys", records.to_string()),
            ("--clients", args.clients.to_string()),
            ("--seconds", args.seconds.to_string()),
            ("--seed", SEED.to_string()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect();
        // The first has loaded what all of them use.
        if workload != WORKLOADS[0] {
            arguments.push("--loaded".to_owned());
        }
        let measured = cluster.bench(&arguments).await?;
        results.cells.push(Cell { groups, records, workload, measured });
    }
    results.disk_bytes.push((groups, records, cluster.disk_bytes()));
    Ok(())
}

async fn idle(cluster: &Cluster, seconds: u64) -> anyhow::Result<Idle> {
    sleep(Duration::from_millis(SETTLE_MS)).await;
    let before = cluster.used().await?;
    sleep(Duration::from_secs(seconds)).await;
    Ok(cluster.used().await?.since(&before))
}
