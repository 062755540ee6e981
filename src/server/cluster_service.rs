//! The cluster's account of itself, gathered from all nodes.

use crate::{
    api::Gateway,
    convert,
    peer::{NodeStatus, PeerReply, PeerRequest},
};
use std::collections::BTreeMap;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::id::GroupId;
use vatic_proto::v1::{self, cluster_service_server::ClusterService};

#[tonic::async_trait]
impl ClusterService for Gateway {
    async fn cluster(
        &self,
        request: Request<v1::ClusterRequest>,
    ) -> Result<Response<v1::ClusterResponse>, Status> {
        let deadline = self.deadline(&request);
        let v1::ClusterRequest { with_state_digest, local_only } = request.into_inner();
        let statuses = self.statuses(with_state_digest, local_only, deadline).await;
        let ring = self.cluster.ring();
        let config = &self.cluster.config;
        let groups = ring.as_ref().map_or(config.groups, |ring| ring.spec().groups.len() as u32);
        let holders = |group| self.cluster.holders(GroupId(group));
        let groups = convert::groups(&statuses, holders, groups);
        let ready = ring.is_some()
            && !self.cluster.is_draining()
            && groups.iter().all(|group| group.leader_node != 0)
            && configured(&statuses);
        Ok(Response::new(v1::ClusterResponse {
            node_id: u64::from(config.node),
            version: env!("CARGO_PKG_VERSION").into(),
            ring_epoch: ring.as_ref().map_or(0, |ring| ring.spec().epoch),
            ready,
            members: self.members(&statuses),
            groups,
            ring: ring.map(|ring| convert::ring(ring.spec())),
            cluster: config.cluster.clone(),
        }))
    }
}

impl Gateway {
    async fn statuses(
        &self,
        with_state_digest: bool,
        local_only: bool,
        deadline: Instant,
    ) -> BTreeMap<u32, Option<NodeStatus>> {
        let own = self.cluster.config.node;
        let nodes = self.cluster.config.members.iter().map(|member| member.node);
        let asked = nodes.map(|node| async move {
            if node == own {
                return (node, Some(self.cluster.status(with_state_digest).await));
            }
            if local_only {
                return (node, None);
            }
            let request = PeerRequest::Status { with_state_digest };
            match self.cluster.peers.call(node, &request, deadline).await {
                Some(PeerReply::Status(status)) => (node, Some(status)),
                _ => (node, None),
            }
        });
        futures::future::join_all(asked).await.into_iter().collect()
    }

    fn members(&self, statuses: &BTreeMap<u32, Option<NodeStatus>>) -> Vec<v1::Member> {
        let registry = self.cluster.registry.read().expect("no holder panics");
        let members = self.cluster.config.members.iter().map(|member| {
            let known = registry.get(&member.node);
            let client = known.map(|record| record.client_addr.clone());
            let public_key = known.map(|record| record.public_key.0.to_vec());
            v1::Member {
                node_id: u64::from(member.node),
                client_endpoint: client.unwrap_or_default(),
                peer_endpoint: format!("http://{}", member.peer),
                reachable: statuses.get(&member.node).is_some_and(Option::is_some),
                public_key: public_key.unwrap_or_default().into(),
            }
        });
        let mut members: Vec<v1::Member> = members.collect();
        members.sort_by_key(|member| member.node_id);
        members
    }
}

/// Whether every group that answered has its limits and ring.
fn configured(statuses: &BTreeMap<u32, Option<NodeStatus>>) -> bool {
    let replicas = statuses.values().flatten().flat_map(|status| &status.replicas);
    let mut by_group: BTreeMap<GroupId, bool> = BTreeMap::new();
    for replica in replicas {
        *by_group.entry(replica.group).or_default() |= replica.configured;
    }
    by_group.values().all(|&configured| configured)
}
