//! Collects the signatures that make receipts complete.
//!
//! About once a second the leader of each group takes the checkpoint over what was applied since
//! the last one, asks every replica to sign it, and proposes it with a majority's signatures. From
//! then on any replica completes any receipt of these entries. A replica signs only what it
//! computes itself; one that computes something else has diverged, which its answer says.

use crate::{
    cluster::Cluster,
    peer::{PeerReply, PeerRequest},
    time,
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use vatic_consensus::GroupHandle;
use vatic_core::{
    checkpoint::Checkpoint,
    command::{Command, Reply},
    group::Group,
    id::GroupId,
    rules::Rules,
    sign::{self, NodeSignature},
};

/// A replica's answer to the wish for its signature.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) enum Witness {
    /// It computes the same.
    Signed(NodeSignature),
    /// It has not applied all of it yet, or keeps it no longer.
    Unable,
    /// It computes something else.
    Differs(Checkpoint),
}

/// Starts one task for each group here.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    for (&id, handle) in &cluster.groups {
        let (cluster, handle) = (cluster.clone(), handle.clone());
        tasks.spawn(async move {
            let interval = Duration::from_millis(cluster.config.limits.attest_interval_ms);
            loop {
                tokio::time::sleep(interval).await;
                while handle.is_leader() && attest(&cluster, id, &handle).await {}
            }
        });
    }
}

/// Whether a checkpoint was attested; there may be another.
async fn attest(cluster: &Arc<Cluster>, id: GroupId, handle: &GroupHandle) -> bool {
    let checkpoint = {
        let view = handle.view();
        Group::of_view(id, &view, Rules::default()).next_checkpoint(&view)
    };
    let Some(checkpoint) = checkpoint else { return false };
    let signatures = collect(cluster, id, checkpoint).await;
    if signatures.len() < sign::quorum(cluster.holders(id).len()) {
        return false;
    }
    let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
    let command = Command::Attest { checkpoint, signatures };
    let applied = cluster.propose(id, command, deadline).await;
    applied.is_ok_and(|applied| applied.reply == Reply::Done)
}

/// Signatures of the majority that answers first, ascending by node. No more than a majority: a
/// receipt that could lose a signature and still verify would have two forms.
async fn collect(
    cluster: &Arc<Cluster>,
    id: GroupId,
    checkpoint: Checkpoint,
) -> Vec<NodeSignature> {
    let mut asked = JoinSet::new();
    let holders = cluster.holders(id);
    let quorum = sign::quorum(holders.len());
    for node in holders {
        let cluster = cluster.clone();
        asked.spawn(async move { (node, ask(&cluster, node, checkpoint).await) });
    }
    let mut signatures = Vec::new();
    let patience = time::deadline_in(cluster.config.limits.propose_deadline_ms);
    while signatures.len() < quorum
        && let Ok(Some(Ok((node, witness)))) =
            tokio::time::timeout_at(patience, asked.join_next()).await
    {
        match witness {
            Some(Witness::Signed(signature)) if valid(cluster, &checkpoint, &signature, node) => {
                signatures.push(signature);
            }
            Some(Witness::Signed(_)) => {
                tracing::debug!(group = %id, node, "a signature is not by the key that is known");
            }
            Some(Witness::Differs(own)) => {
                tracing::error!(group = %id, node, ?checkpoint, ?own, "replicas differ");
            }
            Some(Witness::Unable) | None => {}
        }
    }
    signatures.sort_unstable_by_key(|signature| signature.node);
    signatures
}

/// Whether the node that was asked signed, with the key that the registry has of it.
fn valid(cluster: &Cluster, checkpoint: &Checkpoint, signature: &NodeSignature, node: u32) -> bool {
    let registry = cluster.registry.read().expect("no holder panics");
    // Not known yet: this node has just started.
    let Some(record) = registry.get(&node) else { return false };
    let name = &cluster.config.cluster;
    signature.node == u64::from(node)
        && checkpoint.verify_signature(name, &record.public_key, signature).is_ok()
}

async fn ask(cluster: &Arc<Cluster>, node: u32, checkpoint: Checkpoint) -> Option<Witness> {
    if node == cluster.config.node {
        return Some(witness(cluster, checkpoint));
    }
    let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
    match cluster.peers.call(node, &PeerRequest::Witness { checkpoint }, deadline).await {
        Some(PeerReply::Witness(witness)) => Some(witness),
        _ => None,
    }
}

/// What this node's replica says to a checkpoint.
pub(crate) fn witness(cluster: &Cluster, checkpoint: Checkpoint) -> Witness {
    let Checkpoint { group: id, first, last, .. } = checkpoint;
    let Some(handle) = cluster.groups.get(&id).filter(|_| !cluster.set_aside.contains(id)) else {
        return Witness::Unable;
    };
    let Some((_, view)) = handle.serving_view() else { return Witness::Unable };
    match Group::of_view(id, &view, Rules::default()).checkpoint(&view, first, last) {
        Some(own) if own == checkpoint => Witness::Signed(cluster.signer.sign(&own)),
        Some(own) => Witness::Differs(own),
        None => Witness::Unable,
    }
}
