//! Brings what leaders saw into their groups' histories, and what is there to a new leader's
//! learner.
//!
//! A group of which nothing was seen is left alone: an idle one stays idle.

use crate::{
    cluster::{CallError, Cluster},
    time,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use vatic_consensus::GroupHandle;
use vatic_core::{
    command::{Command, Reply},
    group::Group,
    id::GroupId,
    rules::Rules,
};

/// Starts a task for each group here.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    for (&group, handle) in &cluster.groups {
        let (cluster, handle) = (cluster.clone(), handle.clone());
        tasks.spawn(Keeper { cluster, group, handle, leads: false, recalled: 0 }.run());
    }
}

/// Writes what is left, before the node goes; gives up at the deadline.
pub(crate) async fn write_all(cluster: &Arc<Cluster>, deadline: Instant) {
    let groups = cluster.groups.keys();
    futures::future::join_all(groups.map(|group| write(cluster, *group, deadline))).await;
}

struct Keeper {
    cluster: Arc<Cluster>,
    group: GroupId,
    handle: GroupHandle,
    /// Whether it led at the last look, and has recalled what there was.
    leads: bool,
    /// What lies up to this place was learnt from.
    recalled: u64,
}

impl Keeper {
    async fn run(mut self) {
        let interval = Duration::from_millis(self.cluster.config.limits.history_interval_ms);
        loop {
            tokio::time::sleep(interval).await;
            let leads = self.cluster.led_here(self.group).is_some();
            self.leads = leads && (self.leads || self.recall().await);
            let deadline = time::deadline_in(self.cluster.config.limits.propose_deadline_ms);
            write(&self.cluster, self.group, deadline).await;
        }
    }

    /// Learns from what earlier leaders saw. False where it turns out not to lead.
    async fn recall(&mut self) -> bool {
        let deadline = time::deadline_in(self.cluster.config.limits.propose_deadline_ms);
        let index = tokio::time::timeout_at(deadline, self.handle.read_index()).await;
        if !matches!(index, Ok(Ok(()))) {
            return false;
        }
        let (id, view, after) = (self.group, self.handle.view(), self.recalled);
        let read = tokio::task::spawn_blocking(move || {
            let group = Group::of_view(id, &view, Rules::default());
            group.events_after(&view, after, usize::MAX)
        });
        let Ok(newer) = read.await else { return false };
        self.recalled = newer.looked;
        self.cluster.conflicts.recall(newer.rows);
        true
    }
}

/// Proposes a batch of what was seen, if anything was.
async fn write(cluster: &Arc<Cluster>, group: GroupId, deadline: Instant) {
    let (history, limits) = (&cluster.conflicts.history, &cluster.config.group_limits);
    let Some(batch) = history.batch(group, limits, || number(cluster, group)) else { return };
    match cluster.propose(group, Command::History(Box::new(batch)), deadline).await {
        Ok(applied) if applied.reply == Reply::Done => history.settle(group, true),
        Ok(applied) => {
            tracing::warn!(%group, reply = ?applied.reply, "a batch of the history was refused");
            history.settle(group, false);
        }
        Err(error @ CallError::TooLarge { .. }) => {
            tracing::warn!(%group, %error, "a batch of the history was refused");
            history.settle(group, false);
        }
        // It may be there, or there is no room for it yet: the same once more, in a while.
        Err(error) => tracing::debug!(%group, %error, "a batch of the history waits"),
    }
}

/// Above all that this node numbered before, by the clock where that has not been set back.
fn number(cluster: &Cluster, group: GroupId) -> u64 {
    let Some(handle) = cluster.groups.get(&group) else { return time::now().0 };
    let view = handle.view();
    let machine = Group::of_view(group, &view, Rules::default());
    let last = machine.last_batch(&view, u64::from(cluster.config.node)).unwrap_or(0);
    time::now().0.max(last + 1)
}
