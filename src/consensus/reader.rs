//! Linearizable reads by ReadIndex, one round for all that wait.
//!
//! Why rounds: each asks a quorum whether this replica still leads; callers that came before a
//! round began can share it, those that came later need the next one, or they could miss a write
//! that was acknowledged in between.
//!
//! Invariants: no lease is trusted; a caller is answered only after the round that began after its
//! call, and after the state applied here covers that round's index.

use std::sync::Arc;
use std::time::Duration;

use openraft::LinearizerOption;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::sync::{mpsc, oneshot};

use crate::error::ReadError;
use crate::limits::Limits;
use crate::status::forwarded;
use crate::types::Raft;

pub(crate) type Waiter = oneshot::Sender<Result<(), ReadError>>;

/// Runs until every handle of the group is gone.
pub(crate) async fn run(raft: Raft, limits: Arc<Limits>, mut queue: mpsc::Receiver<Waiter>) {
    let deadline = Duration::from_millis(limits.read_deadline_ms);
    let mut waiters = Vec::new();
    while queue.recv_many(&mut waiters, limits.read_queue_depth_max).await > 0 {
        let result = round(&raft, deadline).await;
        for waiter in waiters.drain(..) {
            let _ = waiter.send(result.clone());
        }
    }
}

async fn round(raft: &Raft, deadline: Duration) -> Result<(), ReadError> {
    // An age of zero: only what a quorum acknowledges from now on counts.
    let confirm = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(deadline);
    let linearizer = raft.get_read_linearizer(confirm).await.map_err(|error| match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            ReadError::NotLeader { hint: forwarded(forward) }
        }
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
            ReadError::NoQuorum { deadline }
        }
        RaftError::Fatal(_) => ReadError::Stopped,
    })?;
    match linearizer.try_await_ready(raft, Some(deadline)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(ReadError::NoQuorum { deadline }),
        Err(_) => Err(ReadError::Stopped),
    }
}
