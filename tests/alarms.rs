//! Whether a cluster says of any of its replicas that it differs from the others or has rotted.
//!
//! A replica that is set aside is rebuilt within seconds, so one look at what is set aside now is
//! not enough: its generation and the nodes' logs tell of it ever after.

use vatic_client::Client;

use crate::cluster::{Cluster, NODES};

/// What nodes log once they find something.
const TOLD: [&str; 4] = [
    "this replica is set aside",
    "a replica differs",
    "replicas differ, without a majority",
    "found at the start",
];

/// Every alarm since the cluster was started, as sentences.
pub async fn raised(cluster: &Cluster, client: &Client) -> Vec<String> {
    let logged = (0..NODES).flat_map(|at| {
        let lines = TOLD.into_iter().flat_map(move |text| cluster.logged(at, text));
        lines.map(move |line| format!("node {}: {line}", at + 1))
    });
    let mut alarms: Vec<String> = logged.collect();
    // Whoever cannot be asked just now is asked the next time.
    let Ok(seen) = client.cluster(false).await else { return alarms };
    for group in &seen.groups {
        for replica in &group.replicas {
            let (node, group) = (replica.node_id, group.group);
            if let Some(divergence) = &replica.divergence {
                alarms.push(format!("node {node}, group {group}: {divergence:?}"));
            }
            if replica.generation > 1 {
                let generation = replica.generation;
                alarms.push(format!("node {node}, group {group}: generation {generation}"));
            }
        }
    }
    alarms
}
