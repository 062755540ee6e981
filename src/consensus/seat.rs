//! One generation of a group's replica on this node: its Raft, its queues and their tasks.
//!
//! Why apart from the handle: a replica that is found to differ is replaced by the next generation,
//! and whoever holds the group's handle goes on with that, knowing nothing of it.
//!
//! Invariant: a seat that does not serve answers no read and no proposal, not even those that were
//! under way: what its machine said may be wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal as RaftFatal;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use vatic_sync::Flag;

use crate::error::{ProposeError, ReadError, TransferError};
use crate::fatal::Fatal;
use crate::group::Applied;
use crate::heard::Heard;
use crate::limits::Limits;
use crate::metrics::GroupMetrics;
use crate::proposer::{self, Pace, Proposal, Rank};
use crate::reader;
use crate::seeded::{Bug, planted};
use crate::status::{self, LeaderHint, Leadership, ServerMetrics};
use crate::transport::introduce::{Circle, Known, probe};
use crate::types::{Raft, RaftId};

pub(crate) struct Seat {
    pub(crate) id: RaftId,
    pub(crate) raft: Raft,
    pub(crate) replica: vatic_store::Replica,
    circle: Circle,
    limits: Arc<Limits>,
    metrics: GroupMetrics,
    proposals: mpsc::Sender<Proposal>,
    reads: mpsc::Sender<reader::Waiter>,
    serving: Arc<Flag>,
    stopping: Arc<Flag>,
    heard: Heard,
    tasks: Mutex<JoinSet<()>>,
}

impl Seat {
    pub(crate) fn start(
        circle: Circle,
        id: RaftId,
        raft: Raft,
        replica: vatic_store::Replica,
        limits: Arc<Limits>,
        metrics: GroupMetrics,
    ) -> Self {
        let (proposals, proposed) = mpsc::channel(limits.propose_queue_depth_max);
        let (reads, waiting) = mpsc::channel(limits.read_queue_depth_max);
        let mut tasks = JoinSet::new();
        let pace = Pace { limits: limits.clone(), round_trip: circle.round_trip.clone() };
        tasks.spawn(proposer::run(raft.clone(), pace, metrics.node.clone(), proposed));
        tasks.spawn(reader::run(raft.clone(), limits.clone(), waiting));
        Self {
            id,
            raft,
            replica,
            circle,
            limits,
            metrics,
            proposals,
            reads,
            serving: Arc::new(Flag::new(true)),
            stopping: Arc::new(Flag::new(false)),
            heard: Heard::default(),
            tasks: Mutex::new(tasks),
        }
    }

    /// Runs a task for as long as the seat is open.
    pub(crate) async fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().await.spawn(task);
    }

    /// Passes changes of leadership on, and raises the alarm when Raft ends by itself.
    pub(crate) async fn watch(&self, leads: Arc<watch::Sender<Leadership>>, fatal: Fatal) {
        let watched = Watched {
            group: self.circle.group,
            raft: self.raft.clone(),
            serving: self.serving.clone(),
            stopping: self.stopping.clone(),
            metrics: self.metrics.clone(),
            fatal,
        };
        self.spawn(watched.run(leads)).await;
    }

    pub(crate) async fn propose(
        &self,
        command: Bytes,
        rank: Rank,
    ) -> Result<Applied, ProposeError> {
        if !self.serves() {
            return Err(ProposeError::NotLeader { hint: self.leader_hint() });
        }
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { command, rank, reply, since: Instant::now() };
        self.proposals.send(proposal).await.map_err(|_| ProposeError::Stopped)?;
        // Without an answer the group was stopped, perhaps after the command was written.
        let answer = answer.await.unwrap_or(Err(ProposeError::Unknown));
        if self.serves() { answer } else { answer.and(Err(ProposeError::Unknown)) }
    }

    pub(crate) async fn read_index(&self) -> Result<(), ReadError> {
        if planted(Bug::ReadUnconfirmed) && self.leadership().local {
            return Ok(());
        }
        let (waiter, answer) = oneshot::channel();
        self.reads.send(waiter).await.map_err(|_| ReadError::Stopped)?;
        let answer = answer.await.unwrap_or(Err(ReadError::Stopped));
        if self.serves() { answer } else { Err(ReadError::NotLeader { hint: self.leader_hint() }) }
    }

    pub(crate) fn serves(&self) -> bool {
        self.serving.is_up()
    }

    /// What peers' messages are checked against, too.
    pub(crate) fn serving(&self) -> Arc<Flag> {
        self.serving.clone()
    }

    /// Serves nobody from now on, and leads no more than it must. Raft's duties go on.
    pub(crate) fn stop_serving(&self) {
        self.serving.set(false);
        self.raft.runtime_config().elect(false);
    }

    pub(crate) fn server(&self) -> ServerMetrics {
        self.raft.server_metrics().borrow_watched().clone()
    }

    pub(crate) fn leadership(&self) -> Leadership {
        status::leadership(&self.raft.server_metrics().borrow_watched(), self.serves())
    }

    pub(crate) fn leader_hint(&self) -> Option<LeaderHint> {
        status::hint(&self.raft.server_metrics().borrow_watched())
    }

    /// What peers' messages note when they come from the leader.
    pub(crate) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    /// The leader, unless there was silence for as long as an election waits at most.
    pub(crate) fn leader_heard(&self) -> Option<RaftId> {
        let leader = self.leadership().leader?;
        let leads = leader == self.id;
        let silence = if leads { self.quorum_silence() } else { self.heard.silence() };
        let bound = Duration::from_millis(self.limits.election_max_ms);
        silence.filter(|silence| *silence <= bound).map(|_| leader)
    }

    /// Of a leader: for how long nothing was sent that a quorum has answered.
    fn quorum_silence(&self) -> Option<Duration> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let alone = metrics.membership_config.voter_ids().eq([self.id]);
        if alone { Some(Duration::ZERO) } else { Some(metrics.last_quorum_acked?.elapsed()) }
    }

    pub(crate) async fn transfer_leader(
        &self,
        node: u32,
        mut leadership: watch::Receiver<Leadership>,
        fit: fn(&Known) -> bool,
    ) -> Result<(), TransferError> {
        let server = self.server();
        if server.current_leader != Some(self.id) {
            return Err(TransferError::NotLeader { hint: status::hint(&server) });
        }
        let voters = server.membership_config.voter_ids();
        let target = voters.filter(|id| id.node() == node).max_by_key(|id| id.generation());
        let target = target.ok_or(TransferError::NotVoter { node })?;
        if target == self.id {
            return Ok(());
        }
        // While it is handed over the leadership is nowhere: ask before, not after.
        let known = self.probe(node).await;
        if !known.as_ref().is_some_and(fit) {
            return Err(TransferError::Unfit { node });
        }
        let triggered = self.raft.trigger().transfer_leader(target).await;
        triggered.map_err(|_| TransferError::Stopped)?;
        let deadline = Duration::from_millis(self.limits.transfer_deadline_ms);
        let led = leadership.wait_for(|now| now.leader == Some(target));
        match tokio::time::timeout(deadline, led).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_) => Err(TransferError::Deadline { node, deadline }),
        }
    }

    /// What a peer says of its replica; `None` where it does not answer.
    pub(crate) async fn probe(&self, node: u32) -> Option<Known> {
        probe(&self.circle, node, self.id).await
    }

    /// Ends Raft and the tasks, without handing anything over.
    pub(crate) async fn close(&self) {
        self.stopping.set(true);
        if self.raft.shutdown().await.is_err() {
            tracing::warn!(group = self.circle.group, "the group's core had ended already");
        }
        self.tasks.lock().await.shutdown().await;
    }
}

/// Follows openraft's own account of a group.
struct Watched {
    group: u32,
    raft: Raft,
    serving: Arc<Flag>,
    stopping: Arc<Flag>,
    metrics: GroupMetrics,
    fatal: Fatal,
}

impl Watched {
    async fn run(self, leads: Arc<watch::Sender<Leadership>>) {
        let mut server = self.raft.server_metrics();
        loop {
            let serving = self.serving.is_up();
            let now = status::leadership(&server.borrow_and_update(), serving);
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
        if !self.stopping.is_up() {
            let state = self.raft.metrics().borrow_watched().running_state.clone();
            let reason = state.err().unwrap_or(RaftFatal::Panicked);
            self.fatal.raise(&format!("group {}: Raft has ended: {reason}", self.group));
        }
    }
}
