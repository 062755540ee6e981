//! The replicas of this node that peers can reach.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use vatic_proto::peer::v1::ReplyStatus;
use vatic_sync::{Flag, Level};

use crate::group::GroupHandle;
use crate::heard::Heard;
use crate::metrics::Metrics;
use crate::notes::Notes;
use crate::seeded::{Bug, planted};
use crate::types::{Raft, RaftId};

#[derive(Default)]
pub(crate) struct Registry {
    replicas: RwLock<BTreeMap<(u32, RaftId), Arc<Target>>>,
    /// Who answers for a group where no replica of it takes part yet.
    groups: RwLock<BTreeMap<u32, GroupHandle>>,
}

/// What a message to a replica is handed to.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) raft: Raft,
    /// Of the replica, for file names.
    pub(crate) name: String,
    /// What a snapshot that a peer sends is prepared for.
    pub(crate) replica: vatic_store::Replica,
    /// What says which entries are on disk.
    pub(crate) log: vatic_log::ReplicaLog,
    /// How long what a peer waits for may wait for the disk.
    pub(crate) fsync_deadline_ms: u64,
    /// Numbers the transfers of snapshots to here: the sender's numbers begin again with its
    /// process.
    pub(crate) transfers: Arc<Level>,
    /// Held from a snapshot being prepared to its being installed: of two that are prepared at once
    /// the second would find that the first has replaced what it was to replace.
    pub(crate) installs: Arc<tokio::sync::Mutex<()>>,
    pub(crate) metrics: Metrics,
    /// False: it must not be made the leader.
    pub(crate) serving: Arc<Flag>,
    /// Of its leader.
    pub(crate) heard: Heard,
    /// Of the group.
    pub(crate) notes: Arc<Notes>,
}

impl Target {
    /// Notes that a peer's replica is there, before it is answered. By the answer what it did is
    /// counted, its vote for itself or its own entries, and that binds it: should it lose its disk,
    /// somebody must know it. Those whom it spoke to may be all who ever heard of it.
    pub(crate) async fn meet(&self, peer: RaftId) -> Result<(), ReplyStatus> {
        let met = self.notes.met(peer.node()) >= peer.generation();
        if met || planted(Bug::AnsweredUnmet) {
            return Ok(());
        }
        let within = Duration::from_millis(self.fsync_deadline_ms);
        let noted = tokio::time::timeout(within, self.notes.meet(peer)).await;
        noted.ok().and_then(Result::ok).ok_or(ReplyStatus::Stopped)
    }
}

impl Registry {
    pub(crate) fn insert(&self, group: u32, id: RaftId, target: Target) {
        let mut replicas = self.replicas.write().unwrap_or_else(|p| p.into_inner());
        replicas.insert((group, id), Arc::new(target));
    }

    pub(crate) fn remove(&self, group: u32, id: RaftId) {
        self.replicas.write().unwrap_or_else(|p| p.into_inner()).remove(&(group, id));
    }

    pub(crate) fn insert_group(&self, handle: GroupHandle) {
        let mut groups = self.groups.write().unwrap_or_else(|p| p.into_inner());
        groups.insert(handle.group(), handle);
    }

    pub(crate) fn group(&self, group: u32) -> Option<GroupHandle> {
        self.groups.read().unwrap_or_else(|p| p.into_inner()).get(&group).cloned()
    }

    pub(crate) fn clear(&self) {
        self.replicas.write().unwrap_or_else(|p| p.into_inner()).clear();
        self.groups.write().unwrap_or_else(|p| p.into_inner()).clear();
    }

    pub(crate) fn find(&self, group: u32, id: RaftId) -> Option<Arc<Target>> {
        self.replicas.read().unwrap_or_else(|p| p.into_inner()).get(&(group, id)).cloned()
    }
}
