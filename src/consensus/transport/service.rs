//! The gRPC service that peers dial: checks the hello, then serves the lane.
//!
//! Why the checks: an address in an old configuration may belong to another cluster today, and a
//! newer build may speak a format that this one cannot read. Both must fail loudly at the door.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use vatic_proto::peer::v1::raft_service_server::RaftService;
use vatic_proto::peer::v1::{ExchangeRequest, ExchangeResponse, Hello, Lane};

use super::faults::Faults;
use super::registry::Registry;
use super::serve::serve_lane;
use crate::limits::Limits;

/// The version of the framing and the bodies.
pub(crate) const FORMAT: u32 = 1;

/// Messages that may wait for the connection's flow control.
const FEED_DEPTH: usize = 4;

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) cluster: Arc<str>,
    pub(crate) node: u32,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) faults: Faults,
    /// True once the node closes: lanes end then.
    pub(crate) closing: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl RaftService for Service {
    type ExchangeStream = Pin<Box<dyn Stream<Item = Result<ExchangeResponse, Status>> + Send>>;

    async fn exchange(
        &self,
        request: Request<Streaming<ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let mut inbound = request.into_inner();
        let deadline = Duration::from_millis(self.limits.connect_deadline_ms);
        let first = tokio::time::timeout(deadline, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no hello"))??
            .ok_or_else(|| Status::invalid_argument("no hello"))?;
        let hello = self.check(first)?;
        let (feed, messages) = mpsc::channel(FEED_DEPTH);
        let mut closing = self.closing.clone();
        let serving = serve_lane(self.clone(), hello.node, inbound, feed);
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => {}
                () = serving => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(messages))))
    }
}

impl Service {
    fn check(&self, first: ExchangeRequest) -> Result<Hello, Status> {
        if first.format != FORMAT {
            let found = first.format;
            let message = format!("format {found} is not known here, this build reads {FORMAT}");
            return Err(Status::failed_precondition(message));
        }
        let hello = first.hello.ok_or_else(|| Status::invalid_argument("no hello"))?;
        if hello.cluster != *self.cluster {
            let message = format!("this is cluster {:?}, not {:?}", self.cluster, hello.cluster);
            return Err(Status::failed_precondition(message));
        }
        if matches!(Lane::try_from(hello.lane), Ok(Lane::Unspecified) | Err(_)) {
            return Err(Status::invalid_argument("the hello names no lane"));
        }
        Ok(hello)
    }
}
