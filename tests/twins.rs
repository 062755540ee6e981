//! Red twins: nodes that are broken on purpose, and the very checks of the process tests, which
//! must find it out. A check that has never failed proves little.

#[allow(dead_code)]
#[path = "crashes/failpoints.rs"]
mod failpoints;
#[allow(dead_code)]
#[path = "crashes/kills.rs"]
mod kills;
#[allow(dead_code)]
#[path = "service/requests.rs"]
mod requests;

use std::future::Future;
use std::sync::Arc;

use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::load::Load;
use vatic_tests::scrape::Scrape;
use vatic_tests::wait::{SOON, until};

/// How a check failed; panics where it did not.
async fn failure(check: impl Future<Output = ()> + Send + 'static) -> String {
    let ended = tokio::spawn(check).await;
    let panic = ended.expect_err("the check must fail on broken nodes").into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

/// A cluster whose gateways forget the request ids of submissions.
async fn forgetful() -> Arc<Cluster> {
    let cluster = Cluster::start_with(&[], "info").await;
    for at in 0..NODES {
        cluster.arm(at, "server::claim=return").await;
    }
    Arc::new(cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_forget_request_ids_are_found_to_apply_twice() {
    let cluster = forgetful().await;
    let again = cluster.clone();
    let found = failure(async move {
        requests::request_repeated_through_another_node_is_answered_with_the_original(&again).await;
    });
    println!("{}", found.await);
    let again = cluster.clone();
    let found = failure(async move {
        requests::requests_sent_at_once_apply_once(&again).await;
    });
    println!("{}", found.await);
    let found = failure(async move {
        failpoints::request_repeated_while_the_first_attempt_is_in_doubt_is_applied_once(&cluster)
            .await;
    });
    println!("{}", found.await);
}

/// Everything is killed, and comes back without what was in the log and not yet in LMDB.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_skip_their_replay_are_found_to_have_lost_commits() {
    let settings = [("store_limits", "flush_interval_ms", 3_600_000)];
    let cluster = Cluster::start_with(&settings, "info").await;
    // A stop in order flushes: the ring and the groups' configuration are not to be lost.
    (0..NODES).for_each(|at| cluster.ask_to_stop(at));
    for at in 0..NODES {
        until("a node stops", SOON, || async { cluster.stopped(at).then_some(()) }).await;
        cluster.restart(at);
    }
    cluster.wait_ready().await;
    let load = Load::start(&cluster, "skipped", "skipped-names", 6).await;
    load.progress(&cluster, 50).await;
    let load = load.stop().await;
    let mut unflushed = Vec::new();
    for at in 0..NODES {
        unflushed.push(applied_and_not_flushed(&cluster, at).await);
    }
    println!("entries that LMDB lacks, by node: {unflushed:?}");
    (0..NODES).for_each(|at| cluster.kill(at));
    for (at, entries) in unflushed.into_iter().enumerate() {
        cluster.arm_next_start(at, &format!("consensus::apply_skip={entries}*return"));
        cluster.restart(at);
    }
    let found = failure(async move {
        cluster.wait_ready().await;
        load.check(&cluster).await;
    });
    let found = found.await;
    println!("{found}");
    assert!(found.contains("was acknowledged") || found.contains("counter and ledger"), "{found}");
}

/// Not quite all: elections leave entries that are no commands, and these are not skipped.
async fn applied_and_not_flushed(cluster: &Cluster, at: usize) -> u64 {
    const ELECTIONS: f64 = 20.0;
    let (_, text) = cluster.admin(at, "/metrics").await.expect("the node lives");
    let scrape = Scrape::read(&text);
    let flushed = scrape.sum("vatic_group_flushed_index");
    (scrape.sum("vatic_group_applied_index") - flushed - ELECTIONS) as u64
}
