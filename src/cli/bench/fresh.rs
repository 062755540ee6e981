//! A cluster of its own for each turn: started here, measured, stopped.

use std::fs;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value as Json, json};
use vatic_client::{Client, Options};

use super::limits::client_limits;
use super::streams::{BenchStreamsArgs, Mode, Tally, row, turn};
use super::turns::in_turns;
use crate::cluster_processes::{ClusterProcesses, READY_MS};
use crate::exit::Failed;
use crate::settings::Settings;

const NODES: u32 = 3;

/// Of what is compared one: a kind of cluster, and what its clients ask for.
pub(super) trait Kind: Copy {
    fn name(self) -> &'static str;
    fn mode(self) -> Mode;
    /// What its nodes are configured with.
    fn config(self) -> &'static str;
}

/// Streams on clusters of each kind, in each round: they run while nodes learn, and are measured
/// then.
pub(super) async fn streams_in_turns<K: Kind>(
    kinds: &[K],
    (groups, learn_seconds): (u32, u64),
    (load, seed): (&BenchStreamsArgs, u64),
    settings: &Settings,
) -> anyhow::Result<Vec<Vec<Tally>>> {
    let [learning, span] = [learn_seconds, load.seconds].map(Duration::from_secs);
    let one = async |kind: K, seed: u64| {
        let tally = on_fresh((groups, kind.config()), settings, async |client| {
            turn(load, kind.mode(), &client, learning, seed).await;
            Ok(turn(load, kind.mode(), &client, span, seed.wrapping_add(1 << 16)).await)
        });
        let tally = tally.await?;
        eprintln!("{}: {:.1} tps", kind.name(), tally.tps(span));
        if tally.committed() == 0 {
            bail!(Failed::unavailable("no stream committed inside a turn"));
        }
        Ok(tally)
    };
    in_turns(kinds, load.rounds, seed, one).await
}

/// Medians of each kind, the first of which the others are compared with.
pub(super) fn rows<K: Kind>(kinds: &[K], turns: &[Vec<Tally>], span: Duration) -> Vec<Json> {
    let rows = kinds.iter().zip(turns).map(|(kind, own)| {
        let mut row = row(kind.mode(), own, &turns[0], span);
        row["kind"] = json!(kind.name());
        row
    });
    rows.collect()
}

/// Starts nodes with these lines of configuration, and measures them.
async fn on_fresh<T>(
    (groups, config): (u32, &str),
    settings: &Settings,
    measured: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let dir = tempfile::Builder::new().prefix("vatic-bench-").tempdir()?;
    let file = dir.path().join("bench.toml");
    fs::write(&file, config).with_context(|| file.display().to_string())?;
    let flags = ["--config".to_owned(), file.display().to_string()];
    let mut cluster = ClusterProcesses::start_with(NODES, groups, dir.path(), &flags)?;
    cluster.wait_ready(Duration::from_millis(READY_MS)).await?;
    let settings = Settings { endpoints: cluster.endpoints(), ..settings.clone() };
    let options = Options { limits: client_limits(), ..Options::default() };
    let measured = async {
        let client = Client::connect(&settings.endpoints, options).await?;
        measured(client).await
    };
    let measured = measured.await;
    cluster.stop().await;
    measured
}
