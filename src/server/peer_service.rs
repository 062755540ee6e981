//! Answers other nodes' questions, as the leader or by naming it.

use crate::{cluster::Cluster, time};
use std::sync::{Arc, OnceLock};
use tonic::{Request, Response, Status};
use vatic_core::codec;
use vatic_proto::peer::v1::{CallRequest, CallResponse, node_service_server::NodeService};

/// The service; it has no cluster until the node has opened its groups.
#[derive(Clone, Default)]
pub(crate) struct PeerService {
    pub(crate) cluster: Arc<OnceLock<Arc<Cluster>>>,
}

#[tonic::async_trait]
impl NodeService for PeerService {
    async fn call(&self, request: Request<CallRequest>) -> Result<Response<CallResponse>, Status> {
        let CallRequest { cluster: name, deadline_ms, body } = request.into_inner();
        let Some(cluster) = self.cluster.get() else {
            return Err(Status::unavailable("this node is opening its groups"));
        };
        if name != cluster.config.cluster {
            let own = &cluster.config.cluster;
            return Err(Status::permission_denied(format!("this is cluster {own}, not {name}")));
        }
        let request = codec::decode(&body)
            .map_err(|error| Status::invalid_argument(format!("peer request: {error}")))?;
        let deadline = time::deadline_in(u64::from(deadline_ms));
        let reply = cluster.serve(request, deadline).await;
        Ok(Response::new(CallResponse { body: codec::encode(&reply).into() }))
    }
}
