//! Messages between nodes, over real sockets, that come twice, too late or not at all.

use std::sync::Arc;

use vatic_tests::cluster::Cluster;
use vatic_tests::load::Load;
use vatic_tests::meddle::Meddling;

const CLIENTS: usize = 4;
const COMMITS: u64 = 50;
/// Of each kind.
const MEDDLED_MIN: u64 = 5;

pub(crate) async fn messages_repeated_overtaken_and_lost_between_nodes_change_nothing(_: &Cluster) {
    let meddling = Arc::new(Meddling::of(1));
    let cluster = Cluster::start_meddled(&meddling).await;
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
