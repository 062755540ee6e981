//! A node that is asked to stop goes in order.

use std::time::Duration;

use serde_json::Value as Json;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use vatic_core::id::Tid;
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, GROUPS, NODES, SLOW_TRANSACTION_MS};
use vatic_tests::command::vatic;
use vatic_tests::values::{add, core_key, int, key, number, put, transitions};
use vatic_tests::wait::{SOON, until, within};
use vatic_tests::wire::{self, Stream, committed, refused};

/// Longer than what is slow, shorter than what an election waits for.
const STALL: Duration = Duration::from_millis(SLOW_TRANSACTION_MS + 200);
/// Votes that are stalled until one is in the log.
const STALLS_MAX: usize = 5;
/// A line is in the log long before.
const LOGGED: Duration = Duration::from_secs(5);

/// The client, its gateway and the log of the leader wait; the leader says what for.
pub(crate) async fn vote_without_a_quorum_is_in_the_slow_log_of_its_driver(cluster: &Cluster) {
    let partition = cluster.partition(2, 0).await;
    for number in 0..STALLS_MAX {
        let name = key("stalled", &partition, &number.to_string());
        let line = stalled(cluster, &name).await;
        cluster.wait_ready().await;
        cluster.wait_agreed().await;
        let Some(line) = line else { continue };
        let vote = line.split_once("group 2: ").and_then(|(_, vote)| vote.split_once(" ms"));
        let vote_ms: Option<u64> = vote.and_then(|(ms, _)| ms.parse().ok());
        if vote_ms.is_some_and(|ms| ms >= SLOW_TRANSACTION_MS) {
            return;
        }
        println!("  {line}");
    }
    panic!("{STALLS_MAX} stalled votes are not in the slow log");
}

/// The line on a transaction whose vote was stalled. `None` where it is not the leader's any more:
/// on a slow machine the stall may be long enough for an election.
async fn stalled(cluster: &Cluster, name: &v1::Key) -> Option<String> {
    let leader = cluster.leader(2).await;
    let others: Vec<usize> = (0..NODES).filter(|at| *at != leader).collect();
    let mut stream = Stream::begin(cluster.channel(leader)).await;
    stream.write(put(name, int(1))).await;
    let tid = Tid::from_bytes(&stream.id().await).expect("an id of 20 bytes").to_string();
    stream.acknowledged().await;
    others.iter().for_each(|at| cluster.pause(*at));
    stream.seal().await;
    tokio::time::sleep(STALL).await;
    others.iter().for_each(|at| cluster.resume(*at));
    let outcome = stream.outcome().await.ok()?;
    if outcome.state() != v1::outcome::State::Committed {
        println!("  {outcome:?}");
        return None;
    }
    within(LOGGED, || async {
        let lines = cluster.logged(leader, "slow transaction at its driver");
        lines.into_iter().find(|line| line.contains(&tid))
    })
    .await
}

/// It says so, takes nothing new, lets a running stream commit, and leaves leaders behind.
pub(crate) async fn node_asked_to_stop_ends_its_streams_and_hands_leadership_over(
    cluster: &Cluster,
) {
    let leaving = cluster.leader(1).await;
    let staying = (leaving + 1) % NODES;
    let name = key("stopping", &cluster.partition(1, 0).await, "");
    // Connections of before: new ones may be refused.
    let channel = cluster.channel(leaving);
    let mut running = Stream::begin(channel.clone()).await;
    running.write(put(&name, int(1))).await;
    running.acknowledged().await;
    cluster.ask_to_stop(leaving);
    until("the node says that it does not serve", SOON, || async {
        let mut health = HealthClient::new(channel.clone());
        let answer = health.check(HealthCheckRequest::default()).await.ok()?.into_inner();
        (answer.status() == ServingStatus::NotServing).then_some(())
    })
    .await;
    let (ready, why) = cluster.admin(leaving, "/readyz").await.unwrap();
    assert_eq!((ready, why.as_str()), (503, "the node is closing\n"));
    let (alive, _) = cluster.admin(leaving, "/healthz").await.unwrap();
    assert_eq!(alive, 200, "it lives, and has a stream to end");
    let transitions = transitions(vec![add(&name, 1)]);
    let request = v1::SubmitRequest { transitions, ..Default::default() };
    let error = refused(&wire::transactions(channel).submit(request).await.unwrap_err());
    assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    committed(&running.commit().await);
    until("the node is gone", SOON, || async { cluster.stopped(leaving).then_some(()) }).await;
    let found = cluster.client_of(staying).get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), 1);
    assert_ne!(cluster.leader(1).await, leaving);
    cluster.restart(leaving);
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
}

/// Whether the others hang or are dead, who is left neither says that it is ready nor names leaders
/// whom nobody hears, its own groups' included.
pub(crate) async fn node_that_lost_its_majority_is_not_ready_until_that_is_back(cluster: &Cluster) {
    let staying = cluster.leader(1).await;
    let others: Vec<usize> = (0..NODES).filter(|at| *at != staying).collect();
    others.iter().for_each(|at| cluster.pause(*at));
    lost_majority_is_told(cluster, staying).await;
    others.iter().for_each(|at| cluster.resume(*at));
    cluster.wait_ready().await;
    others.iter().for_each(|at| cluster.kill(*at));
    lost_majority_is_told(cluster, staying).await;
    let status = vatic(&cluster.endpoints()[staying..=staying], &["status", "--output", "json"]);
    let groups = status.json()["groups"].as_array().expect("a list").clone();
    assert!(groups.iter().all(|group| group["leader"].is_null()), "{status:?}");
    others.iter().for_each(|at| cluster.restart(*at));
    cluster.wait_ready().await;
    until("the node says that it is ready", SOON, || async {
        let (ready, _) = cluster.admin(staying, "/readyz").await.unwrap();
        (ready == 200).then_some(())
    })
    .await;
    cluster.wait_agreed().await;
}

async fn lost_majority_is_told(cluster: &Cluster, staying: usize) {
    let groups: Vec<String> = (0..=GROUPS).map(|group| group.to_string()).collect();
    let all = format!("no leader was heard of: group {}\n", groups.join(", "));
    until("the node says that no group has a leader", SOON, || async {
        let (ready, why) = cluster.admin(staying, "/readyz").await.unwrap();
        (ready == 503 && why == all).then_some(())
    })
    .await;
    let mut health = HealthClient::new(cluster.channel(staying));
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let seen = cluster.client_of(staying).cluster_locally().await.unwrap();
    assert!(!seen.ready && seen.groups.iter().all(|group| group.leader.is_none()), "{seen:?}");
}

/// Whoever gave up can ask later, by what the error said.
pub(crate) async fn command_that_ends_in_doubt_names_the_request_that_can_be_asked_for(
    cluster: &Cluster,
) {
    let leader = cluster.leader(2).await;
    let others: Vec<usize> = (0..NODES).filter(|at| *at != leader).collect();
    let name = core_key(&key("doubted", &cluster.partition(2, 0).await, ""));
    let endpoint = cluster.endpoints()[leader].clone();
    others.iter().for_each(|at| cluster.pause(*at));
    let put = name.to_string();
    let ended = tokio::task::spawn_blocking(move || {
        vatic(&[endpoint], &["put", &put, "value=1", "--timeout-ms", "2000", "--output", "json"])
    });
    let ended = ended.await.unwrap();
    others.iter().for_each(|at| cluster.resume(*at));
    assert_eq!(ended.code, 6, "{ended:?}");
    let said: Json = serde_json::from_str(ended.stderr.lines().last().unwrap()).unwrap();
    let request = said["error"]["request_id"].as_str().expect("it has a name").to_owned();
    assert!(said["error"]["message"].as_str().unwrap().contains(&request), "{ended:?}");
    cluster.wait_ready().await;
    // It may commit between two looks.
    until("what is told of it is so", SOON, || async {
        let told = vatic(cluster.endpoints(), &["txn", "outcome", &request, "--output", "json"]);
        println!("  {told:?}");
        let there = cluster.client().get(&name).await.unwrap().is_some();
        let state = if there { "committed" } else { "unknown" };
        let told: Json = serde_json::from_str(&told.stdout).ok()?;
        (told["state"] == state).then_some(())
    })
    .await;
    cluster.wait_agreed().await;
}
