//! A cluster of its own for one turn: started here, measured, stopped.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use vatic_client::{Client, Options};

use super::limits::client_limits;
use crate::cluster_processes::{ClusterProcesses, READY_MS};
use crate::settings::Settings;

const NODES: u32 = 3;

/// Starts nodes with these lines of configuration, and measures them.
pub(super) async fn on_fresh<T>(
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
