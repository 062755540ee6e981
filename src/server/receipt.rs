//! Receipts: fetched where the driver did not have them, and completed with signatures.

use crate::{
    cluster::Cluster,
    peer::{PeerFound, PeerRead},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use vatic_core::{
    aggregate::OutcomeRead,
    id::{GroupId, Tid},
    receipt::Receipt,
    sign,
};

/// Pause between two looks for a receipt that the home group has not completed yet.
const RECEIPT_PAUSE: Duration = Duration::from_millis(20);

/// Pause between two looks for signatures, which come about once a second.
const SIGNATURE_PAUSE: Duration = Duration::from_millis(100);

/// The home group completes the receipt with its decision, which may come after the answer.
pub(crate) async fn fetch(cluster: &Arc<Cluster>, tid: Tid, deadline: Instant) -> Option<Receipt> {
    while Instant::now() < deadline {
        if let Some(receipt) = read(cluster, tid, deadline).await?.receipt {
            return Some(receipt);
        }
        tokio::time::sleep(RECEIPT_PAUSE).await;
    }
    None
}

/// How a transaction ended, as its home group's leader knows.
pub(crate) async fn read(
    cluster: &Arc<Cluster>,
    tid: Tid,
    deadline: Instant,
) -> Option<OutcomeRead> {
    match cluster.read(tid.home, PeerRead::Outcome(tid), deadline).await {
        Ok(PeerFound::Outcome(outcome)) => Some(*outcome),
        _ => None,
    }
}

/// Adds the signatures of a majority of each participant's replicas, waiting for those that are
/// being collected until `deadline`. What cannot be had by then is left out: the receipt says so
/// itself.
pub(crate) async fn complete(cluster: &Arc<Cluster>, receipt: &mut Receipt, deadline: Instant) {
    loop {
        let wanted = wanted(cluster, receipt);
        if wanted.is_empty() {
            return;
        }
        let asked = wanted
            .iter()
            .map(|&(group, index)| cluster.read(group, PeerRead::Endorsement(index), deadline));
        for found in futures::future::join_all(asked).await {
            if let Ok(PeerFound::Endorsement(Some(endorsement))) = found {
                receipt.endorse(*endorsement);
            }
        }
        if self::wanted(cluster, receipt).is_empty() || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(SIGNATURE_PAUSE).await;
    }
}

/// The votes that too few replicas have signed for: group and log index.
fn wanted(cluster: &Cluster, receipt: &Receipt) -> Vec<(GroupId, u64)> {
    let signed = |group| {
        let found = receipt.endorsements.iter().find(|found| found.checkpoint.group == group);
        found.map_or(0, |found| found.signatures.len())
    };
    let lacks = |group| signed(group) < sign::quorum(cluster.holders(group).len());
    let proofs = receipt.proofs.iter().filter(|proof| lacks(proof.group));
    proofs.map(|proof| (proof.group, proof.index)).collect()
}
