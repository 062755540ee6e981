//! Snapshots under constant overwrites: the log is purged, who was away catches up, and neither
//! log nor store nor snapshots grow with the number of writes.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use openraft::RaftSnapshotBuilder;
use vatic_store::SnapshotFile;

use crate::error::TransferError;
use crate::group::GroupHandle;
use crate::limits::Limits;
use crate::snapshot::{Builder, SnapshotHandle};
use crate::testbed::{Cluster, SEGMENTS_TARGET, eventually, read, test_limits};
use crate::testbed_load::Load;

const KEYS: usize = 16;
const VALUE_BYTES: usize = 3_000;

/// Overwrites the same few keys, `rounds` times each.
pub(crate) async fn overwrite(cluster: &Cluster, group: u32, rounds: usize) {
    for round in 0..rounds {
        let value = format!("{round:0>VALUE_BYTES$}");
        let leader = cluster.leader(group).await;
        let writes = (0..KEYS).map(|key| leader.propose(format!("o{key}={value}").into()));
        // A change of leaders costs a round: what counts here is how much was written.
        join_all(writes).await;
    }
}

/// Writes until every living replica has purged past `index`.
pub(crate) async fn write_until_purged(cluster: &Cluster, index: u64) {
    eventually("the logs are purged", || async {
        overwrite(cluster, 1, 1).await;
        for node in cluster.alive() {
            cluster.group(node, 1).await.status().purged.filter(|purged| *purged > index)?;
        }
        Some(())
    })
    .await;
}

fn files(dir: &Path, what: impl Fn(&str) -> bool) -> Vec<u64> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let named = entries.filter(|entry| what(&entry.file_name().to_string_lossy()));
    // A file may go between being named and being asked.
    named.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect()
}

fn snapshots(cluster: &Cluster, node: u32) -> Vec<u64> {
    files(&cluster.disk(node).join("store/snapshots"), |_| true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn follower_that_was_away_past_the_purge_catches_up_while_writes_go_on() {
    let mut cluster = Cluster::start(3, &[1]).await;
    let load = Load::start(&cluster, 1);
    load.more(20).await;
    let away = cluster.leader(1).await.id().node() % 3 + 1;
    let seen = cluster.group(away, 1).await.status().last.unwrap();
    cluster.kill(away).await;
    write_until_purged(&cluster, seen).await;
    cluster.restart(away).await;
    eventually("the machine is shown the snapshot", || async {
        (cluster.restores(away) >= 2).then_some(())
    })
    .await;
    load.more(100).await;
    load.end(&cluster, 1).await;
    // Whoever sent it keeps one file, whoever received it none that is half done.
    for node in cluster.nodes() {
        assert!(snapshots(&cluster, node).len() <= 1, "{:?}", snapshots(&cluster, node));
        assert_eq!(cluster.alarms(node), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_need_the_log_alone_write_no_snapshot() {
    let mut cluster = Cluster::start(3, &[1]).await;
    overwrite(&cluster, 1, 50).await;
    let applied = cluster.agree(1).await;
    let purged = cluster.leader(1).await.status().purged;
    assert!(purged.is_some_and(|purged| purged + 100 > applied), "purged {purged:?}");
    // Down for a moment only: the entries that are kept are enough.
    let away = cluster.leader(1).await.id().node() % 3 + 1;
    cluster.kill(away).await;
    cluster.put(1, "k=1").await;
    cluster.restart(away).await;
    cluster.agree(1).await;
    for node in cluster.nodes() {
        assert_eq!(snapshots(&cluster, node), Vec::<u64>::new(), "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_of_few_large_entries_is_purged_by_the_bytes_that_live_in_it() {
    let limits = Limits {
        snapshot_every_entries: 100_000,
        entries_kept_behind_snapshot: 100_000,
        log_live_bytes_max: 256 << 10,
        ..test_limits()
    };
    let mut cluster = Cluster::start_with(3, &[1, 2], limits.clone()).await;
    cluster.put(2, "small=1").await;
    let away = cluster.leader(1).await.id().node() % 3 + 1;
    cluster.kill(away).await;
    // A MiB, in far fewer entries than a snapshot is due after.
    overwrite(&cluster, 1, 20).await;
    let live = |node| cluster.node(node).shared.log.live_bytes();
    for node in cluster.alive() {
        eventually("the log is within its bound", || async {
            let purged = cluster.group(node, 1).await.status().purged;
            (live(node) <= limits.log_live_bytes_max && purged.is_some()).then_some(())
        })
        .await;
        assert_eq!(cluster.group(node, 2).await.status().purged, None, "it has its share");
    }
    // Who was away needs what was purged: it is sent the state.
    cluster.restart(away).await;
    cluster.agree(1).await;
    eventually("both groups were opened, and one was installed", || async {
        (cluster.restores(away) >= 3).then_some(())
    })
    .await;
    let first = cluster.leader(1).await;
    assert_eq!(read(&first, "o3").map(|value| value.len()), Some(VALUE_BYTES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_that_is_new_enough_is_sent_again_and_not_made_again() {
    let cluster = Cluster::start(1, &[1]).await;
    overwrite(&cluster, 1, 20).await;
    let handle = cluster.group(1, 1).await;
    let first = snapshot_to_send(&handle).await;
    let written = std::fs::metadata(&first.path).unwrap().modified().unwrap();
    let second = snapshot_to_send(&handle).await;
    assert_eq!(first, second);
    assert_eq!(std::fs::metadata(&second.path).unwrap().modified().unwrap(), written);
    overwrite(&cluster, 1, 20).await;
    let third = snapshot_to_send(&handle).await;
    assert!(third.mark.index > first.mark.index);
    assert_eq!(snapshots(&cluster, 1).len(), 1);
}

/// What the replica would send to a follower, once everything is flushed.
async fn snapshot_to_send(handle: &GroupHandle) -> SnapshotFile {
    eventually("everything is flushed", || async {
        let status = handle.status();
        (status.flushed == status.applied).then_some(())
    })
    .await;
    let snapshot = handle.raft().get_snapshot().await.unwrap().unwrap();
    let SnapshotHandle::Local(local) = snapshot.snapshot else { panic!("a snapshot of its own") };
    tokio::task::spawn_blocking(move || local.file().unwrap()).await.unwrap()
}

/// Kills a follower of group 1 and writes until it cannot do without a snapshot.
async fn away_past_the_purge(cluster: &mut Cluster) -> u32 {
    cluster.put(1, "k=1").await;
    let away = cluster.leader(1).await.id().node() % 3 + 1;
    let follower = cluster.group(away, 1).await;
    let seen = eventually("the follower has an entry", || async { follower.status().last }).await;
    drop(follower);
    cluster.kill(away).await;
    write_until_purged(cluster, seen).await;
    away
}

fn assert_no_alarm(cluster: &Cluster) {
    for node in cluster.nodes() {
        assert_eq!(cluster.alarms(node), Vec::<String>::new(), "node {node}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_file_that_rotted_at_the_leader_is_made_anew_and_stops_nobody() {
    let mut cluster = Cluster::start(3, &[1]).await;
    let away = away_past_the_purge(&mut cluster).await;
    let file = snapshot_to_send(&cluster.leader(1).await).await;
    let mut bytes = std::fs::read(&file.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    std::fs::write(&file.path, bytes).unwrap();
    cluster.restart(away).await;
    cluster.agree(1).await;
    assert!(cluster.restores(away) >= 2, "it came by a snapshot");
    assert_no_alarm(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_for_a_full_disk_is_refused_until_there_is_room_and_stops_nobody() {
    let mut cluster = Cluster::start(3, &[1]).await;
    let away = away_past_the_purge(&mut cluster).await;
    cluster.links.isolate(away, &cluster.nodes());
    cluster.restart(away).await;
    let shared = &cluster.node(away).shared;
    shared.store.pretend_full(true);
    cluster.links.heal();
    eventually("it is refused, and tried again", || async {
        (shared.metrics.snapshots_refused.get() >= 3).then_some(())
    })
    .await;
    assert_eq!(snapshots(&cluster, away), Vec::<u64>::new(), "nothing stays of what was refused");
    assert_no_alarm(&cluster);
    cluster.put(1, "meanwhile=1").await;
    shared.store.pretend_full(false);
    cluster.agree(1).await;
    assert_no_alarm(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_leaves_a_full_disk_and_is_not_given_to_one() {
    let cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let old = cluster.leader(1).await;
    let full = old.id().node();
    cluster.node(full).shared.store.pretend_full(true);
    assert!(!old.has_disk_room());
    old.leave_full_disk().await.unwrap();
    let new = cluster.leader(1).await;
    assert_ne!(new.id().node(), full, "one with room leads");
    let unfit = Err(TransferError::Unfit { node: full });
    assert_eq!(new.transfer_leader(full).await, unfit);
    cluster.put(1, "k=2").await;
    // The third alone has room: what it took would fill the others' disks.
    let next = new.id().node();
    cluster.node(next).shared.store.pretend_full(true);
    let stays = Err(TransferError::NoRoom { roomy: 1, needed: 2 });
    assert_eq!(new.leave_full_disk().await, stays);
    assert!(new.is_leader());
    // Whoever must go goes to a full one rather than to none.
    let third = 6 - full - next;
    cluster.node(third).shared.store.pretend_full(true);
    new.quarantine().await.unwrap();
    assert_ne!(cluster.leader(1).await.id(), new.id());
    for node in cluster.nodes() {
        cluster.node(node).shared.store.pretend_full(false);
    }
    cluster.put(1, "k=3").await;
    assert_no_alarm(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_leaves_a_node_whose_flush_found_no_room_though_its_disk_says_that_it_has() {
    let cluster = Cluster::start(3, &[1]).await;
    let old = cluster.leader(1).await;
    let full = old.id().node();
    let store = cluster.node(full).shared.store.clone();
    store.pretend_unwritable(true);
    cluster.put(1, "k=1").await;
    eventually("a flush is tried", || async { store.usage().disk_full.then_some(()) }).await;
    assert!(!old.has_disk_room());
    old.leave_full_disk().await.unwrap();
    let new = cluster.leader(1).await;
    assert_ne!(new.id().node(), full, "one that can write leads");
    let unfit = Err(TransferError::Unfit { node: full });
    assert_eq!(new.transfer_leader(full).await, unfit);
    store.pretend_unwritable(false);
    eventually("it is flushed", || async { old.has_disk_room().then_some(()) }).await;
    assert_eq!(new.transfer_leader(full).await, Ok(()));
    cluster.put(1, "k=2").await;
    assert_no_alarm(&cluster);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshot_that_is_due_on_a_full_disk_is_of_what_is_flushed() {
    let cluster = Cluster::start(1, &[1]).await;
    cluster.put(1, "k=1").await;
    let store = cluster.node(1).shared.store.clone();
    let replica = store.replica(vatic_store::ReplicaId { group: 1, generation: 1 });
    eventually("it is flushed", || async {
        (replica.flushed() == replica.applied()).then_some(())
    })
    .await;
    let flushed = replica.flushed().unwrap().index;
    store.pretend_full(true);
    cluster.put(1, "k=2").await;
    let mut builder = Builder { store, replica, flush_deadline: Duration::ZERO };
    let built = builder.build_snapshot().await.unwrap();
    assert_eq!(built.meta.last_log_id.unwrap().index, flushed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disk_stays_bounded_under_constant_overwrites_beside_an_idle_group() {
    let cluster = Cluster::start(3, &[1, 2]).await;
    // The idle group's entries lie in the first segment, for ever unless they are carried on.
    cluster.put(2, "idle=1").await;
    let mut largest = Vec::new();
    for _ in 0..4 {
        // About 5 MiB, five segments, each time.
        overwrite(&cluster, 1, 100).await;
        cluster.agree(1).await;
        for node in cluster.nodes() {
            let disk = cluster.disk(node);
            let segments = files(&disk.join("log"), |_| true).len();
            assert!(segments <= SEGMENTS_TARGET as usize + 4, "{segments} segments");
            assert!(snapshots(&cluster, node).len() <= 1);
        }
        let sizes = cluster
            .nodes()
            .into_iter()
            .map(|node| files(&cluster.disk(node).join("store"), |name| name == "data.mdb")[0]);
        largest.push(sizes.max().unwrap());
    }
    assert!(largest[3] <= largest[1] * 3 / 2, "the store grows: {largest:?}");
    let entries = cluster.group(1, 1).await.status();
    let kept = entries.last.unwrap() - entries.purged.unwrap();
    assert!(kept < 200, "{kept} entries are kept");
    let idle = cluster.leader(2).await;
    assert_eq!(read(&idle, "idle").as_deref(), Some("1"));
    println!("store: {largest:?} bytes, {kept} entries kept");
}
