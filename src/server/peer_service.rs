//! Answers other nodes' questions, as the leader or by naming it.
//!
//! All questions of a stream run at once in one task; answers that are ready together share a
//! message. A stream that is dropped stops waiting and stops nothing that was proposed.

use crate::{cluster::Cluster, time};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use std::{
    future::poll_fn,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use vatic_core::codec;
use vatic_proto::peer::v1::{
    Answer, AskRequest, AskResponse, Question, node_service_server::NodeService,
};

/// Messages that may wait for the connection's flow control; more would only be smaller.
const OUT_MESSAGES: usize = 2;
/// Answers share a message up to this size.
const SHARED_BYTES_MAX: usize = 1 << 20;
/// Questions of one stream that may be unanswered before it is read no further.
const QUESTIONS_MAX: usize = 8_192;

/// The service; it has no cluster until the node has opened its groups.
#[derive(Clone, Default)]
pub(crate) struct PeerService {
    pub(crate) cluster: Arc<OnceLock<Arc<Cluster>>>,
}

#[tonic::async_trait]
impl NodeService for PeerService {
    type AskStream = ReceiverStream<Result<AskResponse, Status>>;

    async fn ask(
        &self,
        request: Request<Streaming<AskRequest>>,
    ) -> Result<Response<Self::AskStream>, Status> {
        let Some(cluster) = self.cluster.get().cloned() else {
            return Err(Status::unavailable("this node is opening its groups"));
        };
        let mut inbound = request.into_inner();
        let hello = inbound.message().await?.unwrap_or_default();
        if hello.cluster != cluster.config.cluster {
            let (own, name) = (&cluster.config.cluster, hello.cluster);
            return Err(Status::permission_denied(format!("this is cluster {own}, not {name}")));
        }
        let (out, answers) = mpsc::channel(OUT_MESSAGES);
        let asked = Asked { cluster, in_flight: FuturesUnordered::new(), ready: Vec::new() };
        tokio::spawn(async move {
            if let Err(status) = asked.run(inbound, &out).await {
                let _ = out.send(Err(status)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// One stream's questions.
struct Asked {
    cluster: Arc<Cluster>,
    in_flight: FuturesUnordered<BoxFuture<'static, Answer>>,
    ready: Vec<Answer>,
}

impl Asked {
    async fn run(
        mut self,
        mut inbound: Streaming<AskRequest>,
        out: &mpsc::Sender<Result<AskResponse, Status>>,
    ) -> Result<(), Status> {
        loop {
            let room = self.in_flight.len() + self.ready.len() < QUESTIONS_MAX;
            tokio::select! {
                biased;
                () = poll_fn(|cx| self.poll_gather(cx)), if !self.in_flight.is_empty() => {}
                message = inbound.message(), if room => match message? {
                    Some(message) => self.take(message)?,
                    None => return Ok(()),
                },
                permit = out.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => permit.send(Ok(self.response())),
                    Err(_) => return Ok(()),
                },
            }
        }
    }

    fn take(&mut self, message: AskRequest) -> Result<(), Status> {
        for Question { id, deadline_ms, body } in message.questions {
            let request = codec::decode(&body)
                .map_err(|error| Status::invalid_argument(format!("peer request: {error}")))?;
            let cluster = self.cluster.clone();
            let deadline = time::deadline_in(u64::from(deadline_ms));
            self.in_flight.push(Box::pin(async move {
                let reply = cluster.serve(request, deadline).await;
                Answer { id, body: codec::encode(&reply).into() }
            }));
        }
        Ok(())
    }

    /// Ready once something is answered; takes all that is.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let before = self.ready.len();
        while let Poll::Ready(Some(answer)) = self.in_flight.poll_next_unpin(cx) {
            self.ready.push(answer);
        }
        if self.ready.len() > before { Poll::Ready(()) } else { Poll::Pending }
    }

    /// As many answers as share a message; the rest stays.
    fn response(&mut self) -> AskResponse {
        let mut bytes = 0;
        let fits = self.ready.iter().take_while(|answer| {
            let before = bytes;
            bytes += answer.body.len();
            before == 0 || bytes <= SHARED_BYTES_MAX
        });
        let fits = fits.count();
        let rest = self.ready.split_off(fits);
        AskResponse { answers: std::mem::replace(&mut self.ready, rest) }
    }
}
