//! Messages between nodes, over real sockets, that come twice, too late or not at all.

use std::sync::Arc;

use tokio::task::JoinSet;
use vatic_client::ClientError;
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::load::Load;
use vatic_tests::meddle::Meddling;
use vatic_tests::values::{core_key, key, number};

const CLIENTS: usize = 4;
const COMMITS: u64 = 50;
/// Of each kind.
const MEDDLED_MIN: u64 = 5;
/// Clients that add at once, each to a record of its own, and how often.
const ADDERS: usize = 8;
const ADDITIONS: usize = 25;

pub(crate) async fn messages_repeated_overtaken_and_lost_between_nodes_change_nothing(_: &Cluster) {
    let meddling = Arc::new(Meddling::of(1));
    let cluster = Cluster::start_meddled(&meddling).await;
    additions_that_rest_on_no_read_count_once(&cluster).await;
    let load = Load::start(&cluster, "meddled", "meddled-names", CLIENTS).await;
    load.progress(&cluster, COMMITS).await;
    // A new leader's messages, and those of a node that comes back.
    let victim = cluster.leader(1).await;
    cluster.kill(victim);
    load.progress(&cluster, COMMITS).await;
    cluster.restart(victim);
    load.progress(&cluster, COMMITS).await;
    let stopped = load.stop().await;
    meddling.end();
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
    let balance = stopped.check(&cluster).await;
    let counts = meddling.counts();
    println!("  {balance:?}; repeated, overtaken, lost: {counts:?}");
    assert!(counts.iter().all(|count| *count >= MEDDLED_MIN), "{counts:?}");
}

/// What is made a second time of a transaction that has read is stale, and comes to nothing; of
/// these it would count. Their gateways lead none of what they write, and so send each seal on.
pub(crate) async fn additions_that_rest_on_no_read_count_once(cluster: &Cluster) {
    let mut adders = JoinSet::new();
    for adder in 0..ADDERS {
        let group = 1 + adder as u32 % GROUPS;
        let gateway = (cluster.leader_by_rights(group).await + 1) % NODES;
        let name = key("added-blindly", &cluster.partition(group, 0).await, &adder.to_string());
        let (name, client) = (core_key(&name), cluster.client_of(gateway));
        adders.spawn(async move {
            let (mut acknowledged, mut unknown) = (0, 0);
            for _ in 0..ADDITIONS {
                let done = client.run(|txn| {
                    let name = name.clone();
                    async move { txn.add(&name, "value", 1).await }
                });
                match done.await {
                    Ok(_) => acknowledged += 1,
                    Err(ClientError::OutcomeUnknown { .. }) => unknown += 1,
                    Err(error) => println!("  {error}"),
                }
            }
            (name, acknowledged, unknown)
        });
    }
    let client = cluster.client();
    for (name, acknowledged, unknown) in adders.join_all().await {
        let found = number(client.get(&name).await.expect("it is read").as_ref());
        let sound = (acknowledged..=acknowledged + unknown).contains(&found);
        assert!(sound, "{name:?}: {acknowledged} acknowledged, {unknown} unknown, {found} there");
    }
}
