//! The cluster's account of itself, gathered from all nodes.

use crate::{
    api::Gateway,
    compare::Heads,
    convert,
    peer::{NodeStatus, PeerReply, PeerRequest},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::{command::ChainHead, id::GroupId};
use vatic_proto::v1::{self, cluster_service_server::ClusterService, replica_chain::Head};

/// Longest wait for a node's account of itself, where it reads no states for that.
const STATUS_MAX: Duration = Duration::from_secs(1);

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
        let (config, groups) = (&self.cluster.config, self.data_groups());
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

    async fn chains(
        &self,
        request: Request<v1::ChainsRequest>,
    ) -> Result<Response<v1::ChainsResponse>, Status> {
        let deadline = self.deadline(&request);
        let groups = (0..=self.data_groups()).map(|group| self.chains_of(GroupId(group), deadline));
        let groups = futures::future::join_all(groups).await;
        Ok(Response::new(v1::ChainsResponse { groups }))
    }
}

impl Gateway {
    fn data_groups(&self) -> u32 {
        let ring = self.cluster.ring();
        ring.map_or(self.cluster.config.groups, |ring| ring.spec().groups.len() as u32)
    }

    /// A group's chains, at the lowest index of those that answer.
    ///
    /// Entries are applied in order, so whoever stands further on has passed that index, and keeps
    /// its head there for as long as it keeps any of that age.
    async fn chains_of(&self, group: GroupId, deadline: Instant) -> v1::GroupChains {
        let mut nodes = self.cluster.holders(group);
        nodes.sort_unstable();
        // Whoever does not answer must not take the time of those that do.
        let third = deadline.saturating_duration_since(Instant::now()) / 3;
        let by = Instant::now() + third;
        let asked = nodes.iter().map(|&node| self.cluster.heads_of(node, group, u64::MAX, by));
        let found = futures::future::join_all(asked).await;
        let last_of = |found: &Option<Heads>| found.as_ref().map_or(0, |found| found.last.index);
        let lasts: Vec<u64> = found.iter().map(last_of).collect();
        let index = lasts.iter().copied().filter(|last| *last > 0).min().unwrap_or(0);
        let replicas = nodes.iter().zip(lasts).map(|(&node, last_index)| async move {
            let (head, digest) = match last_index {
                0 => (Head::Unspecified, None),
                _ => self.head_at(node, group, index, by + third).await,
            };
            let digest = digest.map_or_else(Vec::new, Vec::from).into();
            v1::ReplicaChain { node_id: node.into(), last_index, head: head.into(), digest }
        });
        let replicas = futures::future::join_all(replicas).await;
        v1::GroupChains { group: group.0, index, replicas }
    }

    async fn head_at(
        &self,
        node: u32,
        group: GroupId,
        index: u64,
        deadline: Instant,
    ) -> (Head, Option<[u8; 32]>) {
        let Some(found) = self.cluster.heads_of(node, group, index, deadline).await else {
            return (Head::Unspecified, None);
        };
        let next = found.heads.first().copied();
        if next.is_some_and(|next| next.index == index) || found.last.index < index {
            return head_by(index, found.last.index, next, None);
        }
        // Asked after the others: what it keeps from before now it kept then.
        // One that stands before that was begun anew meanwhile, and tells nothing of it.
        let kept = self.cluster.heads_of(node, group, 0, deadline).await;
        let kept = kept.filter(|kept| kept.last.index >= found.last.index);
        let oldest = kept.and_then(|kept| kept.heads.first().copied());
        head_by(index, found.last.index, next, oldest)
    }

    async fn statuses(
        &self,
        with_state_digest: bool,
        local_only: bool,
        deadline: Instant,
    ) -> BTreeMap<u32, Option<NodeStatus>> {
        // What a node knows it has at hand: one that is silent must not cost the whole answer.
        let at_hand = Instant::now() + STATUS_MAX;
        let deadline = if with_state_digest { deadline } else { deadline.min(at_hand) };
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

/// What a replica, whose chain stands at `last`, has at an index: `next` is the first head that it
/// keeps from there on, `oldest` the first of all.
fn head_by(
    index: u64,
    last: u64,
    next: Option<ChainHead>,
    oldest: Option<ChainHead>,
) -> (Head, Option<[u8; 32]>) {
    match (next, oldest) {
        (Some(next), _) if next.index == index => (Head::Kept, Some(next.digest.0)),
        // It was started anew in between, and has not applied again what it had.
        _ if last < index => (Head::Unspecified, None),
        (_, Some(oldest)) if oldest.index < index => (Head::Absent, None),
        (_, Some(_)) => (Head::Dropped, None),
        (_, None) => (Head::Unspecified, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_core::hash::Hash;

    fn head(index: u64) -> Option<ChainHead> {
        Some(ChainHead { index, digest: Hash([index as u8; 32]) })
    }

    #[test]
    fn head_that_is_missing_was_dropped_or_is_of_another_chain() {
        assert_eq!(head_by(7, 9, head(7), None), (Head::Kept, Some([7; 32])));
        assert_eq!(head_by(7, 9, head(8), head(8)), (Head::Dropped, None));
        assert_eq!(head_by(7, 9, head(8), head(6)), (Head::Absent, None));
        assert_eq!(head_by(7, 6, None, None), (Head::Unspecified, None), "it is behind");
        assert_eq!(head_by(7, 9, head(8), None), (Head::Unspecified, None), "it is silent");
    }
}
