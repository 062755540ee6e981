//! Conflict strategies: what becomes of a transaction that another one got in the way of.

use std::{
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use serde_json::json;
use tokio::{task::JoinSet, time::timeout};
use vatic_client::{Client, ClientError, Done, Options};
use vatic_core::{
    codec,
    delta::{Delta, Op},
    key::Key,
    policy::{PolicyChange, Validation},
    receipt::Receipt,
    strategy::{Basis, Strategy},
    value::{Fields, Value},
};
use vatic_proto::v1::{self, outcome::State, transact_request::Frame};
use vatic_tests::cluster::Cluster;
use vatic_tests::command::vatic;
use vatic_tests::values::{core_key, key};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::Stream;

/// In which a transaction that waits for nothing has long committed.
const TURN: Duration = Duration::from_millis(300);
/// Records that are counted up until all kept their turns.
const RECORDS_MAX: usize = 5;

fn add(key: &Key, by: i64) -> Delta {
    Delta { key: key.clone(), op: Op::Add { field: "n".into(), by } }
}

fn set(key: &Key, value: i64) -> Delta {
    Delta { key: key.clone(), op: Op::Merge(Fields::from([("n".into(), value.into())])) }
}

async fn value(client: &Client, key: &Key) -> Option<i64> {
    let record = client.get(key).await.unwrap()?;
    record.fields.get("n").and_then(Value::as_i64)
}

/// Reads the record, has another client write in its first attempt, then makes its own delta.
async fn disturbed(
    cluster: &Cluster,
    strategy: Option<Strategy>,
    (mine, theirs): (Delta, Delta),
) -> Result<Done<()>, ClientError> {
    let (client, other) = (&cluster.client_of(1), &cluster.client_of(2));
    let attempts = &AtomicU32::new(0);
    let (mine, theirs) = (&mine, &theirs);
    let run = client.transaction();
    let run = match strategy {
        Some(strategy) => run.strategy(strategy),
        None => run,
    };
    run.run(|txn| async move {
        txn.read(&mine.key).await?;
        if attempts.fetch_add(1, Relaxed) == 0 {
            other.submit(std::slice::from_ref(theirs)).await?;
        }
        txn.apply(mine).await
    })
    .await
}

fn basis(done: &Done<()>) -> Basis {
    let receipt: Receipt = codec::decode(&done.committed.evidence.receipt).unwrap();
    receipt.body.basis
}

pub(crate) async fn strategy_decides_what_a_change_of_what_was_read_comes_to(cluster: &Cluster) {
    let partition = cluster.partition(2, 3).await;
    let named = |sort: &str| core_key(&key("course", &partition, sort));
    let client = cluster.client_of(0);
    for (strategy, attempts, rests_on) in [
        (Strategy::Optimistic, 2, Basis::Reads),
        (Strategy::Rebase, 1, Basis::Rebase),
        (Strategy::LastWriterWins, 1, Basis::Nothing),
    ] {
        let name = named(strategy.name());
        client.submit(&[set(&name, 1)]).await.unwrap();
        let both = (add(&name, 10), add(&name, 100));
        let done = disturbed(cluster, Some(strategy), both).await.unwrap();
        assert_eq!((done.attempts, basis(&done)), (attempts, rests_on), "{strategy:?}");
        assert_eq!(value(&client, &name).await, Some(111), "{strategy:?}");
    }
    // What would undo the other one's change is not moved over it.
    let name = named("contradicted");
    client.submit(&[set(&name, 1)]).await.unwrap();
    let both = (set(&name, 10), add(&name, 100));
    let done = disturbed(cluster, Some(Strategy::Rebase), both).await.unwrap();
    assert_eq!((done.attempts, value(&client, &name).await), (2, Some(10)));
    // The first committer wins, and whoever begins anew sees what it wrote.
    let name = named("snapshot");
    client.submit(&[set(&name, 1)]).await.unwrap();
    let both = (add(&name, 10), add(&name, 100));
    let done = disturbed(cluster, Some(Strategy::Snapshot), both).await.unwrap();
    assert_eq!((done.attempts, value(&client, &name).await), (2, Some(111)));
    assert!(matches!(basis(&done), Basis::Snapshot(_)));
}

pub(crate) async fn snapshot_shows_one_moment_and_allows_write_skew(cluster: &Cluster) {
    let here = core_key(&key("skew", &cluster.partition(1, 3).await, "a"));
    let there = core_key(&key("skew", &cluster.partition(3, 3).await, "b"));
    let (client, other) = (&cluster.client_of(0), &cluster.client_of(1));
    client.submit(&[set(&here, 1), set(&there, 1)]).await.unwrap();
    // The other group may not have heard of the decision yet; who reads waits for that.
    assert_eq!(value(client, &there).await, Some(1));
    let attempts = &AtomicU32::new(0);
    let (a, b) = (&here, &there);
    let run = client.transaction().strategy(Strategy::Snapshot);
    let done = run.run(|txn| async move {
        let n = |record: Option<vatic_client::Record>| record?.fields.get("n")?.as_i64();
        let first = n(txn.read(a).await?);
        if attempts.fetch_add(1, Relaxed) == 0 {
            // Writes what this one reads, and reads what this one writes.
            let skew = other.transaction().strategy(Strategy::Snapshot);
            let skew = skew.run(|txn| async move {
                txn.read(b).await?;
                txn.apply(&set(a, 5)).await
            });
            skew.await?;
        }
        let again = n(txn.read(a).await?);
        txn.apply(&set(b, 7)).await?;
        Ok((first, again))
    });
    let done = done.await.unwrap();
    assert_eq!((done.attempts, done.value), (1, (Some(1), Some(1))), "it reads one moment");
    assert_eq!((value(client, a).await, value(client, b).await), (Some(5), Some(7)));

    // The same record, and no second attempt.
    let run = client.transaction().strategy(Strategy::Snapshot);
    let mut tried = 0;
    let lost = run.run(|txn| {
        tried += 1;
        let again = tried > 1;
        async move {
            if again {
                return Err(ClientError::caller("once is enough"));
            }
            txn.read(a).await?;
            other.submit(&[add(a, 1)]).await?;
            txn.apply(&set(a, 0)).await
        }
    });
    lost.await.unwrap_err();
    assert_eq!(value(client, a).await, Some(6), "nothing is written over");
}

pub(crate) async fn lock_has_the_second_wait_for_the_first(cluster: &Cluster) {
    let partition = cluster.partition(2, 2).await;
    let mut attempts = Vec::new();
    // A turn ends where its time is over, or its leader leads no more: then somebody tries again.
    for number in 0..RECORDS_MAX {
        let name = core_key(&key("turn", &partition, &number.to_string()));
        attempts.push(counted_up(cluster, &name).await);
        if attempts.last() == Some(&15) {
            return;
        }
    }
    panic!("whoever waits for its turn reads what it may write: {attempts:?}");
}

/// Three clients count a record up to 15, five times each: how many attempts it took.
async fn counted_up(cluster: &Cluster, name: &Key) -> u32 {
    cluster.client().submit(&[set(name, 0)]).await.unwrap();
    let mut tasks = JoinSet::new();
    for at in 0..3 {
        let (client, name) = (cluster.client_of(at), name.clone());
        tasks.spawn(async move {
            let (name, mut attempts) = (&name, 0);
            for _ in 0..5 {
                let run = client.transaction().strategy(Strategy::Lock);
                let done = run.run(|txn| async move {
                    let record = txn.read(name).await?;
                    let n = record.and_then(|record| record.fields.get("n")?.as_i64());
                    // A lost update would show.
                    txn.apply(&set(name, n.unwrap_or(0) + 1)).await
                });
                attempts += done.await.unwrap().attempts;
            }
            attempts
        });
    }
    let attempts = tasks.join_all().await.into_iter().sum();
    assert_eq!(value(&cluster.client(), name).await, Some(15));
    attempts
}

pub(crate) async fn adaptive_has_the_second_wait_where_a_record_is_hot(cluster: &Cluster) {
    let name = key("hot", &cluster.partition(2, 1).await, "");
    let (client, at) = (cluster.client(), &core_key(&name));
    // A few of a hundred take no turn, so that it is learnt what becomes of them.
    until("the second waits for the first", SOON, || {
        let (client, name) = (client.clone(), name.clone());
        async move {
            client.submit(&[set(at, 0)]).await.unwrap();
            let strategy = v1::Strategy::Adaptive.into();
            let begin = v1::BeginFrame { strategy, ..v1::BeginFrame::default() };
            let mut first = Stream::open(cluster.channel(1)).await;
            first.send(Frame::Begin(begin)).await;
            first.read(&name).await;
            let second = client.transaction().strategy(Strategy::Adaptive);
            let second = second.run(|txn| async move {
                txn.read(at).await?;
                txn.apply(&add(at, 2)).await
            });
            tokio::pin!(second);
            let waits = timeout(TURN, &mut second).await.is_err();
            first.write_encoded(codec::encode(&add(at, 1))).await;
            let outcome = first.commit().await;
            if !waits {
                return None;
            }
            let attempts = second.await.unwrap().attempts;
            // Or neither waited, and the machine was slow.
            if attempts > 1 || outcome.state() != State::Committed {
                return None;
            }
            assert_eq!(value(&client, at).await, Some(3));
            Some(())
        }
    })
    .await;
}

pub(crate) async fn collection_says_what_a_transaction_does_not(cluster: &Cluster) {
    let name = core_key(&key("counters", &cluster.partition(1, 2).await, ""));
    let client = cluster.client();
    client.submit(&[set(&name, 1)]).await.unwrap();
    let asked = ["policy", "set", "counters", "--strategy", "rebase"];
    let done = vatic(cluster.endpoints(), &asked);
    assert_eq!(done.code, 0, "{done:?}");
    let listed = vatic(cluster.endpoints(), &["policy", "ls", "-o", "json"]).json();
    let row = json!({"collection": "counters", "validation": "resolve", "strategy": "rebase"});
    assert!(listed.as_array().unwrap().contains(&row), "{listed}");
    // Other gateways hear of it within two seconds.
    let both = || (add(&name, 10), add(&name, 100));
    until("the policy is heard of", SOON, || async {
        let done = disturbed(cluster, None, both()).await.unwrap();
        (done.attempts == 1 && basis(&done) == Basis::Rebase).then_some(())
    })
    .await;
    // A transaction's own word counts more.
    let done = disturbed(cluster, Some(Strategy::Optimistic), both()).await.unwrap();
    assert_eq!((done.attempts, basis(&done)), (2, Basis::Reads));
    // A part of a policy leaves the rest.
    let observe = PolicyChange { validation: Some(Validation::Observe), strategy: None };
    client.set_policy("counters", observe).await.unwrap();
    let policy = client.policies().await.unwrap()["counters"];
    assert_eq!(policy.strategy, Strategy::Rebase);
    let optimistic = PolicyChange {
        validation: Some(Validation::Resolve),
        strategy: Some(Strategy::Optimistic),
    };
    client.set_policy("counters", optimistic).await.unwrap();
    assert!(
        !client.policies().await.unwrap().contains_key("counters"),
        "the default takes no room"
    );
}

pub(crate) async fn transactions_of_two_groups_are_tried_again_by_their_gateway(cluster: &Cluster) {
    let here = core_key(&key("pair", &cluster.partition(1, 1).await, ""));
    let there = core_key(&key("pair", &cluster.partition(2, 1).await, ""));
    let mut tasks = JoinSet::new();
    for at in 0..3 {
        let endpoint = cluster.endpoints()[at..=at].to_vec();
        let (here, there) = (here.clone(), there.clone());
        tasks.spawn(async move {
            let options = Options { strategy: Some(Strategy::Rebase), ..Options::default() };
            let client = Client::connect(&endpoint, options).await.unwrap();
            let mut attempts = 0;
            for _ in 0..20 {
                let both = [add(&here, 1), add(&there, -1)];
                let committed = client.submit(&both).await.unwrap();
                let receipt: Receipt = codec::decode(&committed.evidence.receipt).unwrap();
                assert_eq!(receipt.body.tid, committed.tid);
                attempts += committed.attempts;
            }
            attempts
        });
    }
    let attempts: u32 = tasks.join_all().await.into_iter().sum();
    let client = cluster.client();
    assert_eq!(value(&client, &here).await, Some(60));
    assert_eq!(value(&client, &there).await, Some(-60));
    // Each is tried once at least; the gateways tried some of them again.
    assert!(attempts > 60, "{attempts} attempts");
}
