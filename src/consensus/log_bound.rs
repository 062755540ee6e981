//! Bounds what lives in the node's log by bytes.
//!
//! Why: openraft counts entries, and so bounds a log whose entries are all alike. A few of the
//! largest ones take more disk than thousands of small ones, long before a snapshot is due.
//!
//! How: each replica looks at the log of its node from time to time. Where more lives in it than
//! `log_live_bytes_max`, whoever holds more than an even share has its state flushed, and lets its
//! oldest entries go until half of its share is left. So what was kept for followers that are
//! behind gives way first. openraft puts a purge off while a follower is sent what would go, so
//! what was asked for stands until it is done, or [`ASKED_FOR`] is over: a bound that rose with
//! each look would never be behind a follower that lags.
//!
//! Invariants: nothing is purged that is not in the flushed state (openraft purges no further than
//! its snapshot, which is what is flushed); of several replicas that together are over, at least
//! one is over its share.

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;
use vatic_log::{Log, ReplicaLog};
use vatic_store::Replica;

use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::snapshot::FLUSH_DEADLINE;
use crate::types::Raft;

pub(crate) struct LogBound {
    pub(crate) log: Arc<Log>,
    pub(crate) own: ReplicaLog,
    pub(crate) replica: Replica,
    pub(crate) raft: Raft,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
}

/// How long a purge that openraft puts off is waited for.
const ASKED_FOR: Duration = Duration::from_secs(30);

/// The group's Raft has ended.
struct Ended;

impl LogBound {
    pub(crate) async fn run(self) {
        let pause = Duration::from_millis(self.limits.log_look_interval_ms);
        let mut asked: Option<(u64, Instant)> = None;
        loop {
            tokio::time::sleep(pause).await;
            if asked
                .is_some_and(|(upto, at)| self.purged() < Some(upto) && at.elapsed() < ASKED_FOR)
            {
                continue;
            }
            if let Some((upto, _)) = asked.take().filter(|(upto, _)| self.purged() >= Some(*upto)) {
                self.metrics.log_purges.inc();
                let (group, live_bytes) = (self.own.id().group, self.own.live_bytes());
                tracing::info!(group, upto, live_bytes, "the log was over its bound: purged");
            }
            let Some(upto) = self.due() else { continue };
            if let Err(Ended) = self.purge(upto).await {
                return;
            }
            asked = Some((upto, Instant::now()));
        }
    }

    fn purged(&self) -> Option<u64> {
        self.raft.metrics().borrow_watched().purged.as_ref().map(|id| id.index)
    }

    /// Up to where this replica's entries should go; `None` where it may keep what it has.
    fn due(&self) -> Option<u64> {
        let max = self.limits.log_live_bytes_max;
        // What is hidden until its replica is rebuilt is not flushed.
        if self.log.live_bytes() <= max || self.replica.is_hidden() {
            return None;
        }
        let share = max / self.log.replicas_with_entries().max(1) as u64;
        let upto = (self.own.live_bytes() > share).then(|| self.own.last_beyond(share / 2))??;
        let applied = self.replica.applied()?.index;
        Some(upto.min(applied)).filter(|upto| self.purged() < Some(*upto))
    }

    async fn purge(&self, upto: u64) -> Result<(), Ended> {
        let mut metrics = self.raft.metrics();
        let snapshot = || metrics.borrow_watched().snapshot.as_ref().map(|id| id.index);
        if snapshot() < Some(upto) {
            self.raft.trigger().snapshot().await.map_err(|_| Ended)?;
            let covers = async {
                loop {
                    let seen = metrics.borrow_and_update().snapshot.as_ref().map(|id| id.index);
                    if seen >= Some(upto) {
                        return Ok(());
                    }
                    metrics.changed().await.map_err(|_| Ended)?;
                }
            };
            // Not so far: the disk is full, or the log's fsync is awaited. What is covered may go.
            if let Ok(covered) = tokio::time::timeout(FLUSH_DEADLINE, covers).await {
                covered?;
            }
        }
        self.raft.trigger().purge_log(upto).await.map_err(|_| Ended)
    }
}
