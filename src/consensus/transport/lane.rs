//! The near end of a lane: a bounded queue of requests, each with a slot for its reply.
//!
//! Why a full queue fails at once: openraft backs off from an unreachable peer and sends the
//! newest state later; a queue that waited would deliver old heartbeats and votes late.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use vatic_proto::peer::v1::{Envelope, ReplyStatus};

/// Why a request has no answer. To openraft each is `Unreachable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    #[error("the queue to this peer is full")]
    Full,
    #[error("no connection to this peer")]
    Disconnected,
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    #[error("the peer answered {0:?}")]
    Refused(ReplyStatus),
    #[error("the peer's answer cannot be read")]
    BadReply,
}

pub(crate) type ReplyResult = Result<Bytes, SendError>;

/// A request under way. Its sequence number is given on the stream.
pub(crate) struct Outgoing {
    pub(crate) envelope: Envelope,
    pub(crate) reply: oneshot::Sender<ReplyResult>,
}

#[derive(Clone)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Outgoing>,
}

impl Lane {
    pub(crate) fn new(depth_max: usize) -> (Self, mpsc::Receiver<Outgoing>) {
        let (queue, requests) = mpsc::channel(depth_max);
        (Self { queue }, requests)
    }

    /// Queues the request now, in order; the answer comes through the future.
    pub(crate) fn send(&self, envelope: Envelope) -> Result<PendingReply, SendError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Outgoing { envelope, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Disconnected,
        })?;
        Ok(PendingReply(answer))
    }

    pub(crate) async fn call(&self, envelope: Envelope, deadline: Duration) -> ReplyResult {
        let answer = self.send(envelope)?;
        tokio::time::timeout(deadline, answer).await.unwrap_or(Err(SendError::Deadline(deadline)))
    }
}

/// Resolves when the peer answers, or when the connection is lost.
pub(crate) struct PendingReply(oneshot::Receiver<ReplyResult>);

impl Future for PendingReply {
    type Output = ReplyResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ReplyResult> {
        let answered = Pin::new(&mut self.0).poll(cx);
        answered.map(|answer| answer.unwrap_or(Err(SendError::Disconnected)))
    }
}
