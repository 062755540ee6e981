//! Which node leads the group of a partition: computed from the ring, and from what nodes said.
//!
//! A hint, never a truth: a wrong one costs a hop, and the answer brings the right one.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use vatic_core::id::GroupId;
use vatic_core::ring::Ring;

use crate::cluster::Cluster;

#[derive(Debug)]
pub(crate) struct Leaders {
    ring: Option<Ring>,
    by_group: RwLock<HashMap<GroupId, Arc<str>>>,
}

impl Leaders {
    pub(crate) fn of(cluster: &Cluster) -> Leaders {
        let endpoint = |node: u64| {
            let member = cluster.members.iter().find(|member| member.node_id == node)?;
            let endpoint = member.client_endpoint.as_str();
            (!endpoint.is_empty()).then(|| Arc::from(endpoint))
        };
        let leaders = cluster.groups.iter().filter_map(|group| {
            let leader = group.leader.and_then(endpoint)?;
            Some((GroupId(group.group), leader))
        });
        let by_group = RwLock::new(leaders.collect());
        Leaders { ring: cluster.ring.clone().map(Ring::new), by_group }
    }

    pub(crate) fn group_of(&self, partition: &str) -> Option<GroupId> {
        self.ring.as_ref()?.group_of(partition)
    }

    pub(crate) fn leader_of(&self, group: Option<GroupId>) -> Option<Arc<str>> {
        self.by_group.read().expect("no panic under the lock").get(&group?).cloned()
    }

    pub(crate) fn learn(&self, group: GroupId, endpoint: &str) {
        let known = self.leader_of(Some(group));
        if endpoint.is_empty() || known.is_some_and(|known| *known == *endpoint) {
            return;
        }
        self.by_group.write().expect("no panic under the lock").insert(group, endpoint.into());
    }

    /// What was known proved wrong.
    pub(crate) fn forget(&self, group: Option<GroupId>) {
        if let Some(group) = group {
            self.by_group.write().expect("no panic under the lock").remove(&group);
        }
    }
}
