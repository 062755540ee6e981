//! What cannot be judged: where forecasts are enforced it does not commit, and elsewhere its record
//! says that it was not judged, and why.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::bytes::Bytes;
use serde_json::json;
use tonic::{Code, Status};
use vatic_proto::v1::{self, unjudged::Missing};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic;
use vatic_tests::foreseen::{STEPS, STRANGE, begun, odd, ordinary};
use vatic_tests::values::{add, core_key, int, key, put, transitions};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, committed, refused};

const COLLECTION: &str = "unheard";
/// A gateway hears no more what groups tolerate.
const ARMED: &str = "server::tolerance=return";
/// What it has heard before stands for 10 s.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// It is waited for at the seal for a second.
const WAITED_MS_MIN: u64 = 500;

fn set(cluster: &Cluster, validation: &str) {
    let asked = ["policy", "set", COLLECTION, "--validation", validation];
    let done = vatic(cluster.endpoints(), &asked);
    assert_eq!(done.code, 0, "{done:?}");
}

fn deltas(name: &v1::Key, strange: bool) -> Vec<v1::Delta> {
    let more = match strange {
        false => vec![add(name, 1); STEPS - 1],
        true => vec![odd(name); STRANGE - 1],
    };
    std::iter::once(put(name, int(0))).chain(more).collect()
}

async fn submit(
    cluster: &Cluster,
    at: usize,
    request: &v1::SubmitRequest,
) -> Result<v1::Outcome, Status> {
    let answer = wire::transactions(cluster.channel(at)).submit(request.clone()).await?;
    Ok(answer.into_inner().outcome.expect("an outcome"))
}

/// A stream whose client wants to be told, up to its seal.
async fn streamed(cluster: &Cluster, at: usize, name: &v1::Key) -> Stream {
    let foresight = v1::Foresight { forecasts: true, ..v1::Foresight::default() };
    let mut stream = begun(cluster, at, foresight).await;
    for delta in deltas(name, false) {
        stream.write(delta).await;
    }
    stream.acknowledged().await;
    stream.seal().await;
    stream
}

/// The typed error, which names what was missing and how long it was waited for.
fn assert_unjudged(status: &Status) {
    let error = refused(status);
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "UNJUDGED"), "{status:?}");
    let told = |name: &str| error.metadata[name].as_str();
    assert_eq!((told("missing"), told("collection")), ("TOLERANCE", COLLECTION));
    assert_eq!(told("group"), "1");
    let waited_ms: u64 = told("waited_ms").parse().unwrap();
    assert!((WAITED_MS_MIN..10_000).contains(&waited_ms), "{status:?}");
    assert!(status.message().contains("nothing was committed"), "{status:?}");
}

pub(crate) async fn what_cannot_be_judged_does_not_commit_where_forecasts_are_enforced(
    cluster: &Cluster,
) {
    let name = key(COLLECTION, &cluster.partition(1, 3).await, "");
    let (at, record) = (cluster.leader(1).await, &core_key(&name));
    let client = &cluster.client_of(at);
    until("enough was judged", SOON, || async {
        ordinary(client, record).await.unwrap()?.tolerance
    })
    .await;
    let once = |strange| v1::SubmitRequest {
        transitions: transitions(deltas(&name, strange)),
        ..v1::SubmitRequest::default()
    };
    set(cluster, "enforce");
    until("the gateway enforces it", SOON, || async {
        let status = submit(cluster, at, &once(true)).await.err()?;
        (refused(&status).reason == "ROLLED_BACK").then_some(())
    })
    .await;

    cluster.arm(at, ARMED).await;
    until("what it had heard is too old", FORGOTTEN, || async {
        let status = submit(cluster, at, &once(false)).await.err()?;
        (refused(&status).reason == "UNJUDGED").then_some(())
    })
    .await;
    let before = client.get(record).await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let request = v1::SubmitRequest {
        request_id: Some(v1::RequestId {
            id: Bytes::from_static(b"refused before it could be judged"),
            route_key: name.partition.clone(),
            mint_unix_ms: now,
        }),
        ..once(false)
    };
    for asked in [&request, &once(true), &once(false)] {
        assert_unjudged(&submit(cluster, at, asked).await.unwrap_err());
    }
    assert_unjudged(&streamed(cluster, at, &name).await.error().await);
    assert_eq!(client.get(record).await.unwrap(), before, "nothing of them is there");

    recorded_where_it_is_only_observed(cluster, at, &name).await;

    set(cluster, "enforce");
    until("the gateway enforces it again", SOON, || async {
        let status = submit(cluster, at, &once(false)).await.err()?;
        (refused(&status).reason == "UNJUDGED").then_some(())
    })
    .await;
    cluster.disarm(at, ARMED).await;
    // Nothing is lost: the same request, sent again, happens once.
    let outcome = until("the same request is judged", SOON, || async {
        submit(cluster, at, &request).await.ok()
    })
    .await;
    let version = committed(&outcome);
    let verdict = outcome.verdict.as_ref().expect("it was judged");
    assert!(verdict.valid && outcome.unjudged.is_none() && !outcome.replayed, "{outcome:?}");
    let again = submit(cluster, at, &request).await.unwrap();
    assert!(again.replayed && committed(&again) == version, "{again:?}");
}

/// Nothing is held up, and the record says what is true: it was not judged, and why.
async fn recorded_where_it_is_only_observed(cluster: &Cluster, at: usize, name: &v1::Key) {
    set(cluster, "observe");
    let outcome = until("a stream goes on unjudged", SOON, || async {
        let outcome = streamed(cluster, at, name).await.outcome().await.ok()?;
        let why = outcome.unjudged.as_ref()?;
        (why.missing() == Missing::Tolerance).then(|| outcome.clone())
    })
    .await;
    committed(&outcome);
    assert!(outcome.verdict.is_none(), "{outcome:?}");
    let tid = vatic_core::id::Tid::from_bytes(&outcome.transaction_id).unwrap().to_string();
    for at in 0..vatic_tests::cluster::NODES {
        let endpoint = &cluster.endpoints()[at..=at];
        let told = vatic(endpoint, &["txn", "outcome", &tid, "-o", "json"]).json();
        assert_eq!(told["state"], "committed", "{told}");
        assert_eq!(told["unjudged"]["missing"], json!("tolerance"), "{told}");
        assert!(told["verdict"].is_null(), "{told}");
    }
}
