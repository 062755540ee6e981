//! The play: start three nodes, open accounts, load, kill one node midway, bring it back, check.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use vatic_client::{Client, Options};

use super::check::Checked;
use super::limits::{CHECK_MS, DOWN_MS_MAX, RESTART_MS, client_limits};
use super::load::{Keeper, Load};
use super::report::Report;
use super::tally::Tally;
use crate::args::{DemoArgs, Output};
use crate::cluster_processes::{Casualty, ClusterProcesses, READY_MS};
use crate::exit::{Exit, Failed};

const NODES: u32 = 3;
const TICK_MS: u64 = 100;

/// Runs the demonstration. Exits 5 where a check does not hold.
pub(crate) async fn run(args: &DemoArgs, output: Output) -> anyhow::Result<Exit> {
    let throwaway = tempfile::Builder::new().prefix("vatic-demo-").tempdir()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        biased;
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("interrupted"),
        report = play(args, throwaway.path()) => report,
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => return Err(error.context(keep(throwaway))),
    };
    report.print(output)?;
    let broken = report.broken();
    if !broken.is_empty() {
        let message = format!("{}; {}", broken.join("; "), keep(throwaway));
        return Err(Failed::verification(message).into());
    }
    if args.keep {
        eprintln!("vatic: {}", keep(throwaway));
    }
    Ok(Exit::Ok)
}

async fn play(args: &DemoArgs, dir: &Path) -> anyhow::Result<Report> {
    let seed = args.seed.unwrap_or_else(rand::random);
    eprintln!("vatic: seed {seed}; starting {NODES} nodes in {}", dir.display());
    let mut cluster = ClusterProcesses::start(NODES, args.groups, dir)?;
    cluster.wait_ready(Duration::from_millis(READY_MS)).await?;

    let load = Load {
        endpoints: cluster.endpoints(),
        seed,
        customers: args.customers,
        clients: args.clients,
    };
    let evidence = dir.join("evidence");
    let keeper = Keeper::start(&evidence)?;
    eprintln!("vatic: opening the accounts of {} customers", args.customers);
    load.open_accounts(&keeper).await?;

    let tally = Arc::new(Tally::new());
    let bar = progress(args.seconds);
    let start = Instant::now();
    let until = start + Duration::from_secs(args.seconds);
    let (loaded, restarts, ()) = tokio::join!(
        load.run(until, &tally, &keeper),
        kill_and_restart(&mut cluster, start, args.seconds, &bar),
        show_progress(&bar, start, until, &tally),
    );
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    loaded?;
    let node_restarts = restarts?;
    keeper.finish().await?;

    let counts = tally.counts();
    counts.strange.iter().for_each(|error| eprintln!("vatic: unexpected: {error}"));
    if let Some(Casualty { complaint, .. }) = cluster.casualty()? {
        bail!(Failed::unavailable(complaint));
    }
    eprintln!("vatic: checking {} commits in a process of its own", counts.committed);
    let unknown = counts.unknown + counts.unproved;
    let checked = check(&cluster.endpoints(), &evidence, args.customers, unknown).await?;
    checked.faults.iter().for_each(|fault| eprintln!("vatic: fault: {fault}"));
    cluster.stop().await;
    Ok(Report::new(&counts, &checked, seconds, node_restarts, seed))
}

/// Midway kills the node that leads most groups, and starts it again on the same disk. Answers how
/// often a node was brought back.
async fn kill_and_restart(
    cluster: &mut ClusterProcesses,
    start: Instant,
    seconds: u64,
    bar: &ProgressBar,
) -> anyhow::Result<u64> {
    sleep_until(start + Duration::from_millis(seconds * 500)).await;
    let victim = leader_of_most(&cluster.endpoints()).await?;
    bar.println(format!("vatic: killing node {}", victim + 1));
    cluster.kill(victim).await?;
    sleep(Duration::from_millis((seconds * 1_000 / 6).min(DOWN_MS_MAX))).await;
    bar.println(format!("vatic: starting node {} again", victim + 1));
    cluster.restart(victim)?;
    cluster.wait_ready(Duration::from_millis(RESTART_MS)).await?;
    Ok(1)
}

/// The place, from 0, of the node that leads most groups; nodes are numbered from 1.
async fn leader_of_most(endpoints: &[String]) -> anyhow::Result<usize> {
    let options = Options { limits: client_limits(), ..Options::default() };
    let seen = Client::lazy(endpoints, options)?.cluster_locally().await?;
    let mut led = vec![0; endpoints.len()];
    for leader in seen.groups.iter().filter_map(|group| group.leader) {
        if let Some(count) = led.get_mut(leader as usize - 1) {
            *count += 1;
        }
    }
    Ok((0..led.len()).max_by_key(|at| led[*at]).unwrap_or(0))
}

/// The checks, by this program in another process.
async fn check(
    endpoints: &[String],
    evidence: &Path,
    customers: u32,
    unknown: u64,
) -> anyhow::Result<Checked> {
    let running = Command::new(std::env::current_exe()?)
        .arg("demo-check")
        .arg("--evidence")
        .arg(evidence)
        .args(["--customers", &customers.to_string(), "--unknown", &unknown.to_string()])
        .args(["--endpoints", &endpoints.join(","), "--timeout-ms", &CHECK_MS.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_millis(CHECK_MS), running)
        .await
        .map_err(|_| Failed::unavailable(format!("the checks took longer than {CHECK_MS} ms")))??;
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("the checks ended with {}", output.status))
}

async fn show_progress(bar: &ProgressBar, start: Instant, until: Instant, tally: &Tally) {
    while Instant::now() < until {
        bar.set_position(start.elapsed().as_millis() as u64);
        let counts = tally.counts();
        let (committed, rolled_back) = (counts.committed, counts.rolled_back_total());
        bar.set_message(format!("{committed} committed, {rolled_back} rolled back"));
        sleep(Duration::from_millis(TICK_MS)).await;
    }
    bar.set_message("waiting for the last transactions");
}

fn progress(seconds: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {msg}")
        .expect("the template is valid")
        .progress_chars("=> ");
    ProgressBar::new(seconds * 1_000).with_style(style)
}

/// Leaves the directory where it is, and says where.
fn keep(throwaway: TempDir) -> String {
    let path: PathBuf = throwaway.keep();
    format!("logs and data are kept in {}", path.display())
}
