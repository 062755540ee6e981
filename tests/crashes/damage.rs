//! Data that rots at rest on one node: found, named, no longer served from there, and made anew
//! from the others'. And a node whose whole disk was lost.

use std::fs;
use std::time::{Duration, Instant};

use vatic_core::id::Timestamp;
use vatic_core::key::Key;
use vatic_core::value::Value;
use vatic_proto::v1::{AddOperation, delta::Operation};
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::command::vatic;
use vatic_tests::tamper;
use vatic_tests::values::{core_key, key, operation, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed, proofs};

/// What is asked of scrub and comparison, of replicas at rest: from when the disk changed on, the
/// restart of the node included.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
const REBUILT_WITHIN: Duration = Duration::from_secs(60);
const GROUP: u32 = 3;

pub(crate) async fn flipped_byte_at_rest_is_found_named_and_mended(cluster: &Cluster) {
    let name = key("rot", &cluster.partition(GROUP, 0).await, "");
    let marker = "this value will have a flipped bit on one of the nodes. ".repeat(4);
    let mut stream = Stream::begin(cluster.channel(0)).await;
    stream.write(put(&name, text(marker.clone()))).await;
    committed(&stream.commit().await);
    // The one that is stopped has it as well.
    cluster.wait_agreed().await;
    let victim = (cluster.leader(GROUP).await + 1) % NODES;
    cluster.ask_to_stop(victim);
    until("the node is gone", SOON, || async { cluster.stopped(victim).then_some(()) }).await;
    tamper::flip(&cluster.data_dir(victim), marker.as_bytes());
    cluster.restart(victim);
    // A read that meets the damage before the scrub does stops the node; whoever runs it starts it
    // again, and it looks for damage before it opens anything.
    let told = ["this replica is set aside", "found at the start"];
    let found = until("the damage is found", FOUND_WITHIN, || async {
        cluster.revive(victim);
        told.iter().find_map(|text| cluster.logged(victim, text).into_iter().next())
    });
    let found = found.await;
    println!("  {found}");
    assert!(found.contains("group=3") && found.contains("checksum"), "{found}");
    for at in 0..NODES {
        let read = cluster.client_of(at).get(&core_key(&name)).await.unwrap();
        let fields = read.expect("it was committed").fields;
        assert_eq!(fields["value"], Value::from(marker.as_str()), "through node {}", at + 1);
    }
    until("the replica is rebuilt", REBUILT_WITHIN, || async {
        cluster.revive(victim);
        generation(cluster, victim).await.filter(|generation| *generation > 1)
    })
    .await;
    cluster.wait_agreed().await;
}

/// Nobody reads it and nobody starts the node again: the scrub comes by. The group goes on without
/// its leader, which gets it back once its replica is sound.
pub(crate) async fn flipped_byte_under_a_running_leader_is_found_within_a_minute_and_another_leads(
    cluster: &Cluster,
) {
    let name = key("rot-live", &cluster.partition(GROUP, 0).await, "");
    let marker = "this value will have a flipped bit while its node runs. ".repeat(4);
    let mut stream = Stream::begin(cluster.channel(0)).await;
    stream.write(put(&name, text(marker.clone()))).await;
    committed(&stream.commit().await);
    cluster.wait_agreed().await;
    let victim = cluster.leader_by_rights(GROUP).await;
    let before = until("it takes part", REBUILT_WITHIN, || generation(cluster, victim)).await;
    // It is not made anew before it was looked at.
    cluster.arm(victim, PAUSED).await;
    let told = || cluster.logged(victim, "this replica is set aside");
    let known = told().len();
    until("the value is flushed", SOON, || async {
        tamper::flip_running(&cluster.data_dir(victim), marker.as_bytes()).then_some(())
    })
    .await;
    let started = Instant::now();
    let found = until("the damage is found", FOUND_WITHIN, || async {
        cluster.assert_alive();
        told().into_iter().nth(known)
    })
    .await;
    println!("  after {:.1} s: {found}", started.elapsed().as_secs_f64());
    assert!(found.contains("group=3") && found.contains("checksum"), "{found}");
    let other = (victim + 1) % NODES;
    let client = cluster.client_of(other);
    let leader = until("another leads, and who was set aside is named", SOON, || async {
        let seen = client.cluster(false).await.ok()?;
        let group = seen.groups.into_iter().find(|group| group.group == GROUP)?;
        let node = victim as u64 + 1;
        let own = group.replicas.iter().find(|replica| replica.node_id == node)?;
        own.divergence.as_ref()?;
        group.leader.filter(|leader| *leader != node)
    })
    .await;
    println!("  node {leader} leads after {:.1} s", started.elapsed().as_secs_f64());
    let mut stream = Stream::begin(cluster.channel(other)).await;
    stream.write(put(&key("rot-live", &name.partition, "after"), text("committed"))).await;
    committed(&stream.commit().await);
    cluster.disarm(victim, PAUSED).await;
    until("the replica is rebuilt", REBUILT_WITHIN, || async {
        generation(cluster, victim).await.filter(|generation| *generation > before)
    })
    .await;
    assert_eq!(cluster.leader_by_rights(GROUP).await, victim);
    cluster.wait_agreed().await;
}

/// Where a group keeps its configuration: each opening of the replica reads it.
const CONFIG_KEY: &[u8] = b"c";

/// No read and no scrub comes before the opening does, which looks before it reads: the node does
/// not stop at all. The row is the first of its group, behind the last of another one's.
pub(crate) async fn flipped_byte_in_what_each_opening_reads_is_mended(cluster: &Cluster) {
    let victim = (cluster.leader(GROUP).await + 1) % NODES;
    let before = until("it takes part", REBUILT_WITHIN, || generation(cluster, victim)).await;
    cluster.ask_to_stop(victim);
    until("the node is gone", SOON, || async { cluster.stopped(victim).then_some(()) }).await;
    tamper::flip_row(&cluster.data_dir(victim), GROUP, CONFIG_KEY);
    cluster.restart(victim);
    until("the replica is rebuilt", REBUILT_WITHIN, || async {
        cluster.assert_alive();
        generation(cluster, victim).await.filter(|generation| *generation > before)
    })
    .await;
    let told = "the state is damaged: the replica serves no more";
    assert!(!cluster.logged(victim, told).is_empty(), "it was opened without its state");
    cluster.wait_agreed().await;
}

/// A record that one replica has otherwise than it was committed, under a sound checksum.
struct Altered {
    victim: usize,
    name: Key,
    /// What it was committed with.
    value: &'static str,
    version: Timestamp,
    /// Of the victim's replica, when it still was as the others.
    generation: u32,
}

impl Altered {
    /// Commits a record and alters it on a follower, whose node is down afterwards.
    async fn begin(cluster: &Cluster, collection: &str) -> Altered {
        let name = key(collection, &cluster.partition(GROUP, 0).await, "");
        let value = "this value will say something else on one of the nodes";
        let mut stream = Stream::begin(cluster.channel(0)).await;
        stream.write(put(&name, text(value))).await;
        let version = Timestamp(committed(&stream.commit().await));
        // The one that is stopped has it as well.
        cluster.wait_agreed().await;
        let victim = (cluster.leader(GROUP).await + 1) % NODES;
        let takes_part = || generation(cluster, victim);
        let generation = until("it takes part", REBUILT_WITHIN, takes_part).await;
        cluster.ask_to_stop(victim);
        until("the node is gone", SOON, || async { cluster.stopped(victim).then_some(()) }).await;
        let altered = tamper::alter(&cluster.data_dir(victim), GROUP, value.as_bytes());
        assert!(altered > 0, "the value lies in the state");
        Altered { victim, name: core_key(&name), value, version, generation }
    }

    /// What the node itself says of the record, as of when it was committed: whichever replica is
    /// asked answers that. True: what was committed.
    async fn answer(&self, cluster: &Cluster) -> Option<bool> {
        let client = cluster.client_of(self.victim);
        let found = client.get_at(&self.name, Some(self.version)).await.ok()??;
        Some(found.fields["value"] == Value::from(self.value))
    }

    /// Waits until the victim has a replica that is not the altered one.
    async fn rebuilt(&self, cluster: &Cluster) {
        until("the replica is rebuilt", REBUILT_WITHIN, || async {
            assert_ne!(self.answer(cluster).await, Some(false), "it is set aside, and serves");
            let now = generation(cluster, self.victim).await;
            now.filter(|generation| *generation > self.generation)
        })
        .await;
    }
}

/// The checksum is right, so neither the scrub nor a read can tell: the other replicas can.
pub(crate) async fn replica_whose_state_differs_in_sound_values_is_named_and_mended(
    cluster: &Cluster,
) {
    let altered = Altered::begin(cluster, "altered").await;
    let victim = altered.victim;
    let before = set_aside(cluster, victim).len();
    cluster.restart(victim);
    let started = Instant::now();
    let told = || set_aside(cluster, victim).into_iter().nth(before);
    let served = until("it serves what was altered", FOUND_WITHIN, || async {
        let served = altered.answer(cluster).await == Some(false);
        (served || told().is_some()).then_some(served)
    })
    .await;
    let told = until("it is set aside", FOUND_WITHIN, || async { told() }).await;
    println!("  it served: {served}; after {:.1} s: {told}", started.elapsed().as_secs_f64());
    let named = (0..NODES).flat_map(|at| cluster.logged(at, "a replica differs"));
    let node = format!("node={}", victim + 1);
    assert!(named.into_iter().any(|line| line.contains(&node)), "whoever leads names it");
    altered.rebuilt(cluster).await;
    println!("  rebuilt after {:.1} s", started.elapsed().as_secs_f64());
    cluster.wait_agreed().await;
    assert_eq!(altered.answer(cluster).await, Some(true));
}

/// The rebuild of a replica that was set aside, held for long enough to be looked at.
const HELD: &str = "consensus::rejoin=1*sleep(5000)";
/// The same until it is let go.
const PAUSED: &str = "consensus::rejoin=pause";

/// The entry that is applied to an altered record is the first whose effect, and so the chain,
/// differs; the replica applies it as it comes back, before anybody compares states. Whoever asks
/// for a verification is told as well.
pub(crate) async fn replica_whose_chain_differs_is_named_with_the_first_index_that_does(
    cluster: &Cluster,
) {
    let altered = Altered::begin(cluster, "forked").await;
    let Altered { victim, ref name, .. } = altered;
    let name = key(&name.collection, &name.partition, &name.sort);
    let count = AddOperation { field: "count".into(), amount: 1 };
    let mut first = None;
    for _ in 0..3 {
        let mut stream = Stream::begin(cluster.channel((victim + 1) % NODES)).await;
        stream.write(operation(&name, Operation::Add(count.clone()))).await;
        let outcome = stream.commit().await;
        committed(&outcome);
        first.get_or_insert(proofs(&outcome).proofs[0].index);
    }
    let first = first.expect("something was written");
    let before = set_aside(cluster, victim).len();
    cluster.arm_next_start(victim, HELD);
    cluster.restart(victim);
    let endpoints = cluster.endpoints().to_vec();
    let verified = tokio::task::spawn_blocking(move || {
        vatic(&endpoints, &["verify", "cluster", "--timeout-ms", "50000"])
    });
    let told = until("it is set aside", FOUND_WITHIN, || async {
        set_aside(cluster, victim).into_iter().nth(before)
    });
    let told = told.await;
    println!("  {told}");
    assert!(told.contains("chain head"), "{told}");
    assert!(told.contains(&format!("index={first} ")), "{told}: not from {first} on");
    let verified = verified.await.expect("a command does not panic");
    let named = format!("group {GROUP}: node {} differs from index {first} on", victim + 1);
    assert!(verified.code == 5 && verified.stderr.contains(&named), "{named}: {verified:?}");
    cluster.disarm(victim, HELD).await;
    altered.rebuilt(cluster).await;
    cluster.wait_agreed().await;
}

/// It was set aside by a process that is gone: this one has to know.
pub(crate) async fn replica_in_quarantine_serves_no_snapshot_after_a_restart(cluster: &Cluster) {
    let altered = Altered::begin(cluster, "quarantined").await;
    let victim = altered.victim;
    // It is set aside, and dies as it begins anew.
    cluster.arm_next_start(victim, "consensus::rejoin=abort");
    cluster.restart(victim);
    let died = cluster.dies_within(victim, FOUND_WITHIN).await;
    assert!(died, "node {} was not set aside", victim + 1);
    // Its vote is needed meanwhile: it stays what it is.
    let leader = cluster.leader(GROUP).await;
    let other = (0..NODES).find(|at| ![victim, leader].contains(at)).expect("there are three");
    cluster.pause(other);
    cluster.restart(victim);
    until("the group is served", SOON, || async {
        let answer = altered.answer(cluster).await;
        assert_ne!(answer, Some(false), "it is in quarantine, and serves");
        answer
    })
    .await;
    cluster.resume(other);
    altered.rebuilt(cluster).await;
    cluster.wait_agreed().await;
    assert_eq!(altered.answer(cluster).await, Some(true));
}

/// What a node has said of its replica of the group whenever a comparison with the others set it
/// aside.
fn set_aside(cluster: &Cluster, node: usize) -> Vec<String> {
    let mut lines = cluster.logged(node, "this replica is set aside");
    lines.retain(|line| line.contains("is not the majority's"));
    lines.retain(|line| line.contains(&format!("group={GROUP} ")));
    lines
}

pub(crate) async fn node_whose_disk_was_lost_comes_back_as_a_new_replica(cluster: &Cluster) {
    let name = key("lost-disk", &cluster.partition(GROUP, 0).await, "");
    let mut stream = Stream::begin(cluster.channel(0)).await;
    stream.write(put(&name, text("kept by the others"))).await;
    committed(&stream.commit().await);
    let victim = cluster.leader(GROUP).await;
    cluster.kill(victim);
    fs::remove_dir_all(cluster.data_dir(victim)).expect("a directory can be removed");
    cluster.restart(victim);
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
    let read = cluster.client_of(victim).get(&core_key(&name)).await.unwrap();
    assert!(read.is_some(), "it was acknowledged");
}

/// A node's replica of the group, as it says itself.
async fn generation(cluster: &Cluster, node: usize) -> Option<u32> {
    let seen = cluster.client_of(node).cluster(false).await.ok()?;
    let group = seen.groups.into_iter().find(|group| group.group == GROUP)?;
    let replicas = group.replicas.into_iter();
    let own = replicas.filter(|it| it.reachable && it.divergence.is_none());
    let mut own = own.filter(|replica| replica.node_id == node as u64 + 1);
    own.next().map(|replica| replica.generation)
}
