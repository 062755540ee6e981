//! What became of tickets is kept for a while, and deleted then by whoever leads their group.

use super::{ATTEMPT_MS, LOOKED_MAX, RESOLVED_KEPT_MS, SWEEP_MS};
use crate::{api::Gateway, peer::Origin, time};
use std::time::Duration;
use tokio::task::JoinSet;
use vatic_consensus::GroupHandle;
use vatic_core::{
    codec,
    delta::{Delta, Op},
    group::Group,
    id::GroupId,
    rules::Rules,
    ticket,
};
use vatic_proto::v1::outcome::State;

/// Starts one sweep for each data group here; it works while this node leads.
pub(crate) fn start(gateway: &Gateway, tasks: &mut JoinSet<()>) {
    let groups = gateway.cluster.groups.iter();
    for (&id, handle) in groups.filter(|(id, _)| **id != GroupId::META) {
        tasks.spawn(Sweep { gateway: gateway.clone(), id, handle: handle.clone() }.run());
    }
}

struct Sweep {
    gateway: Gateway,
    id: GroupId,
    handle: GroupHandle,
}

impl Sweep {
    async fn run(self) {
        loop {
            tokio::time::sleep(Duration::from_millis(SWEEP_MS)).await;
            while self.leads() && self.delete_some().await {}
        }
    }

    fn leads(&self) -> bool {
        let cluster = &self.gateway.cluster;
        self.handle.is_leader() && !cluster.set_aside.contains(self.id) && !cluster.is_draining()
    }

    /// Whether more may be left than one transaction deletes.
    async fn delete_some(&self) -> bool {
        let Some(ring) = self.gateway.cluster.ring() else { return false };
        let range = ticket::resolved_range(&ticket::partition_of(&ring, self.id));
        let old = time::before_now(RESOLVED_KEPT_MS);
        let (deltas, more) = {
            let view = self.handle.view();
            let group = Group::of_view(self.id, &view, Rules::default());
            let found = group.peek_range(&view, &range, LOOKED_MAX as usize).0;
            let gone = found.records.into_iter().filter(|record| record.version < old);
            let delete = |key| codec::encode(&Delta { key, op: Op::Delete });
            (gone.map(|record| delete(record.key)).collect::<Vec<_>>(), found.more)
        };
        if deltas.is_empty() {
            return false;
        }
        let ends = time::deadline_in(ATTEMPT_MS);
        // What is not deleted now is found again.
        let deleted = self.gateway.transact(deltas, Origin::default(), ends).await;
        more && deleted.is_ok_and(|outcome| outcome.state() == State::Committed)
    }
}
