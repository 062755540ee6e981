//! Red twins: nodes that are broken on purpose, and the very checks of the process tests, which
//! must find it out. A check that has never failed proves little.

#[allow(dead_code)]
#[path = "crashes/failpoints.rs"]
mod failpoints;
#[allow(dead_code)]
#[path = "crashes/kills.rs"]
mod kills;
#[allow(dead_code)]
#[path = "crashes/meddled.rs"]
mod meddled;
#[allow(dead_code)]
#[path = "service/requests.rs"]
mod requests;

use std::future::Future;
use std::sync::Arc;

use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::meddle::Meddling;

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

#[tokio::test(flavor = "multi_thread")]
async fn drivers_that_begin_a_repeated_seal_as_another_transaction_are_found_by_the_meddler() {
    let cluster = Cluster::start_meddled(&Arc::new(Meddling::of(1))).await;
    for at in 0..NODES {
        cluster.arm(at, "server::again=return").await;
    }
    let found = failure(async move {
        meddled::additions_that_rest_on_no_read_count_once(&cluster).await;
    });
    let found = found.await;
    println!("{found}");
    assert!(found.contains("acknowledged"), "{found}");
}
