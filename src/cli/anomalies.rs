//! `vatic anomalies`: transactions that did not end as was forecast of them.
//!
//! Each node judges what was sealed through it, so all of them are asked. One that does not answer
//! is named on stderr, and the others' are printed all the same.

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;
use vatic_client::{Anomaly, Client, ClientError};

use crate::args::Output;
use crate::notices::of_verdict;
use crate::output;
use crate::settings::Settings;

const COLUMNS: [&str; 8] =
    ["at_unix_ms", "node", "transaction_id", "class", "score", "tolerance", "p_value", "strays"];
/// Before a node whose feed broke is asked again.
const AGAIN: Duration = Duration::from_secs(1);
/// Anomalies that wait to be printed.
const WAITING_MAX: usize = 64;

#[derive(Debug, Subcommand)]
pub(crate) enum AnomaliesCommand {
    /// Print those that the nodes keep, oldest first
    Ls {
        /// The latest so many of each node; 0: all
        #[arg(long, default_value_t = 0)]
        limit: u32,
        /// Those alone that a policy had rolled back and kept aside
        #[arg(long)]
        quarantined: bool,
    },
    /// Print those that the nodes keep, then each as it comes, until Ctrl-C
    Watch,
}

pub(crate) async fn run(command: &AnomaliesCommand, settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    match command {
        AnomaliesCommand::Ls { limit, quarantined } => {
            ls(&client, (*limit, *quarantined), settings.output).await
        }
        AnomaliesCommand::Watch => watch(&client, settings.output).await,
    }
}

async fn ls(
    client: &Client,
    (limit, quarantined): (u32, bool),
    output: Output,
) -> anyhow::Result<()> {
    let mut found = Vec::new();
    let (mut answered, mut failed) = (false, None);
    for endpoint in client.endpoints() {
        match client.anomalies_of(&endpoint, limit, quarantined).await {
            Ok(anomalies) => {
                answered = true;
                found.extend(anomalies);
            }
            // What was asked for is at fault, whoever is asked.
            Err(error @ ClientError::Refused(_)) if !error.retryable() => return Err(error.into()),
            Err(error) => {
                eprintln!("vatic: {endpoint}: {error}");
                failed = Some(error);
            }
        }
    }
    if let Some(error) = failed.filter(|_| !answered) {
        return Err(error.into());
    }
    found.sort_by_key(|anomaly| (anomaly.at_unix_ms, anomaly.node_id, anomaly.sequence));
    let rows: Vec<Json> = found.iter().map(of_anomaly).collect();
    Ok(output::list(output, &COLUMNS, &rows)?)
}

async fn watch(client: &Client, output: Output) -> anyhow::Result<()> {
    let (found, mut coming) = mpsc::channel(WAITING_MAX);
    for endpoint in client.endpoints() {
        tokio::spawn(follow(client.clone(), endpoint, found.clone()));
    }
    drop(found);
    while let Some(anomaly) = coming.recv().await {
        output::line(&match output {
            Output::Table => format!("node {}: {anomaly}", anomaly.node_id),
            Output::Json | Output::Ndjson => of_anomaly(&anomaly).to_string(),
        })?;
    }
    Ok(())
}

/// Follows one node for as long as somebody prints.
async fn follow(client: Client, endpoint: String, found: mpsc::Sender<Anomaly>) {
    let mut after = 0;
    loop {
        let ended = async {
            let mut feed = client.watch_anomalies_of(&endpoint, after).await?;
            while let Some(anomaly) = feed.next().await? {
                after = anomaly.sequence;
                if found.send(anomaly).await.is_err() {
                    break;
                }
            }
            Ok::<(), ClientError>(())
        };
        if let Err(error) = ended.await {
            eprintln!("vatic: {endpoint}: {error}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn of_anomaly(anomaly: &Anomaly) -> Json {
    let strays: Vec<Json> =
        anomaly.strays.iter().map(|(token, more)| json!({"token": token, "more": more})).collect();
    json!({
        "at_unix_ms": anomaly.at_unix_ms,
        "node": anomaly.node_id,
        "sequence": anomaly.sequence,
        "transaction_id": anomaly.tid.to_string(),
        "class": anomaly.class,
        "score": anomaly.verdict.score,
        "tolerance": anomaly.verdict.tolerance,
        "p_value": anomaly.p_value,
        "drifting": anomaly.drifting,
        "quarantined": anomaly.quarantined,
        "running": anomaly.running,
        "verdict": of_verdict(&anomaly.verdict),
        "strays": anomaly.strays(),
        "tokens": strays,
    })
}
