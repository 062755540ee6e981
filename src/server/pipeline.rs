//! `Pipeline`: many operations on one stream.
//!
//! Why: a call of its own costs tonic and h2 more than most operations cost vatic. Here a message
//! carries what was ready together, both ways, and the reads of one message share a read index.
//! All of a stream runs in one task: an operation is a future in it, not a task of its own.
//!
//! Invariants: every operation taken is answered once, or its stream has ended; what waits for an
//! answer is bounded for each stream (it is read no further) and for the node (refused), and so are
//! the bytes of reads that wait to be taken; a stream that is dropped, or of which the client takes
//! nothing between two looks, `stream_age_max_ms` apart, stops waiting for answers and stops
//! nothing that was proposed.

use crate::{
    api::{self, Gateway},
    cluster::Cluster,
    held::{self, Handed, Held, Out},
    operation::{Answered, Ended, Operations},
    oversize,
    status::ApiError,
    time,
};
use futures::{Stream as _, stream::FuturesUnordered};
use prost::Message;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tonic::{Request, Response, Status, Streaming};
use vatic_proto::v1::{
    PipelineRequest, PipelineResponse, pipeline_service_server::PipelineService,
};

/// Messages that may wait for the connection's flow control; more would only be smaller.
const OUT_MESSAGES: usize = 2;

#[tonic::async_trait]
impl PipelineService for Gateway {
    type PipelineStream = Handed<PipelineResponse>;

    async fn pipeline(
        &self,
        request: Request<Streaming<PipelineRequest>>,
    ) -> Result<Response<Self::PipelineStream>, Status> {
        let principal = api::principal(request.metadata())?;
        let (out, answers) = held::channel(OUT_MESSAGES);
        let age_max_ms = self.cluster.config.limits.stream_age_max_ms;
        let pipeline = Pipeline {
            operations: Operations { gateway: self.clone(), principal },
            in_flight: FuturesUnordered::new(),
            unanswered: 0,
            ready: Vec::new(),
        };
        tokio::spawn(async move {
            if let Err(error) = pipeline.run(request.into_inner(), &out).await {
                out.fail(error);
            }
            out.end(time::deadline_in(age_max_ms), None).await;
        });
        Ok(Response::new(answers))
    }
}

struct Pipeline<F> {
    operations: Operations,
    in_flight: FuturesUnordered<F>,
    /// Operations in `in_flight`.
    unanswered: usize,
    ready: Vec<Answered>,
}

impl Pipeline<Pin<Box<dyn Future<Output = Ended> + Send>>> {
    async fn run(
        mut self,
        mut inbound: Streaming<PipelineRequest>,
        out: &Out<PipelineResponse>,
    ) -> Result<(), ApiError> {
        let limits = &self.operations.gateway.cluster.config.limits;
        let max = limits.pipeline_stream_operations_max as usize;
        let message_bytes_max = limits.message_bytes_max as usize;
        let pause = Duration::from_millis(limits.stream_age_max_ms.max(1));
        let mut looks = interval_at(Instant::now() + pause, pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut open, mut moves) = (true, false);
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
                    Ok(permit) => {
                        let (message, held) = response(&mut self.ready, message_bytes_max);
                        permit.send((Ok(message), held));
                        moves = true;
                    }
                    Err(_) => return Ok(()),
                },
                _ = looks.tick() => {
                    if out.waits() && !moves {
                        // Who was not answered asks again, as where a connection breaks.
                        return Ok(());
                    }
                    moves = false;
                }
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
            self.unanswered -= ended.answered.len() + ended.again.len();
            self.ready.extend(ended.answered);
            for started in self.operations.alone(ended.again) {
                self.unanswered += started.count;
                self.in_flight.push(started.ended);
            }
        }
        if self.ready.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What is ready, up to the size of a message, with all that it holds; the rest stays for the next
/// one.
fn response(ready: &mut Vec<Answered>, bytes_max: usize) -> (PipelineResponse, Option<Held>) {
    let mut bytes = 0;
    let fits = ready.iter().take_while(|answered| {
        let before = bytes;
        bytes += answered.result.encoded_len();
        before == 0 || bytes <= bytes_max
    });
    let fits = fits.count();
    let rest = ready.split_off(fits);
    let mut all: Option<Held> = None;
    let results = std::mem::replace(ready, rest).into_iter().map(|Answered { result, held }| {
        match (&mut all, held) {
            (Some(all), Some(held)) => all.join(held),
            (_, held) => all = held.or(all.take()),
        }
        result
    });
    let results = results.collect();
    (PipelineResponse { results }, all)
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
