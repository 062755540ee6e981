//! Commits: over groups, through any node, with receipts that prove what was sent.

use prost::bytes::Bytes;
use vatic_client::{Client, ClientError, Done, Evidence, Outcome, OutcomeOf};
use vatic_core::codec;
use vatic_core::delta::{Delta, Op};
use vatic_core::hash::Hash;
use vatic_core::key::Key;
use vatic_core::receipt::Assurance;
use vatic_core::sign::TrustedKeys;
use vatic_core::{chain, id::Tid};
use vatic_proto::v1::{self, RollbackCause, transact_request::Frame};
use vatic_proto::v1::{transact_response::Frame as Answer, transition::Body};
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::values::{core_key, fields, int, key, number, put};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, Stream, rollback};

/// One key in each data group.
async fn keys(cluster: &Cluster, collection: &str, sort: &str) -> Vec<Key> {
    let mut keys = Vec::new();
    for group in 1..=GROUPS {
        let partition = cluster.partition(group, 0).await;
        keys.push(Key::new(collection, &partition, sort).unwrap());
    }
    keys
}

async fn put_all(client: &Client, keys: &[Key], value: i64) -> Result<Done<()>, ClientError> {
    let done = client.run(|txn| async move {
        for key in keys {
            txn.put(key, fields(value)).await?;
        }
        Ok(())
    });
    done.await
}

pub(crate) async fn commit_over_all_groups_is_seen_through_every_node(cluster: &Cluster) {
    for writer in 0..NODES {
        let keys = keys(cluster, "everywhere", &writer.to_string()).await;
        let done = put_all(&cluster.client_of(writer), &keys, writer as i64 + 10).await.unwrap();
        let groups: Vec<u32> = done.committed.participants.iter().map(|group| group.0).collect();
        assert_eq!(groups, (1..=GROUPS).collect::<Vec<_>>());
        assert_eq!(done.committed.evidence.verify().unwrap().len(), GROUPS as usize);
        for reader in 0..NODES {
            let client = cluster.client_of(reader);
            for key in &keys {
                let record = client.get(key).await.unwrap().expect("it was acknowledged");
                assert_eq!(number(Some(&record)), writer as i64 + 10);
                assert_eq!(record.version, done.committed.version);
            }
        }
    }
}

pub(crate) async fn transaction_reads_its_own_writes(cluster: &Cluster) {
    let keys = &keys(cluster, "own", "").await;
    let client = cluster.client();
    let done = client.run(|txn| async move {
        let mut seen = Vec::new();
        for key in keys {
            txn.put(key, fields(1)).await?;
            txn.add(key, "value", 41).await?;
            seen.push(number(txn.read(key).await?.as_ref()));
        }
        txn.delete(&keys[0]).await?;
        Ok((seen, txn.read(&keys[0]).await?.is_none()))
    });
    let (seen, gone) = done.await.unwrap().value;
    assert_eq!((seen, gone), (vec![42; keys.len()], true));
    let found = cluster.client().read_set(keys, None).await.unwrap();
    let numbers: Vec<i64> = found.iter().map(|record| number(record.as_ref())).collect();
    assert_eq!(numbers, [0, 42, 42, 42]);
}

pub(crate) async fn receipt_verifies_and_a_tampered_one_does_not(cluster: &Cluster) {
    let keys = keys(cluster, "receipts", "").await;
    let committed = put_all(&cluster.client(), &keys, 7).await.unwrap().committed;
    let evidence = committed.evidence;
    evidence.verify().unwrap();
    for at in 0..evidence.deltas.len() {
        for byte in 0..evidence.deltas[at].len() {
            let mut tampered = evidence.clone();
            tampered.deltas[at][byte] ^= 1;
            assert!(tampered.verify().is_err(), "transition {at}, byte {byte}");
        }
    }
    let mut swapped = evidence.clone();
    swapped.deltas.swap(0, 1);
    let mut cut = evidence.clone();
    cut.deltas.pop();
    let mut repeated = evidence.clone();
    repeated.deltas.push(evidence.deltas[0].clone());
    for other in [&swapped, &cut, &repeated] {
        assert!(other.verify().is_err());
    }
    let pinned = cluster.client().cluster(false).await.unwrap().trusted_keys();
    let first = evidence.verify_signed(&pinned).unwrap();
    assert!(matches!(first, Assurance::Incomplete(_)), "leaders alone sign the first reply");
    let complete = until("a majority of each group's replicas has signed", SOON, || async {
        let asked = cluster.client().outcome(OutcomeOf::Transaction(committed.tid)).await.unwrap();
        let Outcome::Committed(asked) = asked else { panic!("{asked:?}") };
        let receipt = asked.evidence.receipt;
        let complete = Evidence { receipt, ..evidence.clone() };
        (complete.verify_signed(&pinned) == Ok(Assurance::Complete)).then_some(complete)
    })
    .await;
    tampered_receipts_do_not_verify(&complete, &pinned);
}

fn tampered_receipts_do_not_verify(evidence: &Evidence, pinned: &TrustedKeys) {
    for byte in 0..evidence.receipt.len() {
        let mut tampered = evidence.clone();
        tampered.receipt[byte] ^= 1;
        let verified = tampered.verify_signed(pinned);
        assert_ne!(verified, Ok(Assurance::Complete), "byte {byte} of the receipt");
    }
}

pub(crate) async fn client_digests_are_checked_and_acknowledged(cluster: &Cluster) {
    let name = key("digests", &cluster.partition(2, 1).await, "");
    let seed = Hash([5; 32]);
    let delta = Delta { key: core_key(&name), op: Op::Put(fields(3)) };
    let bytes = codec::encode(&delta);
    let digest = chain::link(&seed, 1, &bytes);
    let mut stream = Stream::open(cluster.channel(0)).await;
    let seed_bytes = Some(Bytes::copy_from_slice(&seed.0));
    stream.send(Frame::Begin(v1::BeginFrame { seed: seed_bytes, ..Default::default() })).await;
    stream
        .send(Frame::Transition(v1::Transition {
            seq: 1,
            body: Some(Body::Encoded(bytes.into())),
            digest: Some(Bytes::copy_from_slice(&digest.0)),
        }))
        .await;
    let acknowledged = stream.find(|answer| match answer {
        Answer::Ack(ack) => Some(ack.clone()),
        _ => None,
    });
    let ack = acknowledged.await.unwrap();
    assert_eq!((ack.seq, &ack.digest[..]), (1, &digest.0[..]));
    let head = Some(Bytes::copy_from_slice(&digest.0));
    stream.send(Frame::Commit(v1::CommitFrame { count: 1, head })).await;
    let outcome = stream.outcome().await.unwrap();
    wire::committed(&outcome);
    let receipt = outcome.receipt.unwrap();
    assert_eq!((&receipt.seed[..], &receipt.head[..]), (&seed.0[..], &digest.0[..]));
    assert_eq!((receipt.count, receipt.participants), (1, vec![2]));
}

pub(crate) async fn aborted_transaction_leaves_nothing(cluster: &Cluster) {
    let name = key("aborted", &cluster.partition(1, 1).await, "");
    let mut stream = Stream::begin(cluster.channel(1)).await;
    stream.read(&name).await;
    stream.write(put(&name, int(1))).await;
    stream.acknowledged().await;
    stream.send(Frame::Abort(v1::AbortFrame {})).await;
    let outcome = stream.outcome().await.unwrap();
    assert_eq!(rollback(&outcome).cause(), RollbackCause::ClientAbort);
    assert!(cluster.client().get(&core_key(&name)).await.unwrap().is_none());
    let client = cluster.client();
    let refused = client.run(|txn| {
        let name = core_key(&name);
        async move {
            txn.put(&name, fields(2)).await?;
            Err::<(), _>(ClientError::caller("changed my mind"))
        }
    });
    assert!(matches!(refused.await, Err(ClientError::Caller(_))));
    assert!(cluster.client().get(&core_key(&name)).await.unwrap().is_none());
}

pub(crate) async fn stream_closed_before_its_commit_is_told_that_it_was_rolled_back(
    cluster: &Cluster,
) {
    let name = key("closed", &cluster.partition(1, 1).await, "");
    let mut stream = Stream::begin(cluster.channel(1)).await;
    stream.write(put(&name, int(1))).await;
    stream.acknowledged().await;
    stream.close();
    let outcome = stream.outcome().await.unwrap();
    assert_eq!(rollback(&outcome).cause(), RollbackCause::ClientAbort);
    assert!(cluster.client().get(&core_key(&name)).await.unwrap().is_none());
}

pub(crate) async fn outcome_can_be_asked_for_through_every_node(cluster: &Cluster) {
    let keys = keys(cluster, "asked", "").await;
    let committed = put_all(&cluster.client(), &keys, 1).await.unwrap().committed;
    for at in 0..NODES {
        let client = cluster.client_of(at);
        match client.outcome(OutcomeOf::Transaction(committed.tid)).await.unwrap() {
            Outcome::Committed(found) => {
                assert_eq!(found.version, committed.version);
                let deltas = committed.evidence.deltas.clone();
                Evidence { deltas, receipt: found.evidence.receipt }.verify().unwrap();
            }
            other => panic!("{other:?}"),
        }
        let foreign = Tid { nonce: committed.tid.nonce ^ 1, ..committed.tid };
        let unknown = client.outcome(OutcomeOf::Transaction(foreign)).await.unwrap();
        assert!(matches!(unknown, Outcome::Unknown), "{unknown:?}");
    }
}

pub(crate) async fn reads_alone_commit_with_a_receipt(cluster: &Cluster) {
    let keys = &keys(cluster, "looked-at", "").await;
    let client = cluster.client();
    let done = client.run(|txn| async move { txn.read_many(keys).await });
    let done = done.await.unwrap();
    assert!(done.value.iter().all(Option::is_none));
    assert_eq!(done.committed.evidence.read().unwrap().body.seal.count, 0);
    done.committed.evidence.verify().unwrap();
}
