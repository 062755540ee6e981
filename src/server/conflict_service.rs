//! The conflict service: gathered from all nodes, since each knows the groups that it leads.

use crate::{
    api::{self, Gateway},
    convert, explain,
    peer::{NodeConflicts, PeerFound, PeerRead, PeerReply, PeerRequest},
    status::ApiError,
};
use std::{cmp::Reverse, collections::BTreeMap};
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::{
    command::{Command, MetaCommand, Reply},
    id::GroupId,
};
use vatic_proto::v1::{self, conflict_service_server::ConflictService};

const CONFLICTS_MAX: u32 = 1_000;
const CONFLICTS_UNASKED: u32 = 100;
/// What one node is asked for where only some of it is wanted.
const LOOKED_MAX: u32 = 10_000;

#[tonic::async_trait]
impl ConflictService for Gateway {
    async fn list_conflicts(
        &self,
        request: Request<v1::ListConflictsRequest>,
    ) -> Result<Response<v1::ListConflictsResponse>, Status> {
        let deadline = self.deadline(&request);
        let v1::ListConflictsRequest { limit, key, transaction_id } = request.into_inner();
        if limit > CONFLICTS_MAX {
            let (max, actual) = (u64::from(CONFLICTS_MAX), u64::from(limit));
            return Err(ApiError::Limit { limit: "limit", max, actual }.into());
        }
        let limit = if limit == 0 { CONFLICTS_UNASKED } else { limit };
        let narrow = key.is_some() || transaction_id.is_some();
        let looked = if narrow { LOOKED_MAX } else { limit };
        let (known, unreachable_nodes) = self.conflicts_known(looked, deadline).await;
        let all = known.into_values().flat_map(|node| node.conflicts).map(convert::conflict);
        let mut conflicts: Vec<v1::Conflict> = all
            .filter(|met| {
                let Some(rollback) = &met.rollback else { return false };
                let at = rollback.key.as_ref();
                let parties = [&met.transaction_id, &rollback.other_transaction_id];
                key.as_ref().is_none_or(|key| at == Some(key))
                    && transaction_id.as_ref().is_none_or(|id| parties.contains(&id))
            })
            .collect();
        conflicts.sort_by_key(|met| Reverse(met.at_unix_us));
        conflicts.truncate(limit as usize);
        Ok(Response::new(v1::ListConflictsResponse { conflicts, unreachable_nodes }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let deadline = self.deadline(&request);
        let principal = api::principal(request.metadata())?;
        let transitions = request.into_inner().transitions;
        let explained = explain::explain(self, &principal, transitions, deadline).await;
        Ok(Response::new(explained?))
    }

    async fn models(
        &self,
        request: Request<v1::ModelsRequest>,
    ) -> Result<Response<v1::ModelsResponse>, Status> {
        let deadline = self.deadline(&request);
        let (known, unreachable_nodes) = self.conflicts_known(0, deadline).await;
        let models = known.iter().map(|(node, known)| convert::model(*node, known)).collect();
        Ok(Response::new(v1::ModelsResponse { models, unreachable_nodes }))
    }

    async fn shared_models(
        &self,
        request: Request<v1::SharedModelsRequest>,
    ) -> Result<Response<v1::SharedModelsResponse>, Status> {
        let (group, deadline) = (GroupId::META, self.deadline(&request));
        let found = self.cluster.read(group, PeerRead::Models, deadline).await;
        let PeerFound::Models(shelf, models) = found.map_err(ApiError::from)? else {
            return Err(ApiError::NoLeader { group }.into());
        };
        let models = models.iter().map(convert::shared_model).collect();
        Ok(Response::new(v1::SharedModelsResponse { models, pinned: shelf.pinned }))
    }

    async fn pin_model(
        &self,
        request: Request<v1::PinModelRequest>,
    ) -> Result<Response<v1::PinModelResponse>, Status> {
        let deadline = self.deadline(&request);
        let version = request.into_inner().version;
        let command = Command::Meta(MetaCommand::PinModel(version));
        let applied = self.cluster.propose(GroupId::META, command, deadline).await;
        match applied.map_err(ApiError::from)?.reply {
            Reply::Done => Ok(Response::new(v1::PinModelResponse {})),
            _ => {
                let what = format!("there is no model of version {}", version.unwrap_or(0));
                Err(ApiError::BadFrame { what }.into())
            }
        }
    }
}

impl Gateway {
    /// What all nodes learnt and saw, and who did not answer.
    async fn conflicts_known(
        &self,
        conflicts_max: u32,
        deadline: Instant,
    ) -> (BTreeMap<u32, NodeConflicts>, Vec<u64>) {
        let own = self.cluster.config.node;
        let nodes = self.cluster.config.members.iter().map(|member| member.node);
        let asked = nodes.map(|node| async move {
            if node == own {
                return (node, Some(self.cluster.conflicts.account(conflicts_max as usize)));
            }
            let request = PeerRequest::Conflicts { conflicts_max };
            match self.cluster.peers.call(node, &request, deadline).await {
                Some(PeerReply::Conflicts(known)) => (node, Some(known)),
                _ => (node, None),
            }
        });
        let (mut known, mut silent) = (BTreeMap::new(), Vec::new());
        for (node, answer) in futures::future::join_all(asked).await {
            match answer {
                Some(answer) => drop(known.insert(node, answer)),
                None => silent.push(u64::from(node)),
            }
        }
        silent.sort_unstable();
        (known, silent)
    }
}
