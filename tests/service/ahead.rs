//! Groups that a forecast names are contacted before the stream gets there.

use std::time::Duration;

use vatic_proto::v1::{self, transact_request::Frame, transact_response::Frame as Answer};
use vatic_tests::cluster::Cluster;
use vatic_tests::values::{add, core_key, fields, int, key, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed};

use crate::metrics::scrape;

/// Streams of the class that its node learns from.
const LEARNT: usize = 20;
/// Longest wait for a forecast, before another stream is asked about.
const FORECAST_MAX: Duration = Duration::from_millis(400);

/// So many were contacted ahead, or needed it not since others just had; and took part indeed.
async fn counted(cluster: &Cluster, at: usize) -> (f64, f64) {
    let seen = scrape(cluster, at).await;
    let of =
        |result: &str| seen.is(&format!("vatic_participants_ahead_total{{result=\"{result}\"}}"));
    (of("asked") + of("fresh"), of("took_part"))
}

pub(crate) async fn group_that_a_forecast_names_is_contacted_before_it_is_touched(
    cluster: &Cluster,
) {
    let at = 1;
    let first = key("ahead", &cluster.partition(1, 1).await, "");
    let second = key("ahead", &cluster.partition(3, 1).await, "");
    let (client, one, other) = (cluster.client_of(at), &core_key(&first), &core_key(&second));
    let ordinary = async || {
        let done = client.run(|txn| async move {
            txn.put(one, fields(0)).await?;
            txn.add(one, "value", 1).await?;
            txn.put(other, fields(0)).await
        });
        done.await.unwrap();
    };
    for _ in 0..LEARNT {
        ordinary().await;
    }
    let foresight = v1::Foresight { forecasts: true, ..v1::Foresight::default() };
    // A node that is busy leaves streams out, so that more are run meanwhile.
    let rightly = until("a stream is forecast", SOON, || async {
        ordinary().await;
        let (ahead, rightly) = counted(cluster, at).await;
        let begin = v1::BeginFrame { foresight: Some(foresight), ..v1::BeginFrame::default() };
        let mut stream = Stream::open(cluster.channel(at)).await;
        stream.send(Frame::Begin(begin)).await;
        stream.write(put(&first, int(0))).await;
        let told = stream.find(|answer| match answer {
            Answer::Forecast(frame) => Some(frame.expected_participants),
            _ => None,
        });
        let participants = tokio::time::timeout(FORECAST_MAX, told).await.ok()?.ok()?;
        assert_eq!(participants, 2, "as all before it");
        let (now, _) = counted(cluster, at).await;
        assert!(now > ahead, "the other group is contacted by now: {now} of {ahead}");
        stream.write(add(&first, 1)).await;
        stream.write(put(&second, int(0))).await;
        committed(&stream.commit().await);
        Some(rightly)
    })
    .await;
    let (_, now) = counted(cluster, at).await;
    assert!(now > rightly, "and took part: {now} of {rightly}");
}
