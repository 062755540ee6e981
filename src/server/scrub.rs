//! Reads what lies at rest, over and over: a value that nobody asks for must not rot unnoticed.
//!
//! Each replica here is read through, a chunk at a time, for a small share of one core. Damage sets
//! the replica aside; whoever asks it meanwhile for the damaged value itself stops the node.

use crate::{cluster::Cluster, divergence::Divergence};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use vatic_core::id::GroupId;
use vatic_store::{ReplicaId, Scrub, ScrubReport};

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

/// Reads one replica through, in the background.
async fn pass(cluster: &Arc<Cluster>, id: GroupId) {
    let Some((generation, mut scrub)) = begin(cluster, id) else { return };
    loop {
        let started = Instant::now();
        let stepped = tokio::task::spawn_blocking(move || {
            let more = scrub.step();
            (scrub, more)
        });
        // An error: the runtime is closing.
        let Ok((read, more)) = stepped.await else { return };
        scrub = read;
        if !sound(cluster, id, generation, scrub.report()) || !more {
            let ScrubReport { records, bytes, .. } = scrub.report();
            tracing::debug!(group = %id, records, bytes, "scrubbed");
            return;
        }
        tokio::time::sleep(started.elapsed() * (SHARE - 1)).await;
    }
}

/// Reads one replica through, at once: whether all of it is what was written. For whoever is about
/// to read all of it by a way that stops the node at damage.
pub(crate) async fn is_sound(cluster: &Arc<Cluster>, id: GroupId) -> bool {
    let Some((generation, mut scrub)) = begin(cluster, id) else { return false };
    let read = tokio::task::spawn_blocking(move || {
        while scrub.report().first_damage.is_none() && scrub.step() {}
        scrub
    });
    read.await.is_ok_and(|scrub| sound(cluster, id, generation, scrub.report()))
}

/// Of the present generation. `None` where that has just been deleted: asking for it would make it
/// anew.
fn begin(cluster: &Cluster, id: GroupId) -> Option<(u32, Scrub)> {
    let generation = cluster.groups[&id].id().generation();
    let replica = ReplicaId { group: id.0, generation };
    let held = cluster.store.replicas().contains(&replica);
    held.then(|| (generation, cluster.store.replica(replica).scrub()))
}

/// Sets a damaged replica aside, unless it was replaced meanwhile: the next generation has none of
/// its rows.
fn sound(cluster: &Arc<Cluster>, id: GroupId, generation: u32, report: &ScrubReport) -> bool {
    let Some(damage) = &report.first_damage else { return true };
    let index = cluster.groups[&id].view().mark().map_or(0, |mark| mark.index);
    cluster.set_aside(id, generation, Divergence { index, what: damage.to_string() });
    false
}
