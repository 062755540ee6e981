//! The replicas of this node that peers can reach.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use crate::types::{Raft, RaftId};

#[derive(Default)]
pub(crate) struct Registry {
    replicas: RwLock<HashMap<(u32, RaftId), Arc<Target>>>,
}

/// What a message to a replica is handed to.
pub(crate) struct Target {
    pub(crate) raft: Raft,
    /// Of the replica, for file names.
    pub(crate) name: String,
    /// Where the snapshots that peers send are gathered.
    pub(crate) incoming: PathBuf,
}

impl Registry {
    pub(crate) fn insert(&self, group: u32, id: RaftId, target: Target) {
        let mut replicas = self.replicas.write().unwrap_or_else(|p| p.into_inner());
        replicas.insert((group, id), Arc::new(target));
    }

    pub(crate) fn clear(&self) {
        self.replicas.write().unwrap_or_else(|p| p.into_inner()).clear();
    }

    pub(crate) fn find(&self, group: u32, id: RaftId) -> Option<Arc<Target>> {
        self.replicas.read().unwrap_or_else(|p| p.into_inner()).get(&(group, id)).cloned()
    }
}
