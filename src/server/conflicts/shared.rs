//! Models of all nodes: group 0's leader publishes what it learnt, and every node looks at what
//! there is and weighs it against its own.

use crate::{
    cluster::Cluster,
    peer::{PeerFound, PeerRead},
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use vatic_core::{
    command::{Command, MetaCommand},
    id::GroupId,
    shelf::Shelf,
};
use vatic_learn::conflict::Offered;

/// Between two models that one leader publishes.
const PUBLISH_EVERY: Duration = Duration::from_secs(10);

/// What this node knows of the shared models.
#[derive(Default)]
pub(super) struct Sharing {
    /// The shelf by which it was offered one last.
    seen: Shelf,
    /// The labels behind the newest one.
    newest_labels: u64,
    /// The version of its own that it published last, and when.
    published: Option<(u64, Instant)>,
}

/// Takes what group 0 has, and gives it what this node learnt, if it leads there.
pub(crate) async fn follow(cluster: &Arc<Cluster>, shelf: Shelf, deadline: Instant) {
    let seen = cluster.conflicts.sharing(|sharing| sharing.seen);
    if seen != shelf {
        adopt(cluster, shelf, deadline).await;
    }
    if cluster.led_here(GroupId::META).is_some() {
        publish(cluster, deadline).await;
    }
}

async fn adopt(cluster: &Arc<Cluster>, shelf: Shelf, deadline: Instant) {
    let read = PeerRead::Model(shelf.in_force());
    let found = cluster.read(GroupId::META, read, deadline).await;
    // Not found: the next look tells which there is by then.
    let Ok(PeerFound::Model(Some(shared))) = found else { return };
    tracing::info!(version = shared.version, labels = shared.labels, "a shared model");
    let pinned = shelf.pinned.is_some();
    let offered = Offered::new(Arc::new(shared.model), shared.labels, pinned);
    cluster.conflicts.learning.offer(Some(offered));
    cluster.conflicts.sharing(|sharing| {
        sharing.seen = shelf;
        if !pinned {
            sharing.newest_labels = shared.labels;
        }
    });
}

/// Only what stands on as many labels as what is there: a leader that was just started has few.
async fn publish(cluster: &Arc<Cluster>, deadline: Instant) {
    let Some((model, labels)) = cluster.conflicts.learning.to_share() else { return };
    let due = cluster.conflicts.sharing(|sharing| {
        let again = sharing
            .published
            .is_none_or(|(version, at)| version != model.version && at.elapsed() >= PUBLISH_EVERY);
        again && labels >= sharing.newest_labels
    });
    if !due {
        return;
    }
    let version = model.version;
    let (node, model) = (cluster.config.node.into(), Box::new((*model).clone()));
    let command = Command::Meta(MetaCommand::PublishModel { node, labels, model });
    // Not published: the next look tries again.
    if cluster.propose(GroupId::META, command, deadline).await.is_ok() {
        let published = Some((version, Instant::now()));
        cluster.conflicts.sharing(|sharing| sharing.published = published);
    }
}

impl super::Conflicts {
    fn sharing<T>(&self, with: impl FnOnce(&mut Sharing) -> T) -> T {
        with(&mut self.sharing.lock().expect("no holder panics"))
    }
}
