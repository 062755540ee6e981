//! A transaction that ended other than was forecast waits, before its votes, for whoever decides on
//! what it touches (`validation` = `resolve`, the default).

use std::time::Duration;

use vatic_core::id::Tid;
use vatic_proto::v1::{self};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic;
use vatic_tests::foreseen::{STRANGE, begun, odd, ordinary};
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{core_key, int, key, put};
use vatic_tests::wait::{SOON, until, within};
use vatic_tests::wire::{Stream, committed};

/// Longer than the test takes: nobody gives up, nobody recovers.
const WAIT_MS: u64 = 20_000;
/// Holds up whoever drives a transaction to its commit.
const ARMED: &str = "server::decide=pause";
/// Transactions that are begun until one is held up.
const HOLDS_MAX: usize = 10;
/// Strange ones that are sealed until one is judged.
const STRANGE_MAX: usize = 5;
/// A transaction that does not wait has its outcome long before.
const HELD: Duration = Duration::from_millis(500);

/// A strange one that is about to be sealed.
async fn strange(cluster: &Cluster, at: usize, name: &v1::Key) -> Stream {
    let foresight = v1::Foresight { forecasts: true, ..v1::Foresight::default() };
    let mut stream = begun(cluster, at, foresight).await;
    stream.write(put(name, int(0))).await;
    for _ in 1..STRANGE {
        stream.write(odd(name)).await;
    }
    stream.acknowledged().await;
    stream
}

async fn freed(cluster: &Cluster, at: usize) -> f64 {
    let (status, text) = cluster.admin(at, "/metrics").await.unwrap();
    assert_eq!(status, 200, "{text}");
    Scrape::read(&text).is("vatic_resolved_total{result=\"freed\"}")
}

/// A transaction whose votes are all Yes and whose decision is held up, and at which node.
async fn held(cluster: &Cluster, gateway: usize, names: [&v1::Key; 2]) -> (usize, Stream) {
    for _ in 0..HOLDS_MAX {
        let driver = until("another node leads the second group", SOON, || async {
            Some(cluster.leader(2).await).filter(|driver| *driver != gateway)
        })
        .await;
        cluster.arm(driver, ARMED).await;
        // Whoever leads the home group coordinates what it is the gateway of.
        let mut stream = Stream::begin(cluster.channel(driver)).await;
        for name in names {
            stream.write(put(name, int(1))).await;
        }
        stream.seal().await;
        let seen = within(HELD, || async {
            let mut reader = Stream::begin(cluster.channel(gateway)).await;
            reader.read(names[1]).await.pending.then_some(())
        });
        if seen.await.is_some() {
            return (driver, stream);
        }
        // Another node led by then.
        cluster.disarm(driver, ARMED).await;
    }
    panic!("{HOLDS_MAX} decisions were not held up");
}

pub(crate) async fn invalid_transaction_waits_for_whoever_decides_on_what_it_touches(_: &Cluster) {
    let settings =
        [("limits", "resolve_wait_ms", WAIT_MS), ("limits", "recover_after_ms", WAIT_MS)];
    let cluster = &Cluster::start_with(&settings, "info").await;
    let name = key("resolved", &cluster.partition(1, 0).await, "");
    let other = key("resolved", &cluster.partition(2, 0).await, "");
    // The driver's node is held up: it must not be who the other one asks. By rights it is not.
    let gateway = cluster.leader_by_rights(1).await;
    assert_ne!(cluster.leader_by_rights(2).await, gateway);
    let (client, record) = (&cluster.client_of(gateway), &core_key(&name));
    until("enough was judged", SOON, || async {
        ordinary(client, record).await.unwrap()?.tolerance
    })
    .await;
    for _ in 0..STRANGE_MAX {
        if waited(cluster, gateway, [&other, &name]).await {
            return;
        }
    }
    panic!("{STRANGE_MAX} strange transactions were not judged");
}

/// Has an invalid transaction wait for another one's decision. False where its forecast came too
/// late, so that it was not judged.
async fn waited(cluster: &Cluster, gateway: usize, names: [&v1::Key; 2]) -> bool {
    // Another one, of two groups, is decided, and its decision does not get there.
    let (driver, mut undecided) = held(cluster, gateway, names).await;
    let mut invalid = strange(cluster, gateway, names[1]).await;
    let before = freed(cluster, gateway).await;
    invalid.seal().await;
    let early = tokio::time::timeout(HELD, invalid.outcome()).await;
    cluster.disarm(driver, ARMED).await;

    let waits = early.is_err();
    let outcome = match early {
        Ok(outcome) => outcome.unwrap(),
        Err(_) => invalid.outcome().await.unwrap(),
    };
    committed(&undecided.outcome().await.unwrap());
    let Some(verdict) = &outcome.verdict else { return false };
    assert!(waits, "it did not wait: {outcome:?}");
    assert!(!verdict.valid, "{outcome:?}");
    committed(&outcome);
    let resolution = outcome.resolution.as_ref().expect("it says what it went on under");
    assert!(resolution.freed, "{outcome:?}");
    assert_eq!(resolution.own(), v1::Strategy::Optimistic, "{outcome:?}");
    told(cluster, &outcome, resolution);
    assert!(freed(cluster, gateway).await > before);
    true
}

/// The aggregate record tells the same at every node.
fn told(cluster: &Cluster, outcome: &v1::Outcome, resolution: &v1::Resolution) {
    let tid = Tid::from_bytes(&outcome.transaction_id).unwrap().to_string();
    // One that leaders rated is not under its own for want of another.
    let rated = resolution.latency_us.is_some();
    for at in 0..vatic_tests::cluster::NODES {
        let endpoint = &cluster.endpoints()[at..=at];
        let told = vatic(endpoint, &["txn", "outcome", &tid, "-o", "json"]).json();
        let told = &told["resolution"];
        assert_eq!(told["own"], "optimistic", "{told}");
        assert_eq!(told["why"], if rated { "cheapest" } else { "unrated" }, "{told}");
        let chosen = if rated { vec!["optimistic", "rebase", "lock"] } else { vec!["optimistic"] };
        assert!(chosen.contains(&told["chosen"].as_str().unwrap()), "{told}");
        assert_eq!(told["freed"], true, "{told}");
    }
}
