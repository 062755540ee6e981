//! Reads what lies at rest, over and over: a value that nobody asks for must not rot unnoticed.
//!
//! Each replica here is read through, a chunk at a time, for a small share of one core. Damage sets
//! the replica aside; whoever asks it meanwhile for the damaged value itself stops the node.

use crate::{cluster::Cluster, divergence::Divergence};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use vatic_core::id::GroupId;
use vatic_store::{ReplicaId, ScrubReport};

/// Of the time that a pass takes, what is spent reading: one in so many.
const SHARE: u32 = 10;

/// Starts one task for each group here.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    for &id in cluster.groups.keys() {
        let cluster = cluster.clone();
        tasks.spawn(async move {
            let interval = Duration::from_millis(cluster.config.limits.scrub_interval_ms);
            loop {
                if !cluster.set_aside.contains(id) {
                    pass(&cluster, id).await;
                }
                tokio::time::sleep(interval).await;
            }
        });
    }
}

/// Reads one replica through.
async fn pass(cluster: &Arc<Cluster>, id: GroupId) {
    let status = cluster.groups[&id].status();
    let replica = ReplicaId { group: id.0, generation: status.id.generation() };
    let mut scrub = cluster.store.replica(replica).scrub();
    loop {
        let started = Instant::now();
        let stepped = tokio::task::spawn_blocking(move || {
            let more = scrub.step();
            (scrub, more)
        });
        // An error: the runtime is closing.
        let Ok((read, more)) = stepped.await else { return };
        scrub = read;
        if let ScrubReport { first_damage: Some(damage), .. } = scrub.report() {
            let index = cluster.groups[&id].view().mark().map_or(0, |mark| mark.index);
            cluster.set_aside(id, Divergence { index, what: damage.to_string() });
            return;
        }
        if !more {
            let ScrubReport { records, bytes, .. } = scrub.report();
            tracing::debug!(group = %id, records, bytes, "scrubbed");
            return;
        }
        tokio::time::sleep(started.elapsed() * (SHARE - 1)).await;
    }
}
