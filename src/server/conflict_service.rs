//! The conflict service: histories as their groups' leaders have them, and what each node learnt.

use crate::{
    api::{self, Gateway},
    conflict_watch, convert, explain,
    peer::{NodeLearnt, PeerFound, PeerRead, PeerReply, PeerRequest},
    status::ApiError,
    time,
};
use std::{cmp::Reverse, collections::BTreeMap};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use vatic_core::{
    command::{Command, MetaCommand, Reply},
    id::GroupId,
};
use vatic_proto::v1::{self, conflict_service_server::ConflictService};

const CONFLICTS_MAX: u32 = 1_000;
const CONFLICTS_UNASKED: u32 = 100;

#[tonic::async_trait]
impl ConflictService for Gateway {
    type WatchConflictsStream = ReceiverStream<Result<v1::WatchConflictsResponse, Status>>;

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
        let filter = convert::filter(key, transaction_id)?;
        // One group that has no leader is not to cost what the others tell.
        let patience_ms = self.cluster.config.limits.propose_deadline_ms;
        let deadline = deadline.min(time::deadline_in(patience_ms));
        let asked = (1..=self.cluster.config.groups).map(GroupId).map(|group| {
            let read = PeerRead::Conflicts(filter.clone(), u64::from(limit));
            async move { (group, self.cluster.read(group, read, deadline).await) }
        });
        let (mut conflicts, mut unreachable_groups) = (Vec::new(), Vec::new());
        for (group, found) in futures::future::join_all(asked).await {
            let Ok(PeerFound::Conflicts(rows)) = found else {
                unreachable_groups.push(group.0);
                continue;
            };
            let told = rows.iter().filter_map(|(at, row)| convert::conflict(group, *at, row));
            conflicts.extend(told);
        }
        conflicts.sort_by_key(|met| Reverse((met.at_unix_us, met.group, met.place)));
        conflicts.truncate(limit as usize);
        Ok(Response::new(v1::ListConflictsResponse { conflicts, unreachable_groups }))
    }

    async fn watch_conflicts(
        &self,
        request: Request<v1::WatchConflictsRequest>,
    ) -> Result<Response<Self::WatchConflictsStream>, Status> {
        let answers = conflict_watch::start(self, request.into_inner())?;
        Ok(Response::new(ReceiverStream::new(answers)))
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
        let (known, unreachable_nodes) = self.learnt(deadline).await;
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
    /// What all nodes learnt, and who did not answer.
    async fn learnt(&self, deadline: Instant) -> (BTreeMap<u32, NodeLearnt>, Vec<u64>) {
        let own = self.cluster.config.node;
        let nodes = self.cluster.config.members.iter().map(|member| member.node);
        let asked = nodes.map(|node| async move {
            if node == own {
                return (node, Some(self.cluster.learnt()));
            }
            match self.cluster.peers.call(node, &PeerRequest::Learnt, deadline).await {
                Some(PeerReply::Learnt(known)) => (node, Some(known)),
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
