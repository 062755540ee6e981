//! What collections ask for: transactions that stray from their forecasts, let through or not.

use serde_json::{Value as Json, json};
use vatic_client::{Cause, Client, ClientError, Foresight, Rollback, Transaction, Verdict};
use vatic_core::{
    delta::{Delta, Op},
    key::Key,
};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::{vatic, vatic_with_input};
use vatic_tests::values::{core_key, fields, key};
use vatic_tests::wait::{SOON, until};

/// Transitions of an ordinary transaction, and of a strange one.
const STEPS: usize = 8;
const STRANGE: usize = 24;

/// An ordinary transaction, or one that is strange by its steps on a field.
fn deltas(name: &Key, strange: Option<&str>) -> Vec<Delta> {
    let put = Op::Put(fields(0));
    let more = match strange {
        None => std::iter::repeat_n(Op::Add { field: "value".into(), by: 1 }, STEPS - 1),
        Some(field) => std::iter::repeat_n(Op::RemoveField(field.into()), STRANGE - 1),
    };
    std::iter::once(put).chain(more).map(|op| Delta { key: name.clone(), op }).collect()
}

async fn stream(txn: &Transaction, deltas: &[Delta]) -> Result<(), ClientError> {
    for delta in deltas {
        txn.apply(delta).await?;
    }
    Ok(())
}

/// Runs a stream that asks for forecasts: its id, and how it was judged, if it was.
async fn run(client: &Client, deltas: &[Delta]) -> Result<(String, Option<Verdict>), ClientError> {
    let foresight = Foresight { forecasts: true, ..Foresight::default() };
    let run = client.transaction().foresee(foresight);
    let done = run.run(|txn| async move { stream(&txn, deltas).await }).await?;
    Ok((done.committed.tid.to_string(), done.committed.verdict))
}

/// Runs a strange stream until one is judged, which is rolled back. (One whose gateway has not
/// heard of the policy is not refused where it was not judged.)
async fn refused_stream(client: &Client, record: &Key) -> Rollback {
    until("a strange stream is judged", SOON, || async {
        let before = client.get(record).await.unwrap();
        match run(client, &deltas(record, Some("odd"))).await {
            Err(ClientError::RolledBack(rollback)) => {
                let after = client.get(record).await.unwrap();
                assert_eq!(after, before, "nothing of it is there");
                Some(*rollback)
            }
            Ok((_, None)) => None,
            other => panic!("a strange one was not rolled back: {other:?}"),
        }
    })
    .await
}

/// The same at once: it is judged where its gateway has heard of the policy.
async fn refused_at_once(client: &Client, record: &Key) -> Rollback {
    until("a strange one-shot is judged", SOON, || async {
        match client.submit(&deltas(record, Some("odd"))).await {
            Err(ClientError::RolledBack(rollback)) => Some(*rollback),
            Ok(committed) if committed.verdict.is_none() => None,
            other => panic!("a strange one was not rolled back: {other:?}"),
        }
    })
    .await
}

/// Runs a strange stream that is let through until one is judged: its id.
async fn let_through(client: &Client, record: &Key) -> String {
    let (tid, verdict) = until("a strange stream is judged", SOON, || async {
        let (tid, verdict) = run(client, &deltas(record, Some("odder"))).await.unwrap();
        Some((tid, verdict?))
    })
    .await;
    assert!(!verdict.valid, "{verdict:?}");
    tid
}

fn set(cluster: &Cluster, collection: &str, validation: &str) {
    let asked = ["policy", "set", collection, "--validation", validation];
    let done = vatic(cluster.endpoints(), &asked);
    assert_eq!(done.code, 0, "{done:?}");
}

/// The history of conflicts tells of what strayed: under which policy, and what came of it.
async fn told_of(cluster: &Cluster, tid: &str, (validation, cause): (&str, Json)) {
    let json = |arguments: &[&str]| {
        let done = vatic(cluster.endpoints(), arguments);
        assert_eq!(done.code, 0, "{done:?}");
        done.json()
    };
    let explained = until("it is in the history", SOON, || async {
        let found = json(&["conflicts", "explain", tid, "-o", "json"]);
        (found.as_array()?.len() == 1).then(|| found[0].clone())
    });
    let row = explained.await;
    assert_eq!((&row["what"], &row["transaction_id"]), (&json!("strayed"), &json!(tid)), "{row}");
    assert_eq!((&row["validation"], &row["cause"]), (&json!(validation), &cause), "{row}");
    let (score, tolerance) = (row["score"].as_f64().unwrap(), row["tolerance"].as_f64().unwrap());
    assert!(score > tolerance && row["class"].is_string(), "{row}");
    let helps = row["would_have_helped"].as_str().unwrap();
    assert!(helps.contains("anomalies ls"), "{row}");
    let listed = json(&["conflicts", "ls", "--limit", "1000", "-o", "json"]);
    let mut listed = listed.as_array().unwrap().iter();
    assert!(listed.any(|other| other["transaction_id"] == tid && other["what"] == "strayed"));
}

/// Has a node and the home group learn what is ordinary, until not everything is tolerated.
async fn teach(client: &Client, name: &Key) {
    until("enough was judged", SOON, || async {
        let (_, verdict) = run(client, &deltas(name, None)).await.unwrap();
        verdict?.tolerance
    })
    .await;
}

pub(crate) async fn collection_that_enforces_forecasts_refuses_what_strays(cluster: &Cluster) {
    let name = key("enforced", &cluster.partition(3, 2).await, "");
    let (client, record) = (&cluster.client_of(1), &core_key(&name));
    teach(client, record).await;
    set(cluster, "enforced", "enforce");
    let listed = vatic(cluster.endpoints(), &["policy", "ls", "-o", "json"]).json();
    let row = json!({
        "collection": "enforced", "validation": "enforce", "strategy": "optimistic",
    });
    assert!(listed.as_array().unwrap().contains(&row), "{listed}");

    let rollback = refused_stream(client, record).await;
    assert_eq!((rollback.cause, rollback.retryable), (Cause::ForecastMismatch, false));
    assert!(rollback.message.contains("collection enforced enforces"), "{rollback}");
    let verdict = rollback.verdict.expect("it was judged");
    assert!(!verdict.valid && verdict.distance > 3.0, "{verdict:?}");
    assert!(verdict.tolerance.is_some_and(|most| verdict.score > most), "{verdict:?}");
    // Its home group keeps how it was judged, and tells through every node.
    let tid = rollback.tid.unwrap().to_string();
    for at in 0..vatic_tests::cluster::NODES {
        let endpoint = &cluster.endpoints()[at..=at];
        let told = vatic(endpoint, &["txn", "outcome", &tid, "-o", "json"]).json();
        assert_eq!(
            (&told["state"], &told["cause"]),
            (&json!("rolled_back"), &json!("forecast_mismatch"))
        );
        // JSON's last digit is not that of the wire.
        let score = told["verdict"]["score"].as_f64().unwrap();
        assert!((score - verdict.score).abs() < 1e-9, "{told}");
    }

    told_of(cluster, &tid, ("enforce", json!("forecast_mismatch"))).await;

    // A one-shot is judged by the forecast from its first transition.
    let rollback = refused_at_once(client, record).await;
    assert_eq!(rollback.cause, Cause::ForecastMismatch);
    assert_eq!(rollback.verdict.map(|verdict| verdict.transitions), Some(1));
    until("an ordinary one commits", SOON, || async {
        client.submit(&deltas(record, None)).await.ok()
    })
    .await;

    // Where it is only observed it commits, and its receipt proves how it was judged.
    set(cluster, "enforced", "observe");
    let tid = let_through(client, record).await;
    let told = vatic(cluster.endpoints(), &["txn", "outcome", &tid, "-o", "json"]).json();
    assert_eq!((&told["state"], &told["verdict"]["valid"]), (&json!("committed"), &json!(false)));
    told_of(cluster, &tid, ("observe", json!(null))).await;
    let again = vatic_with_input(
        cluster.endpoints(),
        &["policy", "set", "no/such", "--validation", "observe"],
        "",
    );
    assert_ne!(again.code, 0, "a collection's name has no slash: {again:?}");
}

pub(crate) async fn collection_that_quarantines_keeps_aside_what_strays(cluster: &Cluster) {
    let name = key("guarded", &cluster.partition(1, 1).await, "");
    // One-shots go to the leader.
    let at = cluster.leader(1).await;
    let (client, record) = (&cluster.client_of(at), &core_key(&name));
    teach(client, record).await;
    set(cluster, "guarded", "quarantine");
    // Two: as a stream and at once.
    let streamed = refused_stream(client, record).await;
    let at_once = refused_at_once(client, record).await;
    let mut tids = Vec::new();
    for rollback in [streamed, at_once] {
        assert_eq!((rollback.cause, rollback.retryable), (Cause::Quarantined, false));
        assert!(rollback.message.contains("anomalies ls --quarantined"), "{rollback}");
        tids.push(rollback.tid.unwrap().to_string());
    }
    let ls = |more: &[&str]| {
        let done = vatic(cluster.endpoints(), &[&["anomalies", "ls", "-o", "json"], more].concat());
        assert_eq!(done.code, 0, "{done:?}");
        done.json().as_array().unwrap().clone()
    };
    until("both are kept aside", SOON, || async {
        let kept = ls(&["--quarantined"]);
        assert!(kept.iter().all(|row| row["quarantined"] == json!(true)), "{kept:?}");
        let of = |tid: &String| kept.iter().find(|row| row["transaction_id"] == json!(tid));
        let strays = tids.iter().map(|tid| Some(of(tid)?["strays"].as_str()?.to_owned()));
        let strays = strays.collect::<Option<Vec<String>>>()?;
        let named = |strays: &String| strays.contains("more `remove_field guarded(odd)`");
        assert!(strays.iter().all(named), "{strays:?}");
        Some(())
    })
    .await;
    told_of(cluster, &tids[0], ("quarantine", json!("quarantined"))).await;
    // What strays elsewhere is among the anomalies alone.
    set(cluster, "guarded", "observe");
    let tid = let_through(client, record).await;
    until("it is an anomaly", SOON, || async {
        ls(&[]).iter().any(|row| row["transaction_id"] == json!(tid)).then_some(())
    })
    .await;
    assert!(ls(&["--quarantined"]).iter().all(|row| row["transaction_id"] != json!(tid)));
}
