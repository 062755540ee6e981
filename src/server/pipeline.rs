//! `Pipeline`: many operations on one stream.
//!
//! Why: a call of its own costs tonic and h2 more than most operations cost vatic. Here a message
//! carries what was ready together, both ways, and the reads of one message share a read index.
//! All of a stream runs in one task: an operation is a future in it, not a task of its own.
//!
//! Invariants: every operation taken is answered once, or its stream has ended; what waits for an
//! answer is bounded for each stream (it is read no further) and for the node (refused); a stream
//! that is dropped stops waiting for answers and stops nothing that was proposed.

use crate::{
    api::{self, Gateway},
    cluster::Cluster,
    operation::{Ended, Operations},
    oversize,
    status::ApiError,
};
use futures::{Stream as _, stream::FuturesUnordered};
use prost::Message;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use vatic_proto::v1::{
    OperationResult, PipelineRequest, PipelineResponse, pipeline_service_server::PipelineService,
};

/// Messages that may wait for the connection's flow control; more would only be smaller.
const OUT_MESSAGES: usize = 2;

type Out = mpsc::Sender<Result<PipelineResponse, Status>>;

#[tonic::async_trait]
impl PipelineService for Gateway {
    type PipelineStream = ReceiverStream<Result<PipelineResponse, Status>>;

    async fn pipeline(
        &self,
        request: Request<Streaming<PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let principal = api::principal(request.metadata())?;
        let (out, answers) = mpsc::channel(OUT_MESSAGES);
        let pipeline = Pipeline {
            operations: Operations { gateway: self.clone(), principal },
            in_flight: FuturesUnordered::new(),
            unanswered: 0,
            ready: Vec::new(),
        };
        tokio::spawn(async move {
            if let Err(error) = pipeline.run(request.into_inner(), &out).await {
                // A client that is gone needs no answer.
                let _ = out.send(Err(error.into())).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

struct Pipeline<F> {
    operations: Operations,
    in_flight: FuturesUnordered<F>,
    /// Operations in `in_flight`.
    unanswered: usize,
    ready: Vec<OperationResult>,
}

impl Pipeline<Pin<Box<dyn Future<Output = Ended> + Send>>> {
    async fn run(
        mut self,
        mut inbound: Streaming<PipelineRequest>,
        out: &Out,
    ) -> Result<(), ApiError> {
        let limits = &self.operations.gateway.cluster.config.limits;
        let max = limits.pipeline_stream_operations_max as usize;
        let message_bytes_max = limits.message_bytes_max as usize;
        let mut open = true;
        while open || self.unanswered > 0 || !self.ready.is_empty() {
            let room = open && self.unanswered + self.ready.len() < max;
            tokio::select! {
                biased;
                () = self.gather(), if self.unanswered > 0 => {}
                message = inbound.message(), if room => match message {
                    Ok(Some(message)) => self.take(message, max)?,
                    Ok(None) => open = false,
                    Err(status) => {
                        let max = message_bytes_max as u64;
                        let refused = oversize::error(status.code(), status.message(), max);
                        // None: the client is gone. What was proposed goes on in its own drivers.
                        return refused.map_or(Ok(()), Err);
                    }
                },
                permit = out.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => permit.send(Ok(response(&mut self.ready, message_bytes_max))),
                    Err(_) => return Ok(()),
                },
            }
        }
        Ok(())
    }

    /// Starts everything in the message.
    fn take(&mut self, message: PipelineRequest, max: usize) -> Result<(), ApiError> {
        let actual = message.operations.len();
        if actual > max {
            let limit = "pipeline_stream_operations_max";
            return Err(ApiError::Limit { limit, max: max as u64, actual: actual as u64 });
        }
        for started in self.operations.start(message.operations, &mut self.ready) {
            self.unanswered += started.count;
            self.in_flight.push(started.ended);
        }
        Ok(())
    }

    /// Waits until something is answered, then takes all that is.
    async fn gather(&mut self) {
        poll_fn(|cx| self.poll_gather(cx)).await;
    }

    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.ready.len();
        while let Poll::Ready(Some(ended)) = Pin::new(&mut self.in_flight).poll_next(cx) {
            self.unanswered -= ended.results.len() + ended.again.len();
            self.ready.extend(ended.results);
            for started in self.operations.alone(ended.again) {
                self.unanswered += started.count;
                self.in_flight.push(started.ended);
            }
        }
        if self.ready.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What is ready, up to the size of a message; the rest stays for the next one.
fn response(ready: &mut Vec<OperationResult>, bytes_max: usize) -> PipelineResponse {
    let mut bytes = 0;
    let fits = ready.iter().take_while(|result| {
        let before = bytes;
        bytes += result.encoded_len();
        before == 0 || bytes <= bytes_max
    });
    let fits = fits.count();
    let rest = ready.split_off(fits);
    PipelineResponse { results: std::mem::replace(ready, rest) }
}

/// Places among the operations that a node has in flight; freed when dropped.
pub(crate) struct Places {
    cluster: Arc<Cluster>,
    count: u64,
}

impl Places {
    /// No place yet.
    pub(crate) fn none(cluster: &Arc<Cluster>) -> Places {
        Places { cluster: cluster.clone(), count: 0 }
    }

    /// One more.
    pub(crate) fn take_one(&mut self) -> Result<(), ApiError> {
        let max = self.cluster.config.limits.pipeline_operations_max;
        let full = |_| ApiError::QueueFull { limit: "pipeline_operations_max", max };
        self.cluster.operations.enter(1, max).map_err(full)?;
        self.count += 1;
        Ok(())
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.cluster.operations.leave(self.count);
    }
}
