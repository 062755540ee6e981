//! How a replica comes to take part in its group, and learns that it no longer may.
//!
//! A replica that is new asks every other founding member whether its id took part before. If all
//! have said no, it notes its generation, and takes part. If one says yes, this node's disk was
//! replaced, or set back: the replica takes part in nothing, and says as which generation the node
//! may come back. A replica of such a later generation asks to be taken in until it is a voter.
//!
//! Why all of the others, not a quorum: whom a lost replica voted for is known to nobody but that
//! one. So the first start of a group needs every founding member once; later starts need nobody.
//!
//! Invariant: before it has its answers a replica is not in the registry, so that no message of
//! Raft reaches it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{InitializeError, RaftError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::change::{self, Step, next_step};
use crate::fatal::Fatal;
use crate::limits::Limits;
use crate::standing::Standing;
use crate::transport::introduce::{Circle, Known, join, probe};
use crate::transport::registry::{Registry, Target};
use crate::types::{Place, Raft, RaftId};

/// The first membership, where this replica is the one that writes it.
pub(crate) type Founding = Option<BTreeMap<RaftId, Place>>;

pub(crate) enum Way {
    /// It took part before the restart.
    Resume(Founding),
    Ask(Founding),
    /// A later generation than the founding one.
    Join,
}

/// What a replica needs on its way in.
pub(crate) struct Entry {
    pub(crate) circle: Circle,
    pub(crate) id: RaftId,
    pub(crate) raft: Raft,
    /// The other nodes that may hold a replica.
    pub(crate) others: BTreeSet<u32>,
    /// Where this node listens for peers.
    pub(crate) address: String,
    pub(crate) limits: Arc<Limits>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) target: Target,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) fatal: Fatal,
}

impl Entry {
    /// Until the replica is closed.
    pub(crate) async fn run(self, way: Way) {
        let mut joined = !matches!(way, Way::Join);
        let founding = match way {
            Way::Ask(founding) => {
                if let Err(next_generation) = self.ask().await {
                    return self.displace(next_generation);
                }
                // On disk before anybody can bind this replica: its next start must not ask again.
                if let Err(error) = self.circle.notes.set_own(self.id.generation()).await {
                    return self.failed("noting the generation", &error);
                }
                founding
            }
            Way::Resume(founding) => founding,
            Way::Join => None,
        };
        self.registry.insert(self.circle.group, self.id, self.target.clone());
        if let Some(members) = founding {
            self.found(members).await;
        }
        self.stand(if joined { Standing::Member } else { Standing::Joining });
        loop {
            tokio::select! {
                biased;
                () = self.circle.gone.notified() => {
                    if let Some(next_generation) = self.replaced().await {
                        self.registry.remove(self.circle.group, self.id);
                        return self.displace(next_generation);
                    }
                }
                () = self.join(), if !joined => {
                    joined = true;
                    self.stand(Standing::Member);
                }
            }
        }
    }

    /// Returns once all others have said that this id is new to them; the error is the generation
    /// as which the node may come back instead.
    async fn ask(&self) -> Result<(), u32> {
        let own = self.id.generation();
        let mut silent = self.others.clone();
        let mut next_report = Instant::now() + REPORT_EVERY;
        loop {
            let known = self.known_by(&silent).await;
            if known.iter().any(|(_, known)| known.met >= own || known.listed > own) {
                return Err(self.next_generation().await);
            }
            silent.retain(|node| known.iter().all(|(answered, _)| answered != node));
            if silent.is_empty() {
                return Ok(());
            }
            if Instant::now() > next_report {
                let (group, id) = (self.circle.group, self.id);
                tracing::warn!(group, %id, ?silent, "a new replica waits to hear from nodes");
                next_report = Instant::now() + REPORT_EVERY;
            }
            self.pause().await;
        }
    }

    /// One more than the latest that any node knows. Only a leader is sure to know every generation
    /// that ever counted: it waits for one.
    async fn next_generation(&self) -> u32 {
        loop {
            let known = self.known_by(&self.others).await;
            if known.iter().any(|(_, known)| known.leads) {
                let latest = known.iter().map(|(_, known)| known.met.max(known.listed)).max();
                return latest.unwrap_or(0).max(self.id.generation()).saturating_add(1);
            }
            self.pause().await;
        }
    }

    /// A peer says that this id is gone: it is, if the leader lists a later one.
    async fn replaced(&self) -> Option<u32> {
        let known = self.known_by(&self.others).await;
        let (_, leader) = known.iter().find(|(_, known)| known.leads)?;
        (leader.listed > self.id.generation()).then_some(leader.listed + 1)
    }

    async fn known_by(&self, nodes: &BTreeSet<u32>) -> Vec<(u32, Known)> {
        let asked = nodes
            .iter()
            .map(|node| async { Some((*node, probe(&self.circle, *node, self.id).await?)) });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Writes the first membership, unless the group has one.
    async fn found(&self, members: BTreeMap<RaftId, Place>) {
        if matches!(self.raft.is_initialized().await, Ok(true) | Err(_)) {
            return;
        }
        match self.raft.initialize(members).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {}
            // The core's end is told by who watches it.
            Err(RaftError::Fatal(_)) => {}
            Err(error) => self.failed("founding the group", &error),
        }
    }

    /// Until this replica is a voter in its predecessors' place. Who leads may change in the middle
    /// of it, also to this replica; so the leader is asked again and again.
    async fn join(&self) {
        let mut metrics = self.raft.server_metrics();
        loop {
            let server = metrics.borrow_and_update().clone();
            let members = server.committed_membership_config;
            if next_step(members.membership(), self.id) == Step::Done {
                return;
            }
            let known = members.nodes().map(|(id, _)| id.node()).chain(self.others.iter().copied());
            let nodes: BTreeSet<u32> = known.filter(|node| *node != self.id.node()).collect();
            if server.current_leader == Some(self.id) {
                // It was elected in the joint membership. What fails is tried again.
                let _ = change::replace(&self.raft, &self.limits, self.id, &self.address).await;
            } else {
                join(&self.circle, &nodes, self.id, &self.address).await;
            }
            let pause = Duration::from_millis(self.limits.join_interval_ms);
            if let Ok(Err(_)) = tokio::time::timeout(pause, metrics.changed()).await {
                // The core has ended, and soon this task.
                std::future::pending::<()>().await;
            }
        }
    }

    fn stand(&self, standing: Standing) {
        self.standing.send_if_modified(|now| {
            let stays = *now == Standing::Quarantined;
            if !stays {
                *now = standing;
            }
            !stays
        });
    }

    fn displace(&self, next_generation: u32) {
        let (group, id) = (self.circle.group, self.id);
        tracing::warn!(group, %id, next_generation, "this replica's id took part before");
        self.standing.send_replace(Standing::Displaced { next_generation });
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(self.limits.reconnect_min_ms)).await;
    }

    fn failed(&self, doing: &str, error: &dyn std::fmt::Display) {
        self.fatal.raise(&format!("group {}: {doing}: {error}", self.circle.group));
    }
}

const REPORT_EVERY: Duration = Duration::from_secs(5);
