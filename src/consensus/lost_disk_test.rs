//! A node that comes up with an empty disk, or with an old one: its former id must not come back.

use std::path::Path;

use crate::fatal::Fatal;
use crate::notes::Notes;
use crate::standing::Standing;
use crate::testbed::{Alarms, Cluster, Disk, PATIENCE, eventually, open_log, read};
use crate::types::RaftId;

async fn standing(cluster: &Cluster, node: u32, wanted: impl Fn(&Standing) -> bool) -> Standing {
    let handle = cluster.group(node, 1).await;
    let mut now = handle.standing();
    let reached = tokio::time::timeout(PATIENCE, now.wait_for(wanted)).await;
    *reached.expect("in time").expect("the group is open")
}

fn is_displaced(standing: &Standing) -> bool {
    matches!(standing, Standing::Displaced { .. })
}

async fn rejoin(cluster: &Cluster, node: u32, generation: u32) {
    let (members, machine) = (cluster.members(), cluster.machine(node));
    cluster.node(node).rejoin_group(1, generation, &members, machine).await.unwrap();
    standing(cluster, node, |now| *now == Standing::Member).await;
}

/// Who leads from the beginning has answered nobody: those whom it spoke to must know it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_with_an_empty_disk_does_not_take_part_under_its_old_id() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let lost = cluster.leader(1).await.id().node();
    cluster.kill(lost).await;
    cluster.change_disk(lost, Disk::empty());
    cluster.restart(lost).await;
    let displaced = standing(&cluster, lost, |now| *now != Standing::Asking).await;
    assert_eq!(displaced, Standing::Displaced { next_generation: 2 });
    rejoin(&cluster, lost, 2).await;
    cluster.put(1, "k=2").await;
    cluster.agree(1).await;
    assert_eq!(read(&cluster.group(lost, 1).await, "k").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_with_an_empty_disk_does_not_take_part_under_its_old_id() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    cluster.agree(1).await;
    let leader = cluster.leader(1).await.id().node();
    let (lost, down) = (leader % 3 + 1, (leader + 1) % 3 + 1);
    cluster.kill(lost).await;
    cluster.change_disk(lost, Disk::empty());
    cluster.kill(down).await;
    cluster.restart(lost).await;
    // With one replica down and one empty there is no quorum, and must be none.
    let asking = standing(&cluster, lost, |_| true).await;
    assert_eq!(asking, Standing::Asking);
    let old = cluster.group(leader, 1).await;
    let cut_off = tokio::time::timeout(
        std::time::Duration::from_millis(2 * cluster.limits.election_max_ms),
        old.propose("k=lost".into()),
    );
    assert!(!matches!(cut_off.await, Ok(Ok(_))), "an empty replica was counted");
    assert_eq!(cluster.group(lost, 1).await.status().last, None, "it took no entry");
    cluster.restart(down).await;
    cluster.put(1, "k=2").await;
    let displaced = standing(&cluster, lost, is_displaced).await;
    assert_eq!(displaced, Standing::Displaced { next_generation: 2 });
    rejoin(&cluster, lost, 2).await;
    cluster.agree(1).await;
    assert_eq!(read(&cluster.group(lost, 1).await, "k").as_deref(), Some("2"));
    // And once more: the next empty disk is told of the generation in between.
    cluster.kill(lost).await;
    cluster.change_disk(lost, Disk::empty());
    cluster.restart(lost).await;
    let displaced = standing(&cluster, lost, is_displaced).await;
    assert_eq!(displaced, Standing::Displaced { next_generation: 3 });
    rejoin(&cluster, lost, 3).await;
    cluster.put(1, "k=3").await;
    cluster.agree(1).await;
}

/// Shows that the test above can fail: a replica that asks nobody takes part, and openraft's
/// leader, which knows how far its log was, does not survive to see it shorter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_with_an_empty_disk_that_asks_nobody_ends_the_leader() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    cluster.agree(1).await;
    let leader = cluster.leader(1).await.id().node();
    let lost = leader % 3 + 1;
    cluster.kill(lost).await;
    let empty = Disk::empty();
    {
        let log = open_log(&empty.path, &Alarms::default());
        Notes::open(&log, 1, Fatal::abort()).unwrap().set_own(1).await.unwrap();
    }
    cluster.change_disk(lost, empty);
    cluster.restart(lost).await;
    eventually("the leader's process would have ended", || async {
        (!cluster.alarms(leader).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_group_waits_until_every_founding_member_has_answered_once() {
    let mut cluster = Cluster::start(3, &[]).await;
    cluster.groups = vec![1];
    let open = async |cluster: &Cluster, node: u32| {
        let (members, machine) = (cluster.members(), cluster.machine(node));
        cluster.node(node).create_group(1, 1, &members, machine).await.unwrap()
    };
    let first = open(&cluster, 1).await;
    let second = open(&cluster, 2).await;
    // Longer than an election: nobody is elected by two of three.
    let long = std::time::Duration::from_millis(2 * cluster.limits.election_max_ms);
    let mut leadership = first.leadership();
    let led = tokio::time::timeout(long, leadership.wait_for(|now| now.leader.is_some()));
    assert!(led.await.is_err());
    assert_eq!(second.status().standing, Standing::Asking);
    open(&cluster, 3).await;
    cluster.put(1, "k=1").await;
    drop((first, second));
    // Never again: two of three are enough for every later start.
    for node in [1, 2, 3] {
        cluster.kill(node).await;
    }
    for node in [2, 3] {
        cluster.restart(node).await;
    }
    cluster.put(1, "k=2").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_replica_that_comes_back_is_told_and_does_no_harm() {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=1").await;
    let node = cluster.leader(1).await.id().node() % 3 + 1;
    // A copy of the disk as it was, with the old id.
    cluster.kill(node).await;
    let copy = Disk::empty();
    copy_dir(cluster.disk(node), &copy.path);
    cluster.restart(node).await;
    crate::replace_test::rebuild(&cluster, node).await;
    standing(&cluster, node, |now| *now == Standing::Member).await;
    let before = cluster.leader(1).await.leadership_now();
    cluster.kill(node).await;
    let current = cluster.change_disk(node, copy);
    cluster.restart(node).await;
    assert_eq!(cluster.group(node, 1).await.id(), RaftId::new(node, 1));
    let displaced = standing(&cluster, node, is_displaced).await;
    assert_eq!(displaced, Standing::Displaced { next_generation: 3 });
    cluster.put(1, "k=2").await;
    assert_eq!(cluster.leader(1).await.leadership_now(), before, "nobody was disturbed");
    // The right disk again.
    cluster.kill(node).await;
    cluster.change_disk(node, current);
    cluster.restart(node).await;
    cluster.put(1, "k=3").await;
    cluster.agree(1).await;
    eventually("the replica reads what it missed", || async {
        (read(&cluster.group(node, 1).await, "k").as_deref() == Some("3")).then_some(())
    })
    .await;
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
