//! How likely a running stream is told to be to meet a conflict: by the records that it touched.
//!
//! What is known of conflicts is the model's of the leader that sees them, so the test has it learn
//! first: a record that everybody writes at once, and records that nobody else touches.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value as Json;
use vatic_client::{Claim, Client, ClientError, Peeked, Pipeline, PipelineOptions};
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Timestamp;
use vatic_core::key::Key;
use vatic_proto::v1::{self, transact_request::Frame, transact_response::Frame as Answer};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic_with_input;
use vatic_tests::values::{add, core_key, fields, int, key, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::Stream;

use crate::conflicts::join_all;

/// Who fight over the hot record.
const WRITERS: u64 = 8;
/// A model comes after 300 labels, and a node takes 25 a second once it has had many.
const LEARNT: Duration = Duration::from_secs(60);
/// Longest wait for a forecast, before another stream is asked about.
const FORECAST_MAX: Duration = Duration::from_millis(400);

/// Writes a record that must still have the version that was read, having said so beforehand.
async fn claim_and_write(pipeline: &Pipeline, token: u64, at: &Key) {
    let claim = Claim { token, by_hotness: false };
    let Ok(Peeked { record, .. }) = pipeline.peek_claiming(at, claim).await else { return };
    let version = record.map_or(Timestamp::ZERO, |record| record.version);
    let deltas = [Op::Expect(Expect::Version(version)), Op::Put(fields(1))];
    let deltas = deltas.map(|op| Delta { key: at.clone(), op });
    match pipeline.submit_claimed(token, 0, &deltas).await {
        Ok(_) | Err(ClientError::RolledBack(_) | ClientError::OutcomeUnknown { .. }) => {}
        // Without a leader for a moment: the next one teaches as well.
        Err(error) if error.retryable() => {}
        Err(error) => panic!("{error}"),
    }
}

/// Fights over the hot record, and writes as many that are nobody else's, until told to stop.
async fn fight(client: &Client, tokens: &AtomicU64, hot: &Key, stop: &AtomicBool) {
    let pipeline = client.pipeline(PipelineOptions::default()).await.unwrap();
    let next = || tokens.fetch_add(1, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) {
        claim_and_write(&pipeline, next(), hot).await;
        let token = next();
        let calm = Key { sort: format!("calm {token}"), ..hot.clone() };
        claim_and_write(&pipeline, token, &calm).await;
    }
}

/// What the forecasts after one and after two transitions say, of a stream that writes `first`, and
/// then `second`.
async fn told(cluster: &Cluster, first: &v1::Key, second: &v1::Key) -> Option<[u32; 2]> {
    let foresight = v1::Foresight { forecasts: true, ..v1::Foresight::default() };
    let begin = v1::BeginFrame { foresight: Some(foresight), ..v1::BeginFrame::default() };
    let mut stream = Stream::open(cluster.channel(0)).await;
    stream.send(Frame::Begin(begin)).await;
    let mut odds = [0; 2];
    let writes = [put(first, int(0)), add(second, 1)];
    for (at, (write, odds)) in writes.into_iter().zip(&mut odds).enumerate() {
        stream.write(write).await;
        let forecast = stream.find(|answer| match answer {
            Answer::Forecast(frame) if frame.transitions == at as u64 + 1 => Some(frame.clone()),
            _ => None,
        });
        let frame = tokio::time::timeout(FORECAST_MAX, forecast).await.ok()?.ok()?;
        *odds = frame.conflict_ppm?;
    }
    Some(odds)
}

pub(crate) async fn forecast_tells_how_likely_a_conflict_is_by_what_was_touched(cluster: &Cluster) {
    let partition = cluster.partition(2, 2).await;
    let [hot, cold, colder] = ["hot", "cold", "colder"].map(|sort| key("odds", &partition, sort));
    let (client, record, second) = (&cluster.client_of(0), &core_key(&cold), &core_key(&colder));
    // Streams of the class, so that there are forecasts at all.
    for _ in 0..40 {
        let done = client.run(|txn| async move {
            txn.put(record, fields(0)).await?;
            txn.add(second, "value", 1).await
        });
        done.await.unwrap();
    }
    let (stop, tokens) = (&AtomicBool::new(false), &AtomicU64::new(1 << 40));
    let contended = &core_key(&hot);
    let fights = (0..WRITERS).map(|_| fight(client, tokens, contended, stop));
    let looks = async {
        let seen = until("a hot record is told from a cold one", LEARNT, || async {
            let [calm, rises] = told(cluster, &cold, &hot).await?;
            let [low, stays] = told(cluster, &cold, &colder).await?;
            let clear = rises > 4 * calm && rises > 100_000 && calm < 100_000;
            let unmoved = stays < 100_000 && low < 100_000;
            (clear && unmoved).then_some((calm, rises, stays))
        });
        let seen = seen.await;
        command_prints(cluster, record, contended).await;
        stop.store(true, Ordering::Relaxed);
        seen
    };
    let (_, (calm, rises, stays)) = tokio::join!(join_all(fights), looks);
    println!("after a cold write {calm} ppm; after a hot one {rises}, after another cold {stays}");
}

/// The command says the same.
async fn command_prints(cluster: &Cluster, cold: &Key, hot: &Key) {
    let script = format!("put {cold} value=0\nadd {hot} value=1\n");
    let asked = ["txn", "-f", "-", "--forecast", "-o", "json"];
    until("the command is routed to a node that knows", SOON, || async {
        let done = vatic_with_input(&cluster.endpoints()[..1], &asked, &script);
        let notices = done.json()["notices"].as_array()?.clone();
        let known = |notice: &Json| {
            notice["notice"] == "forecast"
                && notice["transitions"] == 2
                && notice["probability"].as_f64().is_some_and(|p| (0.0..=1.0).contains(&p))
        };
        notices.iter().any(known).then_some(())
    })
    .await;
}
