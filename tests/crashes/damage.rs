//! Data that rots at rest on one node: found, named, and no longer served from there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use vatic_client::Divergence;
use vatic_core::value::Value;
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::values::{core_key, key, put, text};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

/// What is asked of the scrub.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
const GROUP: u32 = 3;

pub(crate) async fn flipped_byte_at_rest_is_found_and_named_and_not_served(cluster: &Cluster) {
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
    let found = until("the damage is found", FOUND_WITHIN, || divergence(cluster, victim)).await;
    println!("  node {}: from index {} on, {}", victim + 1, found.index, found.what);
    assert!(found.index > 0 && found.what.contains("checksum"), "{found:?}");
    for at in 0..NODES {
        let read = cluster.client_of(at).get(&core_key(&name)).await.unwrap();
        let fields = read.expect("it was committed").fields;
        assert_eq!(fields["value"], Value::from(marker.as_str()), "through node {}", at + 1);
    }
}

/// What the cluster says of one replica.
async fn divergence(cluster: &Cluster, node: usize) -> Option<Divergence> {
    cluster.assert_alive();
    let seen = cluster.client().cluster(false).await.ok()?;
    let group = seen.groups.into_iter().find(|group| group.group == GROUP)?;
    let mut replicas = group.replicas.into_iter();
    replicas.find(|replica| replica.node_id == node as u64 + 1)?.divergence
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
