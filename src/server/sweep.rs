//! What a leader does unasked: finishes what was left behind, forgets, collects, keeps the
//! configuration current, and hands leadership to where it should be.
//!
//! Nobody may be blocked on a cold key that no reader ever asks for, so each leader looks at its
//! own undecided votes and abandoned stages. Everything it does is a command that any other leader
//! could have proposed as well: two sweeps at once do no harm.

use crate::{cluster::Cluster, drive, time};
use fail::fail_point;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use vatic_consensus::GroupHandle;
use vatic_core::{
    command::{Command, Config, MetaCommand, Reply},
    forget::Unsettled,
    group::Group,
    id::{GroupId, Tid, Timestamp},
    meta,
    ring::RingSpec,
    rules::Rules,
};

/// Points of each group on the ring: with 64, loads of groups differ by about an eighth.
const VIRTUAL_NODES: u32 = 64;

/// Records that one command forgets: it names each, and must fit an entry.
const FORGET_RECORDS_MAX: usize = 10_000;
/// Abandoned stages that one look gives up, together.
const ABANDONED_MAX: usize = 64;
/// Forgotten transactions that one look settles anew.
const RECOVERIES_MAX: usize = 64;

/// Starts one sweep for each group here, and the one that tells of settled transactions.
pub(crate) fn start(cluster: &Arc<Cluster>) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for (&id, handle) in &cluster.groups {
        let sweep = Sweep { cluster: cluster.clone(), id, handle: handle.clone() };
        tasks.spawn(sweep.run());
    }
    tasks.spawn(tell_settled(cluster.clone()));
    tasks
}

struct Sweep {
    cluster: Arc<Cluster>,
    id: GroupId,
    handle: GroupHandle,
}

impl Sweep {
    async fn run(self) {
        let limits = &self.cluster.config.limits;
        let mut balances = time::deadline_in(limits.balance_interval_ms);
        let mut leaves = Instant::now();
        // The first look comes soon: a new cluster waits for its configuration.
        let mut interval = Duration::from_millis(limits.sweep_interval_ms.min(100));
        loop {
            tokio::time::sleep(interval).await;
            if !self.handle.is_leader() {
                continue;
            }
            // Before whatever is proposed here, which may find no room for long.
            if limits.balance_interval_ms > 0 && Instant::now() >= leaves {
                if self.leaves_full_disk().await {
                    continue;
                }
                leaves = time::deadline_in(limits.balance_interval_ms);
            }
            if self.configure().await {
                interval = Duration::from_millis(limits.sweep_interval_ms);
            }
            if self.cluster.set_aside.contains(self.id) {
                continue;
            }
            self.cluster.lanes.sweep();
            self.finish_what_was_left().await;
            self.forget().await;
            self.collect().await;
            if limits.balance_interval_ms > 0 && Instant::now() >= balances {
                self.hand_over().await;
                balances = time::deadline_in(limits.balance_interval_ms);
            }
        }
    }

    /// Gives the group its first configuration, and each new ring. Whether it is current.
    async fn configure(&self) -> bool {
        let group = self.group();
        if self.id == GroupId::META && meta::ring(&self.handle.view()).is_none() {
            let groups = (1..=self.cluster.config.groups).map(GroupId).collect();
            let spec = RingSpec { epoch: 1, virtual_nodes: VIRTUAL_NODES, groups };
            self.propose(Command::Meta(MetaCommand::SetRing(spec))).await;
            return false;
        }
        let Some(ring) = self.cluster.ring() else { return false };
        let limits = self.cluster.config.group_limits.clone();
        let policies = (*self.cluster.policies()).clone();
        let config = Config { limits, ring: Some(ring.spec().clone()), policies };
        let older = config.policies.version < group.config().policies.version;
        if older || *group.config() == config {
            return true;
        }
        self.propose(Command::Configure(config)).await;
        false
    }

    async fn finish_what_was_left(&self) {
        let limits = &self.cluster.config.limits;
        let view = self.handle.view();
        let group = Group::of_view(self.id, &view, Rules::default());
        // By vote time: a stream may run long before its vote. The vote's own deadline comes first.
        let old = time::before_now(limits.recover_after_ms + limits.vote_deadline_ms);
        for left in group.undecided(&view) {
            if left.ts < old {
                tokio::spawn(recover(self.cluster.clone(), left));
            }
        }
        let abandoned = time::before_now(limits.stream_age_max_ms);
        let staged = group.staged(&view).into_iter().filter(|tid| tid.mint < abandoned);
        let staged: Vec<Tid> = staged.take(ABANDONED_MAX).collect();
        // LMDB reuses no page that it shows, and proposals may wait for a quorum.
        drop(view);
        let given_up = staged.into_iter().map(|tid| {
            self.propose(Command::Force { tid, body: None, participants: vec![self.id] })
        });
        futures::future::join_all(given_up).await;
    }

    /// Forgets what is old and settled; settles what is old and is not.
    async fn forget(&self) {
        let watermark = time::before_now(self.cluster.config.limits.forget_after_ms);
        let view = self.handle.view();
        let group = Group::of_view(self.id, &view, Rules::default());
        if !group.has_records_up_to(&view, watermark) {
            return;
        }
        let watermark = group.watermark_within(&view, watermark, FORGET_RECORDS_MAX);
        let (settled, unsettled): (Vec<Unsettled>, Vec<Unsettled>) = group
            .unsettled(&view, watermark)
            .into_iter()
            .partition(|known| self.cluster.settled.contains(self.id, known.tid));
        let watermark = below_oldest(watermark, &unsettled);
        for Unsettled { tid, body, participants } in unsettled.into_iter().take(RECOVERIES_MAX) {
            let cluster = self.cluster.clone();
            tokio::spawn(async move {
                drive::recover_parts(&cluster, tid, body, participants).await;
            });
        }
        if !group.has_records_up_to(&view, watermark) {
            return;
        }
        let settled = settled.into_iter().map(|known| known.tid);
        let settled = settled.filter(|tid| tid.mint <= watermark).collect();
        drop(view);
        if self.propose(Command::Forget { watermark, settled }).await == Some(Reply::Done) {
            self.cluster.settled.forget(self.id, watermark);
        }
    }

    async fn collect(&self) {
        let limits = &self.cluster.config.limits;
        let horizon = time::before_now(limits.snapshot_retention_ms);
        let items_max = limits.collect_items_max;
        while self.group().has_due(&self.handle.view(), horizon) {
            let collected = self.propose(Command::Collect { horizon, items_max }).await;
            if collected != Some(Reply::Done) {
                return;
            }
        }
    }

    /// Hands leadership to the preferred node, if that has all of the log that counts.
    async fn hand_over(&self) {
        let status = self.handle.status();
        let preferred = self.cluster.holders(self.id).first().copied();
        let Some(preferred) = preferred.filter(|&node| node != self.cluster.config.node) else {
            return;
        };
        let mut members = status.members.iter();
        let target = members.find(|member| member.id.node() == preferred);
        let caught_up = target.is_some_and(|member| member.matched >= status.committed);
        if caught_up && let Err(error) = self.handle.transfer_leader(preferred).await {
            tracing::debug!(group = %self.id, preferred, %error, "leadership stays here");
        }
    }

    /// Hands leadership to a node with room, if this one has none: here new work is refused, and
    /// what others replicate to here fills the log in the end. Whether it is elsewhere now.
    async fn leaves_full_disk(&self) -> bool {
        fail_point!("server::leave_full_disk", |_| false);
        if self.handle.has_disk_room() {
            return false;
        }
        match self.handle.leave_full_disk().await {
            Ok(()) => tracing::warn!(group = %self.id, "the disk is full: another node leads"),
            Err(error) => tracing::debug!(group = %self.id, %error, "a full disk leads on"),
        }
        !self.handle.is_leader()
    }

    fn group(&self) -> Group {
        Group::of_view(self.id, &self.handle.view(), Rules::default())
    }

    async fn propose(&self, command: Command) -> Option<Reply> {
        let deadline = time::deadline_in(self.cluster.config.limits.propose_deadline_ms);
        let applied = self.cluster.propose(self.id, command, deadline).await;
        applied.ok().map(|applied| applied.reply)
    }
}

async fn recover(cluster: Arc<Cluster>, left: vatic_core::group::Undecided) {
    drive::recover(&cluster, left).await;
}

/// The highest watermark that no unsettled transaction stands in the way of.
fn below_oldest(watermark: Timestamp, unsettled: &[Unsettled]) -> Timestamp {
    let oldest = unsettled.iter().map(|known| known.tid.mint.0).min();
    oldest.map_or(watermark, |oldest| Timestamp(oldest.saturating_sub(1)).min(watermark))
}

/// Tells the participants' leaders which transactions they may forget.
async fn tell_settled(cluster: Arc<Cluster>) {
    let interval = Duration::from_millis(cluster.config.limits.sweep_interval_ms);
    loop {
        tokio::time::sleep(interval).await;
        let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
        // Together: one without a leader holds up nobody else.
        let told =
            cluster.settled.take_outbox().into_iter().map(|(group, tids)| {
                cluster.tell_settled(group, tids.into_iter().collect(), deadline)
            });
        futures::future::join_all(told).await;
    }
}
