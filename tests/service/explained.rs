//! What leaders foresee of conflicts, and what they tell of those that were met.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value as Json;
use vatic_client::{
    Cause, Claim, Client, ClientError, Conflict, Peeked, Pipeline, PipelineOptions, Rollback,
};
use vatic_core::codec;
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::{GroupId, Timestamp};
use vatic_core::key::Key;
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::command::{vatic, vatic_with_input};
use vatic_tests::values::{core_key, key};
use vatic_tests::wait::{SOON, until, within};

/// Records that are fought over until a claim of one stands.
const FIGHTS_MAX: usize = 5;
/// A claim that no vote followed is kept for longer.
const CLAIM_STANDS: Duration = Duration::from_secs(1);

/// The write of a record that must still have the version that was read.
fn guarded(at: &Key, seen: &Peeked) -> Vec<Delta> {
    let version = seen.record.as_ref().map_or(Timestamp::ZERO, |record| record.version);
    let add = Op::Add { field: "value".to_owned(), by: 1 };
    [Op::Expect(Expect::Version(version)), add].map(|op| Delta { key: at.clone(), op }).to_vec()
}

pub(crate) async fn conflict_that_is_met_is_told_with_who_and_where(cluster: &Cluster) {
    let partition = cluster.partition(2, 0).await;
    let client = cluster.client();
    let pipeline = client.pipeline(PipelineOptions::default()).await.unwrap();
    let calm = core_key(&key("foreseen", &partition, "calm"));
    for number in 0..FIGHTS_MAX {
        let at = core_key(&key("foreseen", &partition, &format!("fought over {number}")));
        // From the first one on: a watch from now on misses what comes before its first look.
        let from = codec::encode(&BTreeMap::from([(GroupId(2), 0_u64)]));
        let mut feed = client.watch_conflicts(Some(&at), None, &from).await.unwrap();
        let Some(rollback) = fought_over(&pipeline, &at).await else { continue };
        let undisturbed = until("its leader is asked", SOON, || async {
            pipeline.peek_claiming(&calm, claim(3)).await.unwrap().advice
        });
        assert!(!undisturbed.await.in_turn);
        let met = told(&client, &at, &rollback).await;
        let seen = feed.next().await.unwrap();
        assert_eq!(seen, Some(met), "whoever watches is told the same");
        let none = client.conflicts(0, Some(&calm), None).await.unwrap();
        assert_eq!(none.conflicts, []);
        return commands_tell(cluster, &at, &rollback.tid.expect("it had an id").to_string());
    }
    panic!("{FIGHTS_MAX} times nobody was advised to take its turn");
}

fn claim(token: u64) -> Claim {
    Claim { token, by_hotness: true }
}

/// Two claim a record and write it: how the later one is rolled back. `None` where it is not
/// advised to take its turn: a leader that is new knows nothing of the first one's claim.
async fn fought_over(pipeline: &Pipeline, at: &Key) -> Option<Rollback> {
    let first = pipeline.peek_claiming(at, claim(1)).await.unwrap();
    // A few of a hundred are sent at once, so that it is learnt what becomes of them.
    let second = within(CLAIM_STANDS, || async {
        let second = pipeline.peek_claiming(at, claim(2)).await.unwrap();
        second.advice.is_some_and(|advice| advice.in_turn).then_some(second)
    });
    let second = second.await?;
    pipeline.submit_claimed(1, 0, &guarded(at, &first)).await.unwrap();
    let lost = pipeline.submit_claimed(2, 0, &guarded(at, &second)).await;
    let Err(ClientError::RolledBack(rollback)) = lost else { panic!("{lost:?}") };
    assert_eq!(rollback.cause, Cause::ExpectationFailed);
    Some(*rollback)
}

/// What the history of the group has of it.
async fn told(client: &Client, at: &Key, rollback: &Rollback) -> Conflict {
    let told = until("the group has it in its history", SOON, || async {
        let told = client.conflicts(0, Some(at), None).await.ok()?;
        (told.unreachable.is_empty() && !told.conflicts.is_empty()).then_some(told)
    });
    let told = told.await;
    assert_eq!(told.conflicts.len(), 1, "{told:?}");
    let met = &told.conflicts[0];
    assert_eq!((met.group, met.claimed, met.in_turn), (2, true, false));
    let why = met.rollback.as_ref().expect("it was rolled back");
    assert_eq!((Some(met.tid), why.key.as_ref()), (rollback.tid, Some(at)));
    assert!(met.strayed.is_none(), "{met:?}");
    assert!(met.lost_us > 0);
    met.clone()
}

/// The same by the command line, from a node that may not be the one that saw it.
fn commands_tell(cluster: &Cluster, at: &Key, tid: &str) {
    let endpoints = &cluster.endpoints()[..1];
    let json = |arguments: &[&str]| {
        let ended = vatic(endpoints, arguments);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    };
    let named = at.to_string();
    let listed = json(&["conflicts", "ls", "--key", &named, "--output", "json"]);
    assert_eq!(listed[0]["transaction_id"], Json::from(tid));
    assert_eq!(listed[0]["cause"], Json::from("expectation_failed"));
    let explained = json(&["conflicts", "explain", tid, "--output", "json"]);
    assert_eq!(explained[0]["key"], Json::from(named.clone()));
    let helps = explained[0]["would_have_helped"].as_str().expect("advice");
    assert!(helps.contains("less time between its read and its seal"), "{explained}");
    let top = json(&["conflicts", "top", "--limit", "1000", "--output", "json"]);
    let rows = top.as_array().expect("a list of records");
    let row = rows.iter().find(|row| row["key"] == named.clone());
    assert_eq!(row.expect("it is among them")["conflicts"], Json::from(1));
    let models = json(&["model", "ls", "--output", "json"]);
    let models = models.as_array().expect("a list of nodes");
    assert_eq!(models.len(), NODES);
    let labels: u64 = models.iter().filter_map(|model| model["labels"].as_u64()).sum();
    assert!(labels > 0, "somebody learnt of it");
}

pub(crate) async fn explanation_changes_nothing_and_names_each_record(cluster: &Cluster) {
    let [one, other] = [
        core_key(&key("explained", &cluster.partition(1, 0).await, "")),
        core_key(&key("explained", &cluster.partition(3, 0).await, "")),
    ];
    let script = format!("get {one}\nput {one} value=1\nadd {other} value=2\n");
    let arguments = ["explain", "-f", "-", "--output", "json"];
    let ended = vatic_with_input(cluster.endpoints(), &arguments, &script);
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = ended.json();
    let records = told["records"].as_array().expect("a list of records");
    let of = |record: &Json| (record["key"].clone(), record["group"].as_u64());
    let mut wanted =
        vec![(Json::from(one.to_string()), Some(1)), (Json::from(other.to_string()), Some(3))];
    wanted.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(records.iter().map(of).collect::<Vec<_>>(), wanted);
    assert!(records.iter().all(|record| record["ahead"] == 0), "{told}");
    let strategies = told["strategies"].as_array().expect("a list of strategies");
    let names = strategies.iter().map(|row| row["strategy"].as_str().unwrap_or_default());
    let all = ["optimistic", "rebase", "snapshot", "lock", "last-writer-wins"];
    assert_eq!(names.collect::<Vec<_>>(), all);
    assert_eq!(told["rollback"], Json::Null, "nothing is in its way: {told}");
    for key in [&one, &other] {
        assert_eq!(cluster.client().get(key).await.unwrap(), None);
    }
    // Its votes are tried out.
    let script = format!("put {one} value=1\nexpect {other} present\n");
    let ended = vatic_with_input(cluster.endpoints(), &arguments, &script);
    let told = ended.json();
    let rollback = &told["rollback"];
    assert_eq!(rollback["cause"], "expectation_failed", "{told}");
    assert_eq!(rollback["key"], other.to_string(), "{told}");
    assert!(rollback["message"].as_str().unwrap_or_default().contains("transition 2"), "{told}");
    let nothing = vatic_with_input(cluster.endpoints(), &arguments, "get a/b\n");
    assert_eq!(nothing.code, 2, "{nothing:?}");
    let too_many = vatic(cluster.endpoints(), &["conflicts", "ls", "--limit", "1001"]);
    assert_eq!(too_many.code, 2, "{too_many:?}");
}

/// Which models there are hangs on what the other tests teach; what is asked for must be there.
pub(crate) async fn model_that_is_not_there_is_not_pinned(cluster: &Cluster) {
    let client = cluster.client();
    let found = client.shared_models().await.unwrap();
    assert_eq!(found.pinned, None);
    let refused = client.pin_model(Some(u64::MAX)).await;
    let Err(ClientError::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.reason, "BAD_FRAME");
    client.pin_model(None).await.unwrap();
    let shown = vatic(cluster.endpoints(), &["model", "show", "--output", "json"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    let wrong = vatic(cluster.endpoints(), &["model", "pin", "oldest"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
}
