//! Data that rots at rest on one node: found, named, no longer served from there, and made anew
//! from the others'. And a node whose whole disk was lost.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vatic_core::value::Value;
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::values::{core_key, key, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

/// What is asked of the scrub.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
const REBUILT_WITHIN: Duration = Duration::from_secs(60);
const GROUP: u32 = 3;

pub(crate) async fn flipped_byte_at_rest_is_found_named_and_mended(cluster: &Cluster) {
    let name = key("rot", &cluster.partition(GROUP, 0).await, "");
    let marker = "this value will have a flipped bit on one of the nodes. ".repeat(4);
    let mut stream = Stream::begin(cluster.channel(0)).await;
    stream.write(put(&name, text(marker.clone()))).await;
    committed(&stream.commit().await);
    let victim = (cluster.leader(GROUP).await + 1) % NODES;
    cluster.ask_to_stop(victim);
    until("the node is gone", SOON, || async { cluster.stopped(victim).then_some(()) }).await;
    flip(&cluster.data_dir(victim).join("state/data.mdb"), marker.as_bytes());
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

/// Flips one bit in every copy of the bytes in the file; there must be one.
fn flip(file: &Path, bytes: &[u8]) {
    let mut content = fs::read(file).expect("the state can be read");
    let starts: Vec<usize> = (0..content.len() - bytes.len())
        .filter(|&at| content[at] == bytes[0] && content[at..].starts_with(bytes))
        .collect();
    assert!(!starts.is_empty(), "the value lies in {}", file.display());
    starts.iter().for_each(|at| content[at + bytes.len() / 2] ^= 1);
    fs::write(file, content).expect("the state can be written");
}
