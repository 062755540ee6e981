//! `vatic dev`: a local cluster that stays until Ctrl-C.
//!
//! A node that is killed is started again on what it has on its disk, so that faults can be tried
//! out on it. One that does not stay up ends the command, and its files are kept.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

use crate::args::DevArgs;
use crate::cluster_processes::{ClusterProcesses, READY_MS};
use crate::exit::Failed;
use crate::output;

const WATCH_MS: u64 = 500;
/// A node that ends by itself sooner than this will not stay up the next time either.
const LIVES_AT_LEAST: Duration = Duration::from_secs(2);

pub(crate) async fn run(args: &DevArgs) -> anyhow::Result<()> {
    let (dir, throwaway) = directory(args)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut cluster = ClusterProcesses::start(args.nodes, args.groups, &dir)?;
    let ready = tokio::select! {
        biased;
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        ready = cluster.wait_ready(Duration::from_millis(READY_MS)) => Some(ready),
    };
    if let Some(ready) = ready {
        ready?;
        cluster.endpoints().iter().try_for_each(|endpoint| output::line(endpoint))?;
        if args.verbose {
            cluster.listeners().iter().for_each(|line| eprintln!("vatic: {line}"));
        }
        eprintln!("vatic: {} nodes, logs in {}; Ctrl-C stops them", args.nodes, dir.display());
        let mut watch = interval(Duration::from_millis(WATCH_MS));
        loop {
            tokio::select! {
                biased;
                _ = interrupt.recv() => break,
                _ = terminate.recv() => break,
                _ = watch.tick() => {
                    if let Some(casualty) = cluster.casualty()? {
                        eprintln!("vatic: {}", casualty.complaint);
                        if casualty.lived < LIVES_AT_LEAST && !casualty.killed {
                            cluster.stop().await;
                            throwaway.map(TempDir::keep);
                            let (node, dir) = (casualty.at + 1, dir.display());
                            let how = casualty.how;
                            let kept = format!("node {node} does not stay up ({how}); see {dir}");
                            return Err(Failed::unavailable(kept).into());
                        }
                        cluster.restart(casualty.at)?;
                        eprintln!("vatic: node {} is started again", casualty.at + 1);
                    }
                }
            }
        }
    }
    cluster.stop().await;
    Ok(())
}

/// Where the cluster lives; the second keeps a throwaway directory until it is dropped.
fn directory(args: &DevArgs) -> anyhow::Result<(PathBuf, Option<TempDir>)> {
    match &args.data_dir {
        Some(dir) => Ok((dir.clone(), None)),
        None => {
            let throwaway = tempfile::Builder::new().prefix("vatic-dev-").tempdir()?;
            Ok((throwaway.path().to_owned(), Some(throwaway)))
        }
    }
}
