//! A writer that never stops, for tests that change what is under it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::group::GroupHandle;
use crate::testbed::{Cluster, Handles, eventually, read};

/// Writes a new key each time, at whichever replica leads, and remembers what was acknowledged.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU64>,
    writer: JoinHandle<()>,
}

impl Load {
    pub(crate) fn start(cluster: &Cluster, group: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let count = Arc::new(AtomicU64::new(0));
        let handles = cluster.handles.clone();
        let writing = write(handles, group, stop.clone(), acknowledged.clone(), count.clone());
        Self { stop, acknowledged, count, writer: tokio::spawn(writing) }
    }

    /// Waits until so many more writes are acknowledged.
    pub(crate) async fn more(&self, writes: u64) {
        let until = self.count.load(Ordering::Relaxed) + writes;
        eventually("the load goes on", || async {
            (self.count.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Ends it, and checks that every replica has every acknowledged write.
    pub(crate) async fn end(self, cluster: &Cluster, group: u32) {
        self.stop.store(true, Ordering::Relaxed);
        self.writer.await.unwrap();
        cluster.put(group, "last=1").await;
        cluster.agree(group).await;
        let acknowledged = self.acknowledged.lock().unwrap();
        assert!(!acknowledged.is_empty());
        for node in cluster.alive() {
            let handle = cluster.handles.lock().unwrap()[&(node, group)].clone();
            for key in &*acknowledged {
                assert!(read(&handle, key).is_some(), "node {node} lacks {key}");
            }
        }
    }
}

async fn write(
    handles: Handles,
    group: u32,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
    count: Arc<AtomicU64>,
) {
    for attempt in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let Some(leader) = leader(&handles, group) else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        let key = format!("load{attempt}");
        let proposed = leader.propose(format!("{key}={attempt}").into());
        // A leader that was cut off never answers.
        if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(500), proposed).await {
            acknowledged.lock().unwrap().push(key);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The one of the latest term: another may still believe it leads.
fn leader(handles: &Handles, group: u32) -> Option<GroupHandle> {
    let handles = handles.lock().unwrap();
    let leaders = handles.iter().filter(|((_, of), handle)| *of == group && handle.is_leader());
    let latest = leaders.max_by_key(|(_, handle)| handle.leadership_now().term);
    latest.map(|(_, handle)| handle.clone())
}
