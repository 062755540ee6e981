//! How few messages a group needs for what it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::Limits;
use crate::testbed::{Cluster, test_limits};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn next_entry_tells_that_the_one_before_is_committed() {
    let at_once = messages_of(60, 0).await;
    let held = messages_of(60, 70).await;
    // Half of them; heartbeats come on top.
    assert!(held * 4 < at_once * 3, "{held} messages, and {at_once} without the wait");
}

/// Messages between the nodes for commands that come a moment after each other.
async fn messages_of(commands: u64, commit_hold_ms: u64) -> u64 {
    let limits = Limits { commit_hold_ms, ..test_limits() };
    let cluster = Cluster::start_with(3, &[1], limits).await;
    let leader = cluster.leader(1).await;
    cluster.agree(1).await;
    let messages = Arc::<AtomicU64>::default();
    let counted = messages.clone();
    cluster.links.trap(leader.id().node(), move || {
        counted.fetch_add(1, Ordering::Relaxed);
        false
    });
    for n in 0..commands {
        leader.propose(format!("k{n}=v").into()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let sent = messages.load(Ordering::Relaxed);
    // The last one has no successor, and is told all the same.
    cluster.agree(1).await;
    sent
}
