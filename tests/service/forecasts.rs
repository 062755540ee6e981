//! Streams that are foreseen: forecasts, warnings, early ends, verdicts and what is strange.
//!
//! Each test has collections of its own, so that its streams are of classes of their own. All nodes
//! learn from the streams of all, a sample of them where there are many.

use std::time::{Duration, Instant};

use serde_json::json;
use tonic::Code;
use vatic_client::{
    Client, ClientError, Committed, Disturbance, Evidence, Foresight, Notice, Outcome, OutcomeOf,
    Transaction, Verdict,
};
use vatic_core::key::Key;
use vatic_core::receipt::{Assurance, Receipt};
use vatic_proto::v1::{
    self, RollbackCause, anomaly_service_client::AnomalyServiceClient, transact_request::Frame,
    transact_response::Frame as Answer,
};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::{vatic, vatic_with_input};
use vatic_tests::values::{add, core_key, fields, int, key, number, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed, refused, rollback};

/// Streams of a class that a test has its node learn from.
const LEARNT: usize = 40;
/// Transitions of each.
const STEPS: u64 = 12;
/// With so many, the node has judged enough to find some invalid.
const ENOUGH: u64 = 32;
/// Largest receipt of a transaction of one group, judged or not.
const RECEIPT_BYTES_MAX: usize = 2 << 10;
/// Longest wait for a forecast, before another stream is asked about.
const FORECAST_MAX: Duration = Duration::from_millis(200);
/// Between two frames of a stream that waits to be told something.
const LOOK: Duration = Duration::from_millis(20);

/// Begins a stream on a node whose client wants to be told everything.
async fn begin(cluster: &Cluster, at: usize, abort_early: bool) -> Stream {
    let foresight =
        v1::Foresight { forecasts: true, warnings: true, abort_early, abort_strayed: false };
    let begin = v1::BeginFrame { foresight: Some(foresight), ..v1::BeginFrame::default() };
    let stream = Stream::open(cluster.channel(at)).await;
    stream.send(Frame::Begin(begin)).await;
    stream
}

/// An ordinary transaction of the class: a put, then additions to it.
async fn ordinary(txn: &Transaction, name: &Key) -> Result<(), ClientError> {
    txn.put(name, fields(0)).await?;
    for _ in 1..STEPS {
        txn.add(name, "value", 1).await?;
    }
    Ok(())
}

/// Has a node learn a class.
async fn teach(client: &Client, name: &Key) {
    for _ in 0..LEARNT {
        client.run(|txn| async move { ordinary(&txn, name).await }).await.unwrap();
    }
}

/// A forecast of a stream of the class after two transitions, once enough is learnt. Where nodes
/// are busy streams are left out, so that more are run meanwhile.
async fn foreseen(cluster: &Cluster, at: usize, name: &v1::Key) -> v1::ForecastFrame {
    let (client, record) = (&cluster.client_of(at), &core_key(name));
    until("a stream is forecast", SOON, || async {
        client.run(|txn| async move { ordinary(&txn, record).await }).await.unwrap();
        let mut stream = begin(cluster, at, false).await;
        stream.write(put(name, int(0))).await;
        stream.write(add(name, 1)).await;
        stream.acknowledged().await;
        let told = stream.find(|answer| match answer {
            Answer::Forecast(frame) if frame.exemplars >= ENOUGH => Some(frame.clone()),
            _ => None,
        });
        tokio::time::timeout(FORECAST_MAX, told).await.ok()?.ok()
    })
    .await
}

pub(crate) async fn repeated_stream_is_forecast_from_its_first_transitions(cluster: &Cluster) {
    let at = 0;
    let name = key("foreseen", &cluster.partition(1, 3).await, "");
    teach(&cluster.client_of(at), &core_key(&name)).await;
    let frame = foreseen(cluster, at, &name).await;
    assert!(frame.transitions <= 2, "{frame:?}");
    assert!(frame.expected_transitions.abs_diff(STEPS) <= 2, "{frame:?}");
    assert_eq!(frame.expected_participants, 1);
    assert!(!frame.forecaster.is_empty() && frame.strayed.is_none_or(|by| by < 1.0), "{frame:?}");
    // The command prints it, and how it ended.
    let partition = &name.partition;
    let mut script = format!("put foreseen/{partition} value=0\n");
    (1..STEPS).for_each(|_| script += &format!("add foreseen/{partition} value=1\n"));
    let endpoint = &cluster.endpoints()[at..=at];
    let asked = ["txn", "-f", "-", "--forecast", "-o", "json"];
    until("the command is routed to the node that knows", SOON, || async {
        let done = vatic_with_input(endpoint, &asked, &script);
        assert_eq!(done.code, 0, "{done:?}");
        let notices = done.json()["notices"].as_array().unwrap().clone();
        let kinds: Vec<_> = notices.iter().map(|notice| notice["notice"].clone()).collect();
        let all = kinds.contains(&json!("forecast")) && kinds.contains(&json!("verdict"));
        all.then_some(())
    })
    .await;
}

pub(crate) async fn stream_is_warned_before_its_seal_of_what_another_wrote(cluster: &Cluster) {
    let name = key("warned", &cluster.partition(2, 3).await, "");
    let client = cluster.client();
    let record = &core_key(&name);
    client.run(|txn| async move { txn.put(record, fields(1)).await }).await.unwrap();
    // Through each node: those that lead the group look at themselves, the others ask.
    for at in 0..vatic_tests::cluster::NODES {
        let mut stream = begin(cluster, at, false).await;
        let read = stream.read(&name).await.record.unwrap().version;
        client.run(|txn| async move { txn.put(record, fields(2)).await }).await.unwrap();
        let warned = stream.find(|answer| match answer {
            Answer::Warning(warning) if warning.found_version != read => Some(warning.clone()),
            _ => None,
        });
        let warning = warned.await.unwrap();
        assert_eq!(warning.what(), v1::warning_frame::What::Overwritten);
        assert_eq!(warning.key.as_ref(), Some(&name));
        assert_eq!(warning.read_version, read);
        assert!(warning.found_version > read, "{warning:?}");
        // It is what the votes say, too.
        stream.write(add(&name, 1)).await;
        let outcome = stream.commit().await;
        assert_eq!(rollback(&outcome).cause(), RollbackCause::StaleRead);
    }
    let found = client.get(record).await.unwrap();
    assert_eq!(number(found.as_ref()), 2, "nothing of the warned ones is left");
}

pub(crate) async fn stream_that_asks_for_it_ends_before_its_seal(cluster: &Cluster) {
    let partition = cluster.partition(3, 3).await;
    let (name, other) = (key("early", &partition, ""), key("early", &partition, "other"));
    let client = cluster.client();
    let (record, untouched) = (&core_key(&name), &core_key(&other));
    let mut stream = begin(cluster, 1, true).await;
    let read = stream.read(&name).await;
    assert!(read.record.is_none());
    stream.write(put(&other, int(7))).await;
    stream.acknowledged().await;
    client.run(|txn| async move { txn.put(record, fields(1)).await }).await.unwrap();
    let outcome = stream.outcome().await.unwrap();
    let why = rollback(&outcome);
    assert_eq!((why.cause(), why.key.as_ref()), (RollbackCause::StaleRead, Some(&name)));
    assert!(why.retryable && why.expected_version == 0 && why.actual_version > 0, "{why:?}");
    assert!(client.get(untouched).await.unwrap().is_none(), "nothing of it is left");
    // The library begins anew, and is told why on the way.
    let foresight = Foresight { warnings: true, abort_early: true, ..Foresight::default() };
    let (disturbed, warned) = (&tokio::sync::Mutex::new(false), &std::sync::Mutex::new(0));
    let done = client.transaction().foresee(foresight).run(|txn| {
        let client = cluster.client();
        async move {
            txn.read(record).await?;
            txn.put(untouched, fields(8)).await?;
            let mut once = disturbed.lock().await;
            if !std::mem::replace(&mut *once, true) {
                client.run(|other| async move { other.put(record, fields(2)).await }).await?;
                let ends = Instant::now() + SOON;
                while Instant::now() < ends {
                    if let Some(Notice::Warning(warning)) = txn.next_notice(LOOK).await? {
                        assert_eq!(warning.what, Disturbance::Overwritten);
                        *warned.lock().unwrap() += 1;
                    }
                }
                panic!("it should have ended");
            }
            Ok(())
        }
    });
    assert_eq!((done.await.unwrap().attempts, *warned.lock().unwrap()), (2, 1));
    assert_eq!(number(client.get(untouched).await.unwrap().as_ref()), 8);
}

pub(crate) async fn strange_stream_is_invalid_and_listed_and_ordinary_ones_are_not(
    cluster: &Cluster,
) {
    let at = 2;
    let name = key("judged", &cluster.partition(4, 3).await, "");
    let (client, record) = (cluster.client_of(at), &core_key(&name));
    teach(&client, record).await;
    foreseen(cluster, at, &name).await;
    until("enough was judged to tolerate less than all", SOON, || async {
        judged(&client, record, false).await.1.tolerance
    })
    .await;
    // About one of twenty ordinary ones may be unlucky, hardly three one after the other.
    let mut ordinary_one = None;
    for _ in 0..3 {
        let (committed, verdict) = judged(&client, record, false).await;
        assert_eq!(verdict.actual_transitions, STEPS);
        assert!(verdict.expected_transitions.abs_diff(STEPS) <= 2, "{verdict:?}");
        if verdict.valid {
            ordinary_one = Some(committed);
        }
    }
    let ordinary_one = ordinary_one.expect("an ordinary stream is valid");
    receipt_proves_the_judgement(cluster, &ordinary_one, true).await;
    let ordinary_one = ordinary_one.tid.to_string();
    let (strange_one, verdict) = judged(&client, record, true).await;
    receipt_proves_the_judgement(cluster, &strange_one, false).await;
    let strange_one = strange_one.tid.to_string();
    assert!(!verdict.valid && verdict.distance > 5.0, "{verdict:?}");
    assert!(verdict.tolerance.is_some_and(|most| verdict.score > most), "{verdict:?}");
    let row = until("the strange one is listed", SOON, || async {
        let listed = vatic(cluster.endpoints(), &["anomalies", "ls", "-o", "json"]);
        assert_eq!(listed.code, 0, "{listed:?}");
        let listed = listed.json();
        let mut rows = listed.as_array().unwrap().iter();
        assert!(rows.clone().all(|row| row["transaction_id"] != ordinary_one));
        rows.find(|row| row["transaction_id"] == strange_one).cloned()
    })
    .await;
    assert_eq!((&row["node"], &row["class"]), (&json!(at + 1), &json!("put judged(value)")));
    assert!(row["strays"].as_str().unwrap().contains("more `merge judged(odd)`"), "{row}");
    assert!(row["p_value"].as_f64().unwrap() < 0.2 && row["verdict"]["valid"] == json!(false));
    let table = vatic(cluster.endpoints(), &["anomalies", "ls"]);
    assert!(table.stdout.contains(&strange_one), "{table:?}");
    // Whatever was forecast: what was committed is proven, and nobody is told more than is kept.
    let outcome = vatic(cluster.endpoints(), &["txn", "outcome", &strange_one, "-o", "json"]);
    assert_eq!(outcome.json()["state"], "committed", "{outcome:?}");
    let mut service = AnomalyServiceClient::new(cluster.channel(at));
    let asked = v1::ListAnomaliesRequest { limit: 1_000_000, quarantined: false };
    let status = service.list_anomalies(asked).await.unwrap_err();
    let error = refused(&status);
    assert_eq!((error.code, error.reason.as_str()), (Code::InvalidArgument, "LIMIT_EXCEEDED"));
    assert_eq!(
        (&*error.metadata["limit"], &*error.metadata["actual"]),
        ("anomalies_max", "1000000")
    );
    watched(cluster, at, &strange_one).await;
}

/// The complete receipt of a judged transaction of one group is no larger than others may be, and
/// verifies offline, with its judgement; with a bit of any byte flipped it does not.
async fn receipt_proves_the_judgement(cluster: &Cluster, committed: &Committed, valid: bool) {
    let (client, deltas) = (cluster.client(), &committed.evidence.deltas);
    let pinned = client.cluster(false).await.unwrap().trusted_keys();
    let complete = until("a majority of the group's replicas has signed", SOON, || async {
        let asked = client.outcome(OutcomeOf::Transaction(committed.tid)).await.ok()?;
        let Outcome::Committed(asked) = asked else { panic!("{asked:?}") };
        let complete = Evidence { deltas: deltas.clone(), receipt: asked.evidence.receipt };
        (complete.verify_signed(&pinned) == Ok(Assurance::Complete)).then_some(complete)
    })
    .await;
    let bytes = complete.receipt.len();
    println!("  the complete receipt of {} judged transitions has {bytes} bytes", deltas.len());
    assert!(bytes <= RECEIPT_BYTES_MAX, "{bytes} bytes");
    let receipt = Receipt::from_bytes(&complete.receipt).expect("it verifies");
    assert_eq!(receipt.body.participants.len(), 1);
    let judgement = receipt.body.finding.judgement().cloned().expect("it was judged");
    assert_eq!((judgement.verdict.valid, judgement.count), (valid, deltas.len() as u64));
    for byte in 0..bytes {
        let mut tampered = complete.clone();
        tampered.receipt[byte] ^= 1 << (byte % 8);
        let verified = tampered.verify_signed(&pinned);
        assert_ne!(verified, Ok(Assurance::Complete), "byte {byte} of the receipt");
    }
}

/// Runs a stream of the class, step by step, and answers what it committed and its verdict. Its
/// receipt verifies, or it would be an error.
async fn judged(client: &Client, name: &Key, strange: bool) -> (Committed, Verdict) {
    #[derive(Default)]
    struct Heard(std::sync::Mutex<Option<Verdict>>);
    impl vatic_client::Observer for Heard {
        fn told(&self, notice: &Notice) {
            if let Notice::Verdict(verdict) = notice {
                *self.0.lock().unwrap() = Some(verdict.clone());
            }
        }
    }
    until("a stream is judged", SOON, || async {
        let heard = Heard::default();
        let foresight = Foresight { forecasts: true, ..Foresight::default() };
        let run = client.transaction().foresee(foresight).observe(&heard).run(|txn| async move {
            if !strange {
                return ordinary(&txn, name).await;
            }
            txn.put(name, fields(0)).await?;
            for odd in 0..2 * STEPS as i64 {
                let odd = [("odd".to_owned(), odd.into())].into();
                txn.merge(name, odd).await?;
            }
            Ok(())
        });
        let done = run.await.unwrap();
        let verdict = heard.0.lock().unwrap().take();
        Some((done.committed, verdict?))
    })
    .await
}

/// Whoever watches is told what is kept.
async fn watched(cluster: &Cluster, at: usize, strange_one: &str) {
    let client = cluster.client_of(at);
    let mut feed = client.watch_anomalies_of(&cluster.endpoints()[at], 0).await.unwrap();
    let told = async {
        while let Some(anomaly) = feed.next().await.unwrap() {
            if anomaly.tid.to_string() == strange_one {
                return;
            }
        }
        panic!("the feed ended");
    };
    tokio::time::timeout(SOON, told).await.expect("it is told");
}

pub(crate) async fn stream_that_asks_for_nothing_is_told_nothing(cluster: &Cluster) {
    let name = key("untold", &cluster.partition(1, 2).await, "untold");
    let mut stream = Stream::begin(cluster.channel(0)).await;
    stream.read(&name).await;
    let record = &core_key(&name);
    let client = cluster.client();
    client.run(|txn| async move { txn.put(record, fields(1)).await }).await.unwrap();
    stream.write(put(&key("untold", &name.partition, "more"), int(1))).await;
    stream.seal().await;
    loop {
        match stream.next().await.unwrap().expect("the outcome comes last") {
            Answer::Forecast(_) | Answer::Warning(_) => panic!("nobody asked for it"),
            Answer::Outcome(ended) => {
                assert_eq!(rollback(&ended.outcome.unwrap()).cause(), RollbackCause::StaleRead);
                break;
            }
            _ => {}
        }
    }
    let mut again = Stream::begin(cluster.channel(0)).await;
    again.write(put(&name, int(2))).await;
    committed(&again.commit().await);
}
