//! What forecasters learn is the same on all nodes, and outlives every one of them.

use std::time::Duration;

use vatic_core::key::Key;
use vatic_proto::v1::{self, transact_request::Frame, transact_response::Frame as Answer};
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::scrape::Scrape;
use vatic_tests::values::{add, core_key, fields, int, key, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::Stream;

/// Streams of each class; all of them find room to wait.
const STREAMS: u64 = 20;
/// Longest wait for a forecast, before another stream is asked about.
const FORECAST_MAX: Duration = Duration::from_millis(500);

/// Commits streams of a class, of so many transitions, through one node.
async fn commit(cluster: &Cluster, at: usize, name: &Key, steps: u64) {
    let client = cluster.client_of(at);
    for _ in 0..STREAMS {
        let run = client.run(|txn| async move {
            txn.put(name, fields(0)).await?;
            for _ in 1..steps {
                txn.add(name, "value", 1).await?;
            }
            Ok(())
        });
        run.await.unwrap();
    }
}

/// Waits until the forecasters of all nodes are of a version.
async fn learnt(cluster: &Cluster, version: u64) {
    let client = cluster.client();
    until("all nodes have learnt all of it", SOON, || async {
        let models = client.models().await.ok()?;
        let versions: Vec<u64> = models.iter().map(|model| model.forecasters_version).collect();
        assert!(versions.iter().all(|found| *found <= version), "{versions:?} of {version}");
        (versions == [version; NODES]).then_some(())
    })
    .await;
}

/// What a node forecasts of a stream of the class from its first transition. The stream is not
/// sealed, so that nobody learns from it.
async fn forecast(cluster: &Cluster, at: usize, name: &v1::Key) -> v1::ForecastFrame {
    let foresight = v1::Foresight { forecasts: true, ..v1::Foresight::default() };
    let begin = v1::BeginFrame { foresight: Some(foresight), ..v1::BeginFrame::default() };
    until("a stream is forecast", SOON, || async {
        let mut stream = Stream::open(cluster.channel(at)).await;
        stream.send(Frame::Begin(begin.clone())).await;
        stream.write(put(name, int(0))).await;
        stream.write(add(name, 1)).await;
        let told = stream.find(|answer| match answer {
            Answer::Forecast(frame) => Some(frame.clone()),
            _ => None,
        });
        let told = tokio::time::timeout(FORECAST_MAX, told).await.ok()?.ok()?;
        // That is of leaders, not of forecasters.
        Some(v1::ForecastFrame { conflict_ppm: None, so_far: None, ..told })
    })
    .await
}

/// What each node forecasts of each class: all the same.
async fn agreed(cluster: &Cluster, names: &[v1::Key]) -> Vec<v1::ForecastFrame> {
    let mut agreed = Vec::new();
    for name in names {
        let told = forecast(cluster, 0, name).await;
        for at in 1..NODES {
            assert_eq!(forecast(cluster, at, name).await, told, "node {at}, {name:?}");
        }
        agreed.push(told);
    }
    agreed
}

pub(crate) async fn nodes_forecast_the_same_of_what_one_saw_and_after_all_were_killed(_: &Cluster) {
    let cluster = &Cluster::start_with(&[], "info").await;
    let partition = cluster.partition(1, 0).await;
    let [first, second, third] = ["one", "two", "three"].map(|name| key(name, &partition, ""));
    // Of one class through one node alone; of two through two nodes at once.
    commit(cluster, 0, &core_key(&first), 8).await;
    learnt(cluster, STREAMS).await;
    let [told] = &agreed(cluster, std::slice::from_ref(&first)).await[..] else { panic!() };
    assert_eq!((told.version, told.exemplars), (STREAMS, STREAMS));
    assert_eq!((told.transitions, told.expected_transitions), (1, 8));
    let names = [core_key(&second), core_key(&third)];
    tokio::join!(commit(cluster, 1, &names[0], 5), commit(cluster, 2, &names[1], 12));
    learnt(cluster, 3 * STREAMS).await;
    let names = [first, second, third];
    let before = agreed(cluster, &names).await;
    let told: Vec<u64> = before.iter().map(|told| told.expected_transitions).collect();
    assert_eq!(told, [8, 5, 12]);
    (0..NODES).for_each(|node| cluster.kill(node));
    (0..NODES).for_each(|node| cluster.restart(node));
    cluster.wait_ready().await;
    learnt(cluster, 3 * STREAMS).await;
    assert_eq!(agreed(cluster, &names).await, before);
    for at in 0..NODES {
        let (_, text) = cluster.admin(at, "/metrics").await.unwrap();
        let seen = Scrape::read(&text);
        let of =
            |result: &str| seen.is(&format!("vatic_learnt_streams_total{{result={result:?}}}"));
        assert_eq!((of("learnt"), of("missed")), ((3 * STREAMS) as f64, 0.0), "node {at}");
        assert_eq!(seen.is("vatic_forecasters_version"), (3 * STREAMS) as f64);
    }
}
