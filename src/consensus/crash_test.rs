//! A process dies at each of this crate's failpoints: what it acknowledged is there when its files
//! are opened again, and what it was in the middle of is finished.
//!
//! The process is this test binary, started again to run one node; the other nodes are here.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::testbed::{Cluster, Disk, PATIENCE, eventually, read};
use crate::types::RaftId;

const ABORTED: i32 = 6;

/// A node in a process of its own, which dies at the `nth` time that it comes to `point`.
struct Doomed {
    child: Child,
}

impl Doomed {
    fn start(cluster: &Cluster, node: u32, point: &str, nth: u64, role: &str) -> Self {
        let addresses: Vec<String> = cluster.addresses().iter().map(|it| it.to_string()).collect();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash_test::doomed_node", "--ignored", "--nocapture"])
            .env("VATIC_TEST_DISK", cluster.disk(node))
            .env("VATIC_TEST_NODE", node.to_string())
            .env("VATIC_TEST_ADDRESSES", addresses.join(","))
            .env("VATIC_TEST_POINT", point)
            .env("VATIC_TEST_NTH", nth.to_string())
            .env("VATIC_TEST_ROLE", role)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        Self { child: child.unwrap() }
    }

    /// Waits for its death; returns the keys that it acknowledged.
    async fn acknowledged(mut self, point: &str) -> Vec<String> {
        let output = self.child.stdout.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("ack ").map(str::to_owned)).collect()
        });
        let keys = reading.await.unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(ABORTED), "{point}: it did not die there: {status}");
        keys
    }
}

impl Drop for Doomed {
    fn drop(&mut self) {
        // Gone already, but for a test that failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other process. As the leader it writes and says what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the tests here start it as a process"]
async fn doomed_node() {
    let Ok(point) = std::env::var("VATIC_TEST_POINT") else { return };
    let setting = |name: &str| std::env::var(format!("VATIC_TEST_{name}")).unwrap();
    let nth: u64 = setting("NTH").parse().unwrap();
    let hits = AtomicU64::new(0);
    fail::cfg_callback(point, move || {
        if hits.fetch_add(1, Ordering::SeqCst) + 1 == nth {
            std::process::abort();
        }
    })
    .unwrap();
    let addresses: Vec<SocketAddr> =
        setting("ADDRESSES").split(',').map(|address| address.parse().unwrap()).collect();
    let node: u32 = setting("NODE").parse().unwrap();
    let disk = Disk::at(setting("DISK").into());
    let cluster = Cluster::alone(node, &addresses, disk).await;
    let handle = cluster.group(node, 1).await;
    if setting("ROLE") == "rejoin" {
        let (members, machine) = (cluster.members(), cluster.machine(node));
        cluster.node(node).rejoin_group(1, 2, &members, machine).await.unwrap();
    }
    let end = Instant::now() + PATIENCE;
    for n in 0.. {
        assert!(Instant::now() < end, "still alive");
        let proposed = handle.propose(format!("k{n}={n}").into());
        match tokio::time::timeout(Duration::from_millis(200), proposed).await {
            Ok(Ok(_)) => println!("ack k{n}"),
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_that_dies_at_a_failpoint_keeps_what_it_acknowledged() {
    let points = [
        ("consensus::propose", 30),
        ("consensus::append", 30),
        ("consensus::append_durable", 30),
        ("consensus::apply", 30),
        ("consensus::apply_published", 30),
        ("consensus::snapshot_build", 2),
    ];
    for (point, nth) in points {
        let mut cluster = Cluster::start(1, &[1]).await;
        cluster.kill(1).await;
        let keys = Doomed::start(&cluster, 1, point, nth, "").acknowledged(point).await;
        assert!(keys.len() > 10, "{point}: {} writes", keys.len());
        cluster.restart(1).await;
        cluster.put(1, "after=1").await;
        let replica = cluster.group(1, 1).await;
        for key in keys {
            assert!(read(&replica, &key).is_some(), "{point}: {key} is lost");
        }
    }
}

/// A cluster whose third node is down, and far behind what the others have purged.
async fn cluster_with_one_left_behind() -> Cluster {
    let mut cluster = Cluster::start(3, &[1]).await;
    cluster.put(1, "k=0").await;
    let seen = cluster.agree(1).await;
    cluster.kill(3).await;
    crate::snapshot_test::write_until_purged(&cluster, seen).await;
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_that_dies_while_it_installs_a_snapshot_completes_it_afterwards() {
    for point in ["consensus::snapshot_install", "consensus::snapshot_installed"] {
        let mut cluster = cluster_with_one_left_behind().await;
        Doomed::start(&cluster, 3, point, 1, "").acknowledged(point).await;
        crate::snapshot_test::overwrite(&cluster, 1, 100).await;
        cluster.restart(3).await;
        cluster.agree(1).await;
        assert_eq!(cluster.alarms(3), Vec::<String>::new(), "{point}");
        cluster.put(1, "after=1").await;
        cluster.agree(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_dies_while_it_begins_a_new_generation_has_one_of_the_two() {
    let points =
        [("consensus::rejoin", 1), ("consensus::rejoin_noted", 2), ("consensus::retire", 2)];
    for (point, generation) in points {
        let mut cluster = Cluster::start(3, &[1]).await;
        cluster.put(1, "k=1").await;
        cluster.kill(3).await;
        Doomed::start(&cluster, 3, point, 1, "rejoin").acknowledged(point).await;
        cluster.restart(3).await;
        assert_eq!(cluster.group(3, 1).await.id(), RaftId::new(3, generation), "{point}");
        cluster.put(1, "k=2").await;
        cluster.agree(1).await;
        eventually("nothing of another generation is left", || async {
            (cluster.on_disk(3, 1) == [generation].into()).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_that_dies_between_the_steps_of_a_replacement_leaves_it_to_the_next() {
    for nth in [1, 2] {
        let mut cluster = Cluster::start(3, &[1]).await;
        cluster.put(1, "k=1").await;
        cluster.kill(3).await;
        let doomed = Doomed::start(&cluster, 3, "consensus::change", nth, "");
        eventually("the other process leads", || async {
            if let Some(leader) = cluster.leader_of(1, &[1, 2]) {
                // It may not have caught up yet: then it is tried again.
                let _ = leader.transfer_leader(3).await;
            }
            (cluster.group(1, 1).await.leader() == Some(RaftId::new(3, 1))).then_some(())
        })
        .await;
        let (members, machine) = (cluster.members(), cluster.machine(1));
        cluster.node(1).rejoin_group(1, 2, &members, machine).await.unwrap();
        doomed.acknowledged("consensus::change").await;
        cluster.restart(3).await;
        let mut standing = cluster.group(1, 1).await.standing();
        let member = standing.wait_for(|now| *now == crate::Standing::Member);
        tokio::time::timeout(PATIENCE, member).await.unwrap().unwrap();
        cluster.put(1, "k=2").await;
        cluster.agree(1).await;
    }
}
