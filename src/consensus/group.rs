//! One group on this node, as the server holds it.
//!
//! Why a handle: any number of tasks propose and read; what they share is two queues, served by
//! one task each (`proposer`, `reader`), and a watch on who leads.
//!
//! Invariant: nothing here waits for ever but `propose`, which waits for the group: a caller that
//! gives up must treat its command's outcome as unknown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal as RaftFatal;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::error::{ProposeError, ReadError, TransferError};
use crate::fatal::Fatal;
use crate::limits::Limits;
use crate::metrics::{GroupMetrics, Times};
use crate::proposer::{self, Proposal};
use crate::reader;
use crate::status::{self, LeaderHint, Leadership, Status};
use crate::types::{Raft, RaftId};

/// A command that is committed, and applied on this replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Of the log entry that carried it, beside others.
    pub index: u64,
    /// What the machine answered.
    pub reply: Bytes,
    /// What became of the time.
    pub times: Times,
}

/// A group of this node. Clones are the same group.
#[derive(Clone)]
pub struct GroupHandle {
    shared: Arc<Shared>,
}

struct Shared {
    group: u32,
    id: RaftId,
    raft: Raft,
    replica: vatic_store::Replica,
    limits: Arc<Limits>,
    proposals: mpsc::Sender<Proposal>,
    reads: mpsc::Sender<reader::Waiter>,
    leadership: watch::Receiver<Leadership>,
    stopping: Arc<AtomicBool>,
    tasks: Mutex<JoinSet<()>>,
}

impl GroupHandle {
    pub(crate) fn start(
        group: u32,
        id: RaftId,
        raft: Raft,
        replica: vatic_store::Replica,
        limits: Arc<Limits>,
        metrics: GroupMetrics,
        fatal: Fatal,
    ) -> Self {
        let (proposals, proposed) = mpsc::channel(limits.propose_queue_depth_max);
        let (reads, waiting) = mpsc::channel(limits.read_queue_depth_max);
        let (leads, leadership) = watch::channel(Leadership::default());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(proposer::run(raft.clone(), limits.clone(), metrics.node.clone(), proposed));
        tasks.spawn(reader::run(raft.clone(), limits.clone(), waiting));
        let stops = stopping.clone();
        let watched = Watched { group, raft: raft.clone(), stopping: stops, metrics, fatal };
        tasks.spawn(watched.run(leads));
        let tasks = Mutex::new(tasks);
        let shared = Shared {
            group,
            id,
            raft,
            replica,
            limits,
            proposals,
            reads,
            leadership,
            stopping,
            tasks,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn raft(&self) -> &Raft {
        &self.shared.raft
    }

    /// Where the snapshots that peers send are gathered.
    pub(crate) fn incoming(&self) -> std::path::PathBuf {
        self.shared.replica.snapshot_dir()
    }

    pub fn group(&self) -> u32 {
        self.shared.group
    }

    /// This replica's Raft id.
    pub fn id(&self) -> RaftId {
        self.shared.id
    }

    /// Replicates the command and applies it. Waits while the group's queue is full; a caller with
    /// a deadline must put it around this, and take the outcome as unknown when it passes.
    pub async fn propose(&self, command: Bytes) -> Result<Applied, ProposeError> {
        let limit_bytes = self.shared.limits.command_bytes_max;
        if command.len() > limit_bytes {
            let command_bytes = command.len();
            let limit = "command_bytes_max";
            return Err(ProposeError::TooLarge { limit, limit_bytes, command_bytes });
        }
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { command, reply, since: Instant::now() };
        self.shared.proposals.send(proposal).await.map_err(|_| ProposeError::Stopped)?;
        // Without an answer the group was stopped, perhaps after the command was written.
        answer.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// A linearizable read barrier: once it returns, the state here ([`Self::view`]) covers every
    /// write that was acknowledged before the call, by whichever leader. Only the leader answers.
    pub async fn read_index(&self) -> Result<(), ReadError> {
        let (waiter, answer) = oneshot::channel();
        self.shared.reads.send(waiter).await.map_err(|_| ReadError::Stopped)?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }

    /// The applied state of this replica, now. Linearizable only after [`Self::read_index`].
    pub fn view(&self) -> vatic_store::View {
        self.shared.replica.view()
    }

    /// The leader, as far as this replica knows.
    pub fn leader(&self) -> Option<RaftId> {
        self.leadership_now().leader
    }

    /// Where to send what only the leader answers; `None` where that is here, or not known.
    pub fn leader_hint(&self) -> Option<LeaderHint> {
        status::hint(&self.shared.raft.server_metrics().borrow_watched())
    }

    /// Whether this replica holds itself for the leader. A deposed leader may, for a while: only
    /// [`Self::read_index`] and [`Self::propose`] know.
    pub fn is_leader(&self) -> bool {
        self.leadership_now().local
    }

    pub fn leadership_now(&self) -> Leadership {
        status::leadership(&self.shared.raft.server_metrics().borrow_watched())
    }

    /// Tells of changes of the leader or the term. It ends when the group is closed.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    pub fn status(&self) -> Status {
        let flushed = self.shared.replica.flushed().map(|mark| mark.index);
        status::status(self.shared.group, &self.shared.raft, flushed)
    }

    /// Hands the leadership to the voter on `node`, and returns once that leads. Proposals are
    /// refused meanwhile. If it fails, the group elects.
    pub async fn transfer_leader(&self, node: u32) -> Result<(), TransferError> {
        let server = self.shared.raft.server_metrics().borrow_watched().clone();
        if !status::leadership(&server).local {
            return Err(TransferError::NotLeader { hint: status::hint(&server) });
        }
        let target = server.membership_config.voter_ids().find(|id| id.node() == node);
        let target = target.ok_or(TransferError::NotVoter { node })?;
        if target == self.shared.id {
            return Ok(());
        }
        let triggered = self.shared.raft.trigger().transfer_leader(target).await;
        triggered.map_err(|_| TransferError::Stopped)?;
        let deadline = Duration::from_millis(self.shared.limits.transfer_deadline_ms);
        let mut leadership = self.leadership();
        let led = leadership.wait_for(|now| now.leader == Some(target));
        match tokio::time::timeout(deadline, led).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_) => Err(TransferError::Deadline { node, deadline }),
        }
    }

    /// Hands the leadership, if it is here, to the voter that has most of the log.
    pub(crate) async fn hand_over(&self) -> Result<(), TransferError> {
        let status = self.status();
        let others = status.members.iter().filter(|member| member.voter && member.id != status.id);
        let best = others.max_by_key(|member| member.matched).map(|member| member.id.node());
        match best.filter(|_| status.leadership.local) {
            Some(node) => self.transfer_leader(node).await,
            None => Ok(()),
        }
    }

    /// Ends the group's Raft and tasks, without handing anything over.
    pub(crate) async fn close(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        if self.shared.raft.shutdown().await.is_err() {
            tracing::warn!(group = self.shared.group, "the group's core had ended already");
        }
        self.shared.tasks.lock().await.shutdown().await;
    }
}

/// Follows openraft's own account of a group.
struct Watched {
    group: u32,
    raft: Raft,
    stopping: Arc<AtomicBool>,
    metrics: GroupMetrics,
    fatal: Fatal,
}

impl Watched {
    /// Passes changes of leadership on; raises the alarm when Raft ends by itself.
    async fn run(self, leads: watch::Sender<Leadership>) {
        let mut server = self.raft.server_metrics();
        loop {
            let now = status::leadership(&server.borrow_and_update());
            leads.send_if_modified(|known| {
                let before = std::mem::replace(known, now);
                let to_a_leader = now.leader.is_some() && now.leader != before.leader;
                let terms = now.term.saturating_sub(before.term);
                self.metrics.leadership_changed(to_a_leader, terms);
                before != now
            });
            if server.changed().await.is_err() {
                break;
            }
        }
        if !self.stopping.load(Ordering::Acquire) {
            let state = self.raft.metrics().borrow_watched().running_state.clone();
            let reason = state.err().unwrap_or(RaftFatal::Panicked);
            self.fatal.raise(&format!("group {}: Raft has ended: {reason}", self.group));
        }
    }
}
