//! Makes the node part of the cluster: registers it in group 0, and follows the ring and the
//! registry that group 0 keeps.

use crate::{
    cluster::Cluster,
    conflicts,
    peer::{PeerFound, PeerRead},
    time,
};
use std::{sync::Arc, time::Duration};
use vatic_core::{
    command::{Command, MetaCommand},
    id::GroupId,
    meta::NodeRecord,
    ring::{Ring, RingSpec},
};

/// Pause between two looks while something is missing, and afterwards.
const EAGER: Duration = Duration::from_millis(50);
const CALM: Duration = Duration::from_secs(2);
const LOOK_DEADLINE_MS: u64 = 3_000;

/// Follows group 0 for as long as the node runs.
pub(crate) async fn follow_meta(cluster: Arc<Cluster>) {
    loop {
        let complete = look(&cluster).await;
        tokio::time::sleep(if complete { CALM } else { EAGER }).await;
    }
}

/// One look; whether nothing is missing.
async fn look(cluster: &Arc<Cluster>) -> bool {
    let deadline = time::deadline_in(LOOK_DEADLINE_MS);
    let found = cluster.read(GroupId::META, PeerRead::Meta, deadline).await;
    let Ok(PeerFound::Meta { ring, nodes, shelf, policies }) = found else { return false };
    adopt_ring(cluster, ring);
    cluster.know_policies(policies);
    conflicts::follow(cluster, shelf, deadline).await;
    let own = own_record(cluster);
    let registered = nodes.contains(&own);
    let all = nodes.len() == cluster.config.members.len();
    let by_node = nodes.into_iter().map(|record| (record.node as u32, record)).collect();
    *cluster.registry.write().expect("no holder panics") = by_node;
    if !registered {
        let NodeRecord { node, client_addr, peer_addr, public_key } = own;
        let put = MetaCommand::PutNode { node, client_addr, peer_addr, public_key };
        let command = Command::Meta(put);
        // Not applied: the next look finds it missing again.
        let _ = cluster.propose(GroupId::META, command, deadline).await;
    }
    registered && all && cluster.ring().is_some()
}

fn adopt_ring(cluster: &Cluster, spec: Option<RingSpec>) {
    let Some(spec) = spec else { return };
    let known = cluster.ring().map_or(0, |ring| ring.spec().epoch);
    if spec.epoch > known {
        tracing::info!(epoch = spec.epoch, groups = spec.groups.len(), "a new ring");
        cluster.ring.send_replace(Some(Arc::new(Ring::new(spec))));
    }
}

fn own_record(cluster: &Cluster) -> NodeRecord {
    let own = cluster.config.members.iter().find(|member| member.node == cluster.config.node);
    NodeRecord {
        node: u64::from(cluster.config.node),
        client_addr: cluster.client_endpoint.clone(),
        peer_addr: own.map(|member| member.peer.clone()).unwrap_or_default(),
        public_key: cluster.signer.public(),
    }
}
