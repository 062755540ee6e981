//! The far end of an append pipeline: hands appends to Raft in order, several in flight.
//!
//! Why through openraft's stream: it queues the next append while the one before waits for its
//! fsync, and still answers in order.
//!
//! Invariant: replies leave in the order of the requests; after the first that is not a success
//! the session has ended, and what follows on it is stale.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::{StreamExt, stream};
use openraft::raft::AppendEntriesRequest;
use tokio::sync::{mpsc, oneshot};
use vatic_proto::peer::v1::{Kind, ReplyStatus};

use super::registry::Target;
use super::serve::{Ticket, request};
use crate::codec;
use crate::types::{RaftId, Types};

/// Above the sender's window, so that a sender that keeps to it never finds the queue full.
const QUEUE_DEPTH: usize = 64;

/// One message of a session.
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
    pub(crate) ticket: Ticket,
}

/// The near end of a session: its number and its queue.
pub(crate) struct Session {
    pub(crate) id: u64,
    queue: mpsc::Sender<Step>,
}

impl Session {
    pub(crate) fn open(id: u64) -> (Self, mpsc::Receiver<Step>) {
        let (queue, steps) = mpsc::channel(QUEUE_DEPTH);
        (Self { id, queue }, steps)
    }

    pub(crate) fn append(id: u64, target: Arc<Target>, from: RaftId) -> Self {
        let (session, steps) = Self::open(id);
        tokio::spawn(run(target, from, steps));
        session
    }

    /// Gives the step back when the session has ended, or its sender exceeded the window.
    pub(crate) fn offer(&self, step: Step) -> Result<(), Step> {
        self.queue.try_send(step).map_err(|refused| refused.into_inner())
    }
}

/// Answers what was handed to a session that does not begin.
pub(crate) async fn refuse_all(mut steps: mpsc::Receiver<Step>, status: ReplyStatus) {
    steps.close();
    while let Some(step) = steps.recv().await {
        step.ticket.answer(Err(status)).await;
    }
}

async fn run(target: Arc<Target>, from: RaftId, steps: mpsc::Receiver<Step>) {
    if let Err(status) = target.meet(from).await {
        return refuse_all(steps, status).await;
    }
    // Dropped at the end, it ends the input too, and so closes the queue.
    let (_alive, ended) = oneshot::channel();
    let unanswered = Unanswered::default();
    let input = Input { steps, ended, unanswered: unanswered.clone() };
    let mut results = Box::pin(target.raft.stream_append(stream::unfold(input, next_append)));
    while let Some(result) = results.next().await {
        let ticket = unanswered.lock().unwrap_or_else(|p| p.into_inner()).pop_front();
        if matches!(result, Ok(Ok(_))) {
            target.heard.note();
        }
        let answer = match result {
            Ok(result) => Ok(codec::encode(&result)),
            Err(_) => Err(ReplyStatus::Stopped),
        };
        ticket.expect("a result answers an append").answer(answer).await;
    }
}

type Unanswered = Arc<Mutex<VecDeque<Ticket>>>;

struct Input {
    steps: mpsc::Receiver<Step>,
    ended: oneshot::Receiver<()>,
    unanswered: Unanswered,
}

/// The next append; one that cannot be read ends the session.
async fn next_append(mut input: Input) -> Option<(AppendEntriesRequest<Types>, Input)> {
    let step = tokio::select! {
        biased;
        _ = &mut input.ended => None,
        step = input.steps.recv() => step,
    }?;
    match request::<AppendEntriesRequest<Types>>(&step.body) {
        Ok(append) => {
            let mut unanswered = input.unanswered.lock().unwrap_or_else(|p| p.into_inner());
            unanswered.push_back(step.ticket);
            drop(unanswered);
            Some((append, input))
        }
        Err(status) => {
            step.ticket.answer(Err(status)).await;
            None
        }
    }
}
