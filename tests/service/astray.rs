//! Streams that leave the way that was forecast of them: told while they run, noted, and ended
//! where their client asks for that and their collections mind. Nothing of it decides what is
//! sealed.

use serde_json::json;
use vatic_core::id::Tid;
use vatic_proto::v1::{
    self, RollbackCause, transact_response::Frame as Answer, warning_frame::What,
};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic;
use vatic_tests::foreseen::{STRANGE, begun, odd, ordinary};
use vatic_tests::values::{core_key, int, key, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{Stream, committed, rollback};

/// A strange stream that is not sealed, and its name.
async fn strange(
    cluster: &Cluster,
    at: usize,
    name: &v1::Key,
    abort_strayed: bool,
) -> (Stream, String) {
    let foresight = v1::Foresight {
        forecasts: true,
        warnings: true,
        abort_strayed,
        ..v1::Foresight::default()
    };
    let mut stream = begun(cluster, at, foresight).await;
    stream.write(put(name, int(0))).await;
    let tid = Tid::from_bytes(&stream.id().await).unwrap().to_string();
    for _ in 1..STRANGE {
        stream.write(odd(name)).await;
    }
    (stream, tid)
}

/// That a stream strays, as it is told.
async fn astray(stream: &mut Stream) -> v1::SoFar {
    let told = stream.find(|answer| match answer {
        Answer::Warning(warning) if warning.what() == What::Strayed => Some(warning.clone()),
        Answer::Outcome(ended) => panic!("it ended untold: {ended:?}"),
        _ => None,
    });
    let told = tokio::time::timeout(SOON, told).await.expect("it is told").unwrap();
    assert!(told.key.is_none() && told.found_version == 0, "{told:?}");
    let so_far = told.so_far.expect("and how far");
    assert!(!so_far.valid && so_far.from_transitions < so_far.transitions, "{so_far:?}");
    assert!(so_far.tolerance.is_some_and(|most| so_far.score > most), "{so_far:?}");
    assert!(so_far.distance > 1.0, "{so_far:?}");
    so_far
}

fn set(cluster: &Cluster, validation: &str) {
    let asked = ["policy", "set", "astray", "--validation", validation];
    let done = vatic(cluster.endpoints(), &asked);
    assert_eq!(done.code, 0, "{done:?}");
}

pub(crate) async fn stream_that_strays_is_told_so_on_its_way_and_judged_at_its_seal_alone(
    cluster: &Cluster,
) {
    let at = 1;
    let name = key("astray", &cluster.partition(2, 2).await, "");
    let (client, record) = (&cluster.client_of(at), &core_key(&name));
    until("enough was judged", SOON, || async {
        ordinary(client, record).await.unwrap()?.tolerance
    })
    .await;

    // Nobody asked for its end: it is told, and goes on to its seal.
    set(cluster, "observe");
    let (mut stream, tid) = strange(cluster, at, &name, false).await;
    astray(&mut stream).await;
    stream.seal().await;
    committed(&stream.outcome().await.unwrap());
    let row = until("it is an anomaly", SOON, || async {
        let listed = vatic(cluster.endpoints(), &["anomalies", "ls", "-o", "json"]).json();
        let mut rows = listed.as_array().unwrap().iter();
        rows.find(|row| row["transaction_id"] == tid && row["running"] == json!(true)).cloned()
    })
    .await;
    assert_eq!((&row["verdict"]["valid"], &row["quarantined"]), (&json!(false), &json!(false)));
    assert!(row["strays"].as_str().unwrap().contains("more `remove_field astray(odd)`"), "{row}");

    // A policy that only tells ends nothing, whoever asks.
    until("the gateway has heard of it", SOON, || async {
        let (mut stream, _) = strange(cluster, at, &name, true).await;
        astray(&mut stream).await;
        stream.seal().await;
        let outcome = stream.outcome().await.ok()?;
        (outcome.state() == v1::outcome::State::Committed).then_some(())
    })
    .await;

    let before = client.get(record).await.unwrap();
    set(cluster, "resolve");
    ended(cluster, at, &name, RollbackCause::ForecastMismatch).await;
    set(cluster, "quarantine");
    ended(cluster, at, &name, RollbackCause::Quarantined).await;
    assert_eq!(client.get(record).await.unwrap(), before, "nothing of them is there");
    set(cluster, "observe");
}

/// Before its seal, typed, and for good, where its gateway has heard of the policy.
async fn ended(cluster: &Cluster, at: usize, name: &v1::Key, cause: RollbackCause) {
    let outcome = until("a stream that strays is ended", SOON, || async {
        let (mut stream, _) = strange(cluster, at, name, true).await;
        // It is never sealed.
        let outcome = tokio::time::timeout(SOON / 10, stream.outcome()).await.ok()?.ok()?;
        (rollback(&outcome).cause() == cause).then_some(outcome)
    })
    .await;
    let why = rollback(&outcome);
    assert!(!why.retryable && why.message.contains("before its seal, as asked for"), "{why:?}");
}
