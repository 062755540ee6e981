//! Deletes what earlier generations of a replica left behind.
//!
//! Why only once the membership has them no more: until then the new replica is not yet what the
//! old one was, and whoever must mend the group by hand may want the old log.
//!
//! Invariant: it may end anywhere and begin again: what there is to delete is what log and store
//! still name.

use std::collections::BTreeSet;
use std::sync::Arc;

use fail::fail_point;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::oneshot;
use vatic_log::Log;
use vatic_store::Store;

use crate::change::{Step, next_step};
use crate::types::{Raft, RaftId};

pub(crate) struct Retire {
    pub(crate) log: Arc<Log>,
    pub(crate) store: Store,
    pub(crate) group: u32,
    pub(crate) id: RaftId,
    pub(crate) raft: Raft,
}

impl Retire {
    pub(crate) async fn run(self) {
        if self.leftovers().is_empty() {
            return;
        }
        let mut server = self.raft.server_metrics();
        loop {
            let members = server.borrow_and_update().committed_membership_config.clone();
            if next_step(members.membership(), self.id) == Step::Done {
                break;
            }
            if server.changed().await.is_err() {
                return;
            }
        }
        for generation in self.leftovers() {
            fail_point!("consensus::retire");
            self.delete(generation).await;
        }
    }

    fn leftovers(&self) -> BTreeSet<u32> {
        let in_log = self.log.replicas().into_iter().map(|id| (id.group, id.generation));
        let in_store = self.store.replicas().into_iter().map(|id| (id.group, id.generation));
        let earlier = |(group, generation): &(u32, u32)| {
            *group == self.group && *generation < self.id.generation()
        };
        in_log.chain(in_store).filter(earlier).map(|(_, generation)| generation).collect()
    }

    async fn delete(&self, generation: u32) {
        let group = self.group;
        tracing::info!(group, generation, "an earlier replica is deleted");
        let store = self.store.clone();
        let removing = move || store.remove_replica(vatic_store::ReplicaId { group, generation });
        // Errors: the node is ending, and the next start finds the rest.
        let _ = tokio::task::spawn_blocking(removing).await;
        let (done, answer) = oneshot::channel();
        let id = vatic_log::ReplicaId { group, generation };
        self.log.remove_replica(id, move |result| drop(done.send(result)));
        let _ = answer.await;
    }
}
