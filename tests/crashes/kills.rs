//! Nodes die by SIGKILL while they lead, while they serve streams, and all at once.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prost::bytes::Bytes;
use serde_json::Value as Json;
use vatic_client::{Outcome, OutcomeOf};
use vatic_core::id::Tid;
use vatic_core::key::Key;
use vatic_proto::v1;
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::command::vatic;
use vatic_tests::load::Load;
use vatic_tests::scrape::Scrape;
use vatic_tests::strikes::Strikes;
use vatic_tests::values::{add, core_key, fields, int, key, number, put, transitions};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, committed, refused};

const CLIENTS: usize = 6;
/// Between two seals of one gateway.
const PACE: Duration = Duration::from_millis(1);

pub(crate) async fn leader_killed_under_load_loses_nothing_and_doubles_nothing(cluster: &Cluster) {
    let load = Load::start(cluster, "led", "led-names", CLIENTS).await;
    load.progress(cluster, 30).await;
    let victim = cluster.leader(1).await;
    cluster.kill(victim);
    load.progress(cluster, 30).await;
    assert_ne!(cluster.leader(1).await, victim, "another leads meanwhile");
    let asked = cluster.endpoints().iter().enumerate().filter(|(at, _)| *at != victim);
    let asked: Vec<String> = asked.map(|(_, endpoint)| endpoint.clone()).collect();
    let verified = vatic(&asked, &["verify", "cluster", "--timeout-ms", "10000"]);
    let named = format!("no answer from node {}", victim + 1);
    assert!(verified.code == 3 && verified.stderr.contains(&named), "{verified:?}");
    cluster.restart(victim);
    load.progress(cluster, 30).await;
    cluster.wait_ready().await;
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

/// The replicas of a group that is written to are rarely at one index: what they have in common is
/// their chain up to where all of them have been. At rest their states are compared as well.
pub(crate) async fn replicas_are_verified_while_a_load_goes_on(cluster: &Cluster) {
    // A group that does not get on for two looks is told by its state.
    const TRIES: usize = 5;
    let load = Load::start(cluster, "verified", "verified-names", CLIENTS).await;
    load.progress(cluster, 30).await;
    let mut by_chain = false;
    for _ in 0..TRIES {
        let before = load.acknowledged();
        let compared = verified(cluster, &[]).await;
        let went_on = load.acknowledged() > before;
        let loaded = &compared[1..];
        by_chain |= went_on && loaded.iter().any(|what| what.starts_with("chain at "));
    }
    assert!(by_chain, "a group was in motion, and verified all the same");
    load.check(cluster).await;
    cluster.wait_agreed().await;
    let compared = verified(cluster, &["--states"]).await;
    assert!(compared.iter().all(|what| what.starts_with("state at ")), "{compared:?}");
}

/// What each group was found to agree by, group 0 first.
async fn verified(cluster: &Cluster, more: &'static [&'static str]) -> Vec<String> {
    const ASKED: [&str; 6] = ["verify", "cluster", "--timeout-ms", "30000", "--output", "json"];
    let endpoints = cluster.endpoints().to_vec();
    let ended =
        tokio::task::spawn_blocking(move || vatic(&endpoints, &[&ASKED[..], more].concat()));
    let ended = ended.await.expect("a command does not panic");
    assert_eq!(ended.code, 0, "{ended:?}");
    let rows = ended.json().as_array().expect("a list of groups").clone();
    assert_eq!(rows.len(), GROUPS as usize + 1, "{rows:?}");
    assert!(rows.iter().all(|row| row["agrees"] == true), "{rows:?}");
    let compared = rows.iter().map(|row| row["compared"].as_str().expect("it says by what"));
    compared.map(str::to_owned).collect()
}

/// A stream on two groups, all sent but the seal.
pub(crate) struct Open {
    pub(crate) stream: Stream,
    pub(crate) tid: Tid,
    pub(crate) keys: [Key; 2],
}

impl Open {
    /// Of groups 1 and 2, which are led by two nodes: who coordinates it is its gateway.
    pub(crate) async fn begin(cluster: &Cluster, gateway: usize, sort: &str) -> Open {
        Open::begin_in(cluster, gateway, [1, 2], sort).await
    }

    pub(crate) async fn begin_in(
        cluster: &Cluster,
        gateway: usize,
        [first, second]: [u32; 2],
        sort: &str,
    ) -> Open {
        let keys = [
            key("gateway", &cluster.partition(first, 0).await, sort),
            key("gateway", &cluster.partition(second, 0).await, sort),
        ];
        let mut stream = Stream::begin(cluster.channel(gateway)).await;
        for name in &keys {
            stream.write(put(name, int(1))).await;
        }
        let tid = Tid::from_bytes(&stream.id().await).expect("an id of 20 bytes");
        stream.acknowledged().await;
        Open { stream, tid, keys: keys.each_ref().map(core_key) }
    }
}

pub(crate) async fn gateway_killed_mid_stream_leaves_nothing_half_done(cluster: &Cluster) {
    const GATEWAY: usize = 0;
    const SEALED: usize = 48;
    let survivor = cluster.client_of(1);
    let mut sealed = Vec::new();
    for number in 0..SEALED {
        sealed.push(Open::begin(cluster, GATEWAY, &format!("sealed-{number:02}")).await);
    }
    let mut unsealed = Open::begin(cluster, GATEWAY, "unsealed").await;
    // A steady pace, no waiting: at the kill some have committed, some are voting, and of some
    // the gateway has not heard.
    for open in &sealed {
        open.stream.seal().await;
        tokio::time::sleep(PACE).await;
    }
    cluster.kill(GATEWAY);
    if let Ok(outcome) = unsealed.stream.outcome().await {
        // On a slow machine it had stalled for too long by then.
        let cause = outcome.rollback.as_ref().map(v1::Rollback::cause);
        assert_eq!(cause, Some(v1::RollbackCause::IdleTimeout), "nobody answers any more");
    }
    let absent = both(&survivor, &unsealed.keys).await;
    assert_eq!(absent, [None, None], "what was not sealed is not there");
    let mut states = [0, 0];
    for open in &sealed {
        let there = both(&survivor, &open.keys).await;
        assert_eq!(there[0].is_some(), there[1].is_some(), "{} is there by half", open.tid);
        states[usize::from(there[0].is_some())] += 1;
    }
    println!("  sealed at the kill: {} gone, {} committed", states[0], states[1]);
    // No lock is left: others write all of these.
    for open in sealed.iter().chain([&unsealed]) {
        let done = survivor.run(|txn| {
            let keys = open.keys.clone();
            async move {
                for name in &keys {
                    txn.add(name, "value", 1).await?;
                }
                Ok(())
            }
        });
        done.await.unwrap();
        let [first, second] = both(&survivor, &open.keys).await;
        assert_eq!(first, second);
        let outcome = survivor.outcome(OutcomeOf::Transaction(open.tid)).await.unwrap();
        let had_committed = matches!(outcome, Outcome::Committed(_));
        assert_eq!(first, Some(1 + i64::from(had_committed)), "{}: {outcome:?}", open.tid);
    }
    cluster.restart(GATEWAY);
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
}

/// Two records as of one instant.
pub(crate) async fn both(client: &vatic_client::Client, keys: &[Key; 2]) -> [Option<i64>; 2] {
    let found = client.read_set(keys, None).await.unwrap();
    [0, 1].map(|at: usize| found[at].as_ref().map(|record| number(Some(record))))
}

pub(crate) async fn request_repeated_after_its_node_was_killed_is_applied_once(cluster: &Cluster) {
    let name = key("killed", &cluster.partition(3, 0).await, "");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
    let request = v1::SubmitRequest {
        request_id: Some(v1::RequestId {
            id: Bytes::from_static(b"served by a node that dies"),
            route_key: name.partition.clone(),
            mint_unix_ms: now,
        }),
        transitions: transitions(vec![add(&name, 1)]),
        ..Default::default()
    };
    // Its leader serves it, so that the kill takes gateway and coordinator at once.
    let victim = cluster.leader(3).await;
    let mut service = wire::transactions(cluster.channel(victim));
    let original = service.submit(request.clone()).await.unwrap().into_inner().outcome.unwrap();
    committed(&original);
    cluster.kill(victim);
    for at in (0..NODES).filter(|at| *at != victim) {
        let again = until("the request is answered", SOON, || {
            let (mut service, request) = (wire::transactions(cluster.channel(at)), request.clone());
            async move { service.submit(request).await.ok() }
        });
        let again = again.await.into_inner().outcome.unwrap();
        assert!(again.replayed && committed(&again) == original.commit_version);
        assert_eq!(again.transaction_id, original.transaction_id);
        assert_eq!(wire::proofs(&again), wire::proofs(&original));
        let transitions = transitions(vec![add(&name, 2)]);
        let other = v1::SubmitRequest { transitions, ..request.clone() };
        let mut service = wire::transactions(cluster.channel(at));
        let error = refused(&service.submit(other).await.unwrap_err());
        assert_eq!(error.metadata["cause"], "ROLLBACK_CAUSE_REQUEST_ID_TAKEN");
    }
    let found = cluster.client().get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), 1);
    cluster.restart(victim);
    cluster.wait_ready().await;
}

pub(crate) async fn nodes_killed_and_stopped_at_random_lose_nothing(cluster: &Cluster) {
    const SEED: u64 = 7;
    const STRIKES: usize = 6;
    let load = Load::start(cluster, "struck", "struck-names", CLIENTS).await;
    let mut strikes = Strikes::new(SEED);
    for _ in 0..STRIKES {
        load.progress(cluster, 10).await;
        strikes.strike(cluster).await;
    }
    load.progress(cluster, 10).await;
    cluster.wait_ready().await;
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

pub(crate) async fn whole_cluster_killed_keeps_what_was_acknowledged(cluster: &Cluster) {
    let mut names = Vec::new();
    for group in 1..=GROUPS {
        names.push(core_key(&key("kept", &cluster.partition(group, 1).await, "")));
    }
    let client = cluster.client();
    let done = client.run(|txn| {
        let names = &names;
        async move {
            for name in names {
                txn.put(name, fields(5)).await?;
            }
            Ok(())
        }
    });
    let version = done.await.unwrap().committed.version;
    let load = Load::start(cluster, "all", "all-names", CLIENTS).await;
    load.progress(cluster, 30).await;
    for at in 0..NODES {
        cluster.kill(at);
    }
    for at in 0..NODES {
        cluster.restart(at);
    }
    cluster.wait_ready().await;
    let found = cluster.client().read_set(&names, None).await.unwrap();
    for record in &found {
        let record = record.as_ref().expect("it was acknowledged");
        assert_eq!((number(Some(record)), record.version), (5, version));
    }
    load.progress(cluster, 30).await;
    load.check(cluster).await;
    cluster.wait_agreed().await;
}

/// A benchmark whose loading fails for good has measured nothing.
pub(crate) async fn benchmark_loads_on_while_a_node_dies_and_comes_back(cluster: &Cluster) {
    // Fifty a transaction.
    const KEYS: &str = "10000";
    let endpoints = cluster.endpoints().to_vec();
    let before = committed_so_far(cluster).await;
    let bench = tokio::task::spawn_blocking(move || {
        let arguments = ["--workload", "put", "--keys", KEYS, "--seconds", "1", "--clients", "4"];
        vatic(&endpoints, &[&["bench", "run", "--output", "json"][..], &arguments].concat())
    });
    until("it loads", SOON, || async {
        (committed_so_far(cluster).await > before + 20).then_some(())
    })
    .await;
    let victim = cluster.leader(1).await;
    cluster.kill(victim);
    cluster.restart(victim);
    let ended = bench.await.unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
    let last = ended.stdout.lines().last().expect("it ends with its figures");
    let figures: Json = serde_json::from_str(last).unwrap();
    assert!(figures["ops"].as_u64().unwrap() > 0, "{figures}");
    cluster.wait_ready().await;
    cluster.wait_agreed().await;
}

/// Commits that all nodes have told their clients of since they were started.
async fn committed_so_far(cluster: &Cluster) -> u64 {
    let mut sum = 0.0;
    for at in 0..NODES {
        if let Ok((200, text)) = cluster.admin(at, "/metrics").await {
            sum += Scrape::read(&text)
                .is("vatic_transactions_total{cause=\"\",outcome=\"committed\"}");
        }
    }
    sum as u64
}
