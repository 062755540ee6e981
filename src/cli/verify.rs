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

/// Looks until all groups agree, it is known which replica differs, or patience ends; answers the
/// look that tells the most.
///
/// Replicas of a group that is written to are rarely at one index, so one look proves nothing.
/// Which of them is wrong the cluster itself finds out, a little later than that they differ.
pub(crate) async fn settled(client: &Client, patience: Duration) -> Result<Cluster, ClientError> {
    let end = Instant::now() + patience;
    let mut differed = None;
    loop {
        let seen = client.cluster(true).await?;
        let known = is_known(&seen);
        if seen.groups.iter().any(Group::diverges) {
            differed = Some(seen);
        } else if known || Instant::now() >= end {
            // Who differed may have been mended since then: it did differ.
            return Ok(differed.unwrap_or(seen));
        }
        if let Some(seen) = differed.take_if(|_| known || Instant::now() >= end) {
            return Ok(seen);
        }
        sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
    }
}

/// Whether looking again would tell nothing more: all groups agree, or a replica was set aside.
fn is_known(seen: &Cluster) -> bool {
    let agreed = !seen.groups.is_empty() && seen.groups.iter().all(Group::agrees);
    let set_aside = |group: &Group| group.replicas.iter().any(|it| it.divergence.is_some());
    agreed || seen.groups.iter().any(set_aside)
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

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_client::{Replica, Role};
    use vatic_core::hash::Hash;

    fn replica(node_id: u64, state: u8) -> Replica {
        Replica {
            node_id,
            generation: 1,
            role: Role::Follower,
            reachable: true,
            applied_index: 7,
            chain_digest: Some(Hash([1; 32])),
            state_digest: Some(Hash([state; 32])),
            undecided: 0,
            records: 0,
            divergence: None,
        }
    }

    fn cluster(replicas: Vec<Replica>) -> Cluster {
        Cluster {
            name: "test".to_owned(),
            node_id: 1,
            version: String::new(),
            ring_epoch: 1,
            ready: true,
            members: Vec::new(),
            groups: vec![Group { group: 1, leader: None, term: 1, replicas }],
            ring: None,
        }
    }

    #[test]
    fn replicas_that_differ_are_looked_at_until_one_of_them_is_set_aside() {
        assert!(is_known(&cluster(vec![replica(1, 5), replica(2, 5)])), "they agree");
        let mut differ = cluster(vec![replica(1, 5), replica(2, 5), replica(3, 6)]);
        assert!(differ.groups[0].diverges() && !is_known(&differ));
        let divergence = Divergence { index: 4, what: "its state".to_owned() };
        differ.groups[0].replicas[2].divergence = Some(divergence);
        assert!(is_known(&differ));
    }
}
