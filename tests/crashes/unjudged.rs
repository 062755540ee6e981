//! What cannot be judged: where forecasts are enforced it does not commit, and elsewhere its record
//! says that it was not judged, and why. So it is with what happens later, which nobody waits for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::bytes::Bytes;
use serde_json::{Value as Json, json};
use tonic::{Code, Status};
use vatic_client::TicketState;
use vatic_core::delta::{Delta, Op};
use vatic_core::id::Tid;
use vatic_core::key::Key;
use vatic_proto::v1::{self, unjudged::Missing};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic;
use vatic_tests::foreseen::{STEPS, STRANGE, begun, odd, ordinary};
use vatic_tests::values::{add, core_key, fields, int, key, number, put, transitions};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, committed, refused};

const COLLECTION: &str = "unheard";
const LATER: &str = "unheard-later";
/// A gateway hears no more what groups tolerate.
const ARMED: &str = "server::tolerance=return";
/// What it has heard before stands for 10 s.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// It is waited for at the seal for a second.
const WAITED_MS_MIN: u64 = 500;
/// A ticket that is judged is resolved long before.
const RESOLVED_MS: u32 = 30_000;
/// One that cannot be was tried several times.
const TRIED_MS: u32 = 4_000;

fn set(cluster: &Cluster, collection: &str, validation: &str) {
    let asked = ["policy", "set", collection, "--validation", validation];
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
    set(cluster, COLLECTION, "enforce");
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

    set(cluster, COLLECTION, "enforce");
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
    set(cluster, COLLECTION, "observe");
    let outcome = until("a stream goes on unjudged", SOON, || async {
        let outcome = streamed(cluster, at, name).await.outcome().await.ok()?;
        let why = outcome.unjudged.as_ref()?;
        (why.missing() == Missing::Tolerance).then(|| outcome.clone())
    })
    .await;
    committed(&outcome);
    assert!(outcome.verdict.is_none(), "{outcome:?}");
    let tid = Tid::from_bytes(&outcome.transaction_id).unwrap().to_string();
    for at in 0..vatic_tests::cluster::NODES {
        let endpoint = &cluster.endpoints()[at..=at];
        let told = vatic(endpoint, &["txn", "outcome", &tid, "-o", "json"]).json();
        assert_eq!(told["state"], "committed", "{told}");
        assert_eq!(told["unjudged"]["missing"], json!("tolerance"), "{told}");
        assert!(told["verdict"].is_null(), "{told}");
    }
}

/// What a ticket stands for.
fn later(record: &Key, strange: bool) -> Vec<Delta> {
    let more = match strange {
        false => vec![Op::Add { field: "value".into(), by: 1 }; STEPS - 1],
        true => vec![Op::RemoveField("odd".into()); STRANGE - 1],
    };
    let ops = std::iter::once(Op::Put(fields(0))).chain(more);
    ops.map(|op| Delta { key: record.clone(), op }).collect()
}

/// What is told of a transaction.
fn told(cluster: &Cluster, tid: &str) -> Json {
    let told = vatic(cluster.endpoints(), &["txn", "outcome", tid, "-o", "json"]);
    assert_eq!(told.code, 0, "{told:?}");
    told.json()
}

pub(crate) async fn ticket_is_judged_where_forecasts_are_enforced(cluster: &Cluster) {
    let name = key(LATER, &cluster.partition(1, 3).await, "");
    let (at, record) = (cluster.leader(1).await, &core_key(&name));
    let client = &cluster.client_of(at);
    until("enough was judged", SOON, || async {
        ordinary(client, record).await.unwrap()?.tolerance
    })
    .await;
    set(cluster, LATER, "enforce");
    let once = |strange| v1::SubmitRequest {
        transitions: transitions(deltas(&name, strange)),
        ..v1::SubmitRequest::default()
    };
    until("the leader's node enforces it", SOON, || async {
        let status = submit(cluster, at, &once(true)).await.err()?;
        (refused(&status).reason == "ROLLED_BACK").then_some(())
    })
    .await;

    until("an ordinary one is foreseen from its first transition", SOON, || async {
        let outcome = submit(cluster, at, &once(false)).await.ok()?;
        (outcome.verdict?.distance < 1.0).then_some(())
    })
    .await;

    // One that strays is over, and says why.
    let before = client.get(record).await.unwrap();
    let strange = client.enqueue(None, 1, &later(record, true)).await.unwrap();
    let state = client.ticket(&strange, RESOLVED_MS).await.unwrap();
    let TicketState::RolledBack(why) = state else { panic!("{state:?}") };
    assert!(why.contains("collection unheard-later enforces forecasts"), "{why}");
    assert_eq!(client.get(record).await.unwrap(), before, "nothing of it is there");
    let (_, attempt) = why.rsplit_once("see transaction ").expect("it names its attempt");
    let outcome = told(cluster, attempt);
    assert_eq!(
        (&outcome["state"], &outcome["cause"], &outcome["verdict"]["valid"]),
        (&json!("rolled_back"), &json!("forecast_mismatch"), &json!(false)),
        "{outcome}"
    );

    // One that does not commits: what its leader adds to it is no distance.
    let same = client.enqueue(None, 1, &later(record, false)).await.unwrap();
    let state = client.ticket(&same, RESOLVED_MS).await.unwrap();
    let TicketState::Committed { tid, .. } = state else { panic!("{state:?}") };
    assert_eq!(number(client.get(record).await.unwrap().as_ref()), STEPS as i64 - 1);
    let verdict = &told(cluster, &tid.to_string())["verdict"];
    assert_eq!(verdict["valid"], json!(true), "{verdict}");
    assert!(verdict["distance"].as_f64().unwrap() < 1.0, "{verdict}");

    waits_until_it_can_be_judged(cluster, at, record, &once(false)).await;
    set(cluster, LATER, "observe");
}

async fn waits_until_it_can_be_judged(
    cluster: &Cluster,
    at: usize,
    record: &Key,
    once: &v1::SubmitRequest,
) {
    let client = &cluster.client_of(at);
    cluster.arm(at, ARMED).await;
    until("what it had heard is too old", FORGOTTEN, || async {
        let status = submit(cluster, at, once).await.err()?;
        (refused(&status).reason == "UNJUDGED").then_some(())
    })
    .await;
    let waits = client.enqueue(None, 1, &later(record, false)).await.unwrap();
    let state = client.ticket(&waits, TRIED_MS).await.unwrap();
    assert_eq!(state, TicketState::Queued, "nobody could judge it");
    cluster.disarm(at, ARMED).await;
    let state = client.ticket(&waits, RESOLVED_MS).await.unwrap();
    assert!(matches!(state, TicketState::Committed { .. }), "{state:?}");
}
