//! Large transactions: their transitions go to the participants ahead of the votes.
//!
//! A running transaction keeps up to `stage_chunk_bytes` for each group at the gateway; whatever
//! more comes is proposed there as a `Stage` entry and is in the group's state, on a majority, when
//! that returns. So a new leader lacks nothing, a vote never has to wait for transitions, and the
//! stream is slowed to what the groups take in.
//!
//! Invariant: what was staged is freed. The vote and every decision do it; a transaction that ends
//! before its seal does it here, as the first thing that its groups are told of it; and where this
//! node dies, the groups' sweeps do it.

use crate::{
    cluster::{CallError, Cluster},
    status::ApiError,
    time,
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::time::Instant;
use vatic_core::{
    command::{Command, Refusal, Reply},
    draft::Draft,
    id::{GroupId, Tid},
};

/// Where one running transaction has staged transitions.
pub(crate) struct Stager {
    cluster: Arc<Cluster>,
    tid: Option<Tid>,
    groups: BTreeSet<GroupId>,
}

impl Stager {
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Stager {
        Stager { cluster: cluster.clone(), tid: None, groups: BTreeSet::new() }
    }

    /// Stages what the draft holds for a group, once that is a chunk.
    pub(crate) async fn stage_chunk(
        &mut self,
        draft: &mut Draft,
        group: GroupId,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let transitions = draft.take_to_stage(group, self.cluster.config.limits.stage_chunk_bytes);
        let Some(tid) = draft.tid().filter(|_| !transitions.is_empty()) else { return Ok(()) };
        self.tid = Some(tid);
        self.groups.insert(group);
        let command = Command::Stage { tid, transitions };
        let applied = self.cluster.propose(group, command, deadline).await;
        // A stage takes effect once or not at all: that it got no answer loses nothing else.
        let applied = applied.map_err(|error| match error {
            CallError::NoLeader { group } => ApiError::NoLeader { group },
            refused => refused.into(),
        })?;
        match applied.reply {
            Reply::Refused(Refusal::StageFull { limit: max }) => {
                let actual = draft.seal().count;
                Err(ApiError::Limit { limit: "transitions_max", max, actual })
            }
            _ => Ok(()),
        }
    }

    /// Whether anything was staged.
    pub(crate) fn holds_some(&self) -> bool {
        self.tid.is_some()
    }

    /// The transaction is sealed: from here on votes and decisions free what was staged.
    pub(crate) fn sealed(mut self) {
        self.groups.clear();
    }
}

impl Drop for Stager {
    fn drop(&mut self) {
        let Some(tid) = self.tid else { return };
        for group in std::mem::take(&mut self.groups) {
            let cluster = self.cluster.clone();
            let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
            tokio::spawn(async move {
                let free = Command::Force { tid, body: None, participants: vec![group] };
                if let Err(error) = cluster.propose(group, free, deadline).await {
                    tracing::debug!(%tid, %group, %error, "a stage is left to the sweep");
                }
            });
        }
    }
}
