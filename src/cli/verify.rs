//! `vatic verify`: a receipt offline, or that all replicas of a running cluster agree.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::time::{Instant, sleep};
use vatic_client::{Client, ClientError, Cluster, Divergence, Group};

use crate::args::Output;
use crate::exit::Failed;
use crate::keys;
use crate::output;
use crate::receipt_file;
use crate::settings::Settings;

/// Between two looks at a cluster that has not settled.
const LOOK_AGAIN_MS: u64 = 100;

pub(crate) fn receipt(file: &Path, pinned: Option<&Path>, output: Output) -> anyhow::Result<()> {
    let pinned = pinned.map(keys::read).transpose()?;
    let (receipt, positions) = receipt_file::verify(file, pinned.as_ref())?;
    let positions: Vec<Json> = positions
        .iter()
        .map(|at| json!({"group": at.group.0, "index": at.index, "chain": at.digest.to_hex()}))
        .collect();
    let result = json!({
        "verified": true,
        // Without pinned keys: that these positions are the cluster's remains to be believed.
        "signed": pinned.is_some(),
        "transaction_id": receipt.body.tid.to_string(),
        "commit_version": receipt.ts.0,
        "transitions": receipt.body.seal.count,
        "head": receipt.body.seal.head.to_hex(),
        "positions": positions,
    });
    Ok(output::object(output, &result)?)
}

pub(crate) async fn cluster(settings: &Settings) -> anyhow::Result<()> {
    let client = settings.connect().await?;
    let patience = Duration::from_millis(settings.timeout_ms);
    let seen = settled(&client, patience).await?;
    let rows: Vec<Json> = seen.groups.iter().map(of_group).collect();
    output::list(settings.output, &["group", "agrees", "applied", "chain", "state"], &rows)?;
    let wrong = seen.groups.iter().filter(|group| !group.agrees()).count();
    if wrong > 0 {
        let named: String = seen.groups.iter().flat_map(set_aside).collect();
        let message = format!("{wrong} of {} groups do not agree{named}", seen.groups.len());
        // Replicas at different indexes contradict nothing: that they agree is not shown, no more.
        let silent = silent_nodes(&seen);
        return Err(if seen.groups.iter().any(Group::diverges) {
            Failed::verification(message)
        } else if silent.is_empty() {
            Failed::unavailable(format!("{message}: they did not come to rest in time"))
        } else {
            Failed::unavailable(format!("{message}: no answer from node {}", silent.join(", ")))
        }
        .into());
    }
    Ok(())
}

/// Looks until all groups agree, one of them diverges, or patience ends; answers the last look.
///
/// Replicas of a group that is written to are rarely at one index, so one look proves nothing.
pub(crate) async fn settled(client: &Client, patience: Duration) -> Result<Cluster, ClientError> {
    let end = Instant::now() + patience;
    loop {
        let seen = client.cluster(true).await?;
        let agreed = !seen.groups.is_empty() && seen.groups.iter().all(Group::agrees);
        let diverged = seen.groups.iter().any(Group::diverges);
        if agreed || diverged || Instant::now() >= end {
            return Ok(seen);
        }
        sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
    }
}

/// Nodes whose replicas could not be asked.
fn silent_nodes(seen: &Cluster) -> Vec<String> {
    let silent = seen.members.iter().filter(|member| !member.reachable);
    silent.map(|member| member.node_id.to_string()).collect()
}

/// The replicas that the cluster itself found to differ, in words.
fn set_aside(group: &Group) -> impl Iterator<Item = String> {
    group.replicas.iter().filter_map(|replica| {
        let Divergence { index, what } = replica.divergence.as_ref()?;
        let (group, node) = (group.group, replica.node_id);
        Some(format!("; group {group}: node {node} differs from index {index} on: {what}"))
    })
}

fn of_group(group: &Group) -> Json {
    let applied: Vec<u64> = group.replicas.iter().map(|replica| replica.applied_index).collect();
    let digests = |digest: fn(&vatic_client::Replica) -> Option<vatic_core::hash::Hash>| {
        let mut found: Vec<String> = group
            .replicas
            .iter()
            .map(|replica| digest(replica).map_or("-".to_owned(), |hash| hash.to_hex()))
            .collect();
        found.dedup();
        found.join(" ")
    };
    json!({
        "group": group.group,
        "agrees": group.agrees(),
        "applied": applied,
        "chain": digests(|replica| replica.chain_digest),
        "state": digests(|replica| replica.state_digest),
    })
}
