//! Reads outside of transactions: ranges, snapshots, several records as of one instant.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tonic::Code;
use vatic_client::{Client, ClientError, Refusal, ScanOptions};
use vatic_core::id::Timestamp;
use vatic_core::key::{Key, KeyRange};
use vatic_proto::v1::{self, delta::Operation};
use vatic_tests::cluster::{
    Cluster, NODES, SCAN_CHUNK_RECORDS, SCAN_RECORDS_MAX, SNAPSHOT_RETENTION_MS,
};
use vatic_tests::values::{fields, key, number, operation, text};
use vatic_tests::wait::until;
use vatic_tests::wire::{self, Stream, committed, refused};

async fn fill(client: &Client, collection: &str, partition: &str, count: u64) -> Timestamp {
    let done = client.run(|txn| async move {
        for number in 0..count {
            let name = Key::new(collection, partition, &format!("{number:04}"))?;
            txn.put(&name, fields(number as i64)).await?;
        }
        Ok(())
    });
    done.await.unwrap().committed.version
}

pub(crate) async fn scan_is_ordered_bounded_and_limited(cluster: &Cluster) {
    let partition = cluster.partition(1, 0).await;
    fill(&cluster.client(), "ranged", &partition, SCAN_RECORDS_MAX).await;
    for at in 0..NODES {
        let client = cluster.client_of(at);
        for (from, to, limit, wanted) in [
            ("", None, 0, 0..SCAN_RECORDS_MAX),
            ("0003", None, 4, 3..7),
            ("0003", Some("0005"), 0, 3..5),
            ("0003x", Some("0005x"), 0, 4..6),
            ("9", None, 0, 0..0),
            ("0005", Some("0005"), 0, 0..0),
        ] {
            let range = KeyRange {
                from: from.to_owned(),
                to: to.map(str::to_owned),
                ..KeyRange::partition("ranged", &partition)
            };
            let options = ScanOptions { limit, at: None };
            let found = client.scan_all(&range, options).await.unwrap();
            let found: Vec<u64> = found.iter().map(|it| number(Some(it)) as u64).collect();
            assert_eq!(found, wanted.collect::<Vec<_>>(), "{from:?} to {to:?}, {limit}");
        }
    }
}

pub(crate) async fn scan_longer_than_one_read_streams_as_of_one_instant(cluster: &Cluster) {
    let partition = cluster.partition(2, 0).await;
    let count = SCAN_RECORDS_MAX + 3;
    let version = fill(&cluster.client(), "long", &partition, count).await;
    let range = KeyRange::partition("long", &partition);
    for (at, limit) in [(None, 0), (Some(version), 0), (None, SCAN_RECORDS_MAX as u32 + 2)] {
        let wanted = if limit == 0 { count } else { u64::from(limit) };
        let mut scan = cluster.client().scan(&range, ScanOptions { limit, at }).await.unwrap();
        let (mut seen, mut chunks) = (0, 0);
        while let Some(records) = scan.next_chunk().await.unwrap() {
            assert!(records.len() as u64 <= SCAN_CHUNK_RECORDS);
            assert!(records.iter().all(|record| record.version <= version), "{records:?}");
            seen += records.len() as u64;
            chunks += 1;
        }
        assert_eq!((seen, chunks), (wanted, wanted.div_ceil(SCAN_CHUNK_RECORDS)), "{at:?}");
    }
    // In a transaction it is guarded, and what a vote guards is bounded.
    let client = cluster.client();
    let refused = client.run(|txn| {
        let range = range.clone();
        async move { txn.scan(&range, 0).await }
    });
    let Err(ClientError::Refused(refusal)) = refused.await else { panic!("it is over the limit") };
    assert_eq!((refusal.code, refusal.reason.as_str()), (Code::InvalidArgument, "LIMIT_EXCEEDED"));
    assert_eq!(refusal.metadata["limit"], "scan_records_max");
    assert_eq!(refusal.metadata["max"], SCAN_RECORDS_MAX.to_string());
}

pub(crate) async fn snapshot_sees_the_old_version_through_every_node(cluster: &Cluster) {
    let client = cluster.client();
    let names = [
        Key::new("aged", &cluster.partition(1, 0).await, "").unwrap(),
        Key::new("aged", &cluster.partition(3, 0).await, "").unwrap(),
    ];
    let mut versions = Vec::new();
    for value in 1..=3 {
        let done = client.run(|txn| {
            let names = names.clone();
            async move {
                for name in &names {
                    txn.put(name, fields(value)).await?;
                }
                Ok(())
            }
        });
        versions.push(done.await.unwrap().committed.version);
    }
    for at in 0..NODES {
        let client = cluster.client_of(at);
        for (value, &version) in (1..).zip(&versions) {
            for name in &names {
                let found = client.get_at(name, Some(version)).await.unwrap().unwrap();
                assert_eq!((number(Some(&found)), found.version), (value, version));
                let before = Timestamp(version.0 - 1);
                let older = client.get_at(name, Some(before)).await.unwrap();
                assert_eq!(number(older.as_ref()), value - 1);
            }
            let both = client.read_set(&names, Some(version)).await.unwrap();
            assert!(both.iter().all(|found| number(found.as_ref()) == value));
            let range = KeyRange::partition("aged", &names[0].partition);
            let options = ScanOptions { limit: 0, at: Some(version) };
            let found = client.scan_all(&range, options).await.unwrap();
            assert_eq!(found.iter().map(|it| number(Some(it))).collect::<Vec<_>>(), [value]);
        }
    }
}

pub(crate) async fn snapshot_too_old_or_too_new_is_refused(cluster: &Cluster) {
    let name = Key::new("untimely", &cluster.partition(4, 0).await, "").unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64;
    let ahead = Timestamp(now + 3_600_000_000);
    let refusal = refusal(cluster.client().get_at(&name, Some(ahead)).await);
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "SNAPSHOT_TOO_NEW")
    );
    assert_eq!(refusal.metadata["at"], ahead.to_string());
    assert!(refusal.metadata.contains_key("clock"), "{refusal:?}");
    let range = KeyRange::partition("untimely", &name.partition);
    let options = ScanOptions { limit: 0, at: Some(ahead) };
    let scanned = cluster.client().scan_all(&range, options).await;
    let Err(ClientError::Refused(scanned)) = scanned else { panic!("{scanned:?}") };
    assert_eq!(scanned.reason, "SNAPSHOT_TOO_NEW");
    // Versions are kept for a while: what is overwritten now can be read, and at last is not.
    let client = cluster.client();
    let first = client.run(|txn| {
        let name = name.clone();
        async move { txn.put(&name, fields(1)).await }
    });
    let first = first.await.unwrap().committed.version;
    let second = client.run(|txn| {
        let name = name.clone();
        async move { txn.put(&name, fields(2)).await }
    });
    second.await.unwrap();
    let kept = cluster.client().get_at(&name, Some(first)).await.unwrap();
    assert_eq!(number(kept.as_ref()), 1);
    let patience = Duration::from_millis(SNAPSHOT_RETENTION_MS * 3);
    let refusal = until("an old snapshot is refused", patience, || async {
        match cluster.client().get_at(&name, Some(first)).await {
            Ok(found) => {
                assert_eq!(number(found.as_ref()), 1, "answered wrongly, not refused");
                None
            }
            Err(ClientError::Refused(refusal)) => Some(refusal),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    assert_eq!(
        (refusal.code, refusal.reason.as_str()),
        (Code::FailedPrecondition, "SNAPSHOT_TOO_OLD")
    );
    let horizon: u64 = refusal.metadata["horizon"].parse().unwrap();
    assert!(horizon > first.0, "{refusal:?}");
}

fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Box<Refusal> {
    match result {
        Err(ClientError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn read_set_never_sees_half_of_a_transfer(cluster: &Cluster) {
    const TRANSFERS: usize = 30;
    let names = [
        Key::new("moved", &cluster.partition(1, 0).await, "").unwrap(),
        Key::new("moved", &cluster.partition(4, 0).await, "").unwrap(),
    ];
    let (mover, moved) = (cluster.client(), names.clone());
    let moving = tokio::spawn(async move {
        for _ in 0..TRANSFERS {
            let done = mover.run(|txn| {
                let [from, to] = moved.clone();
                async move {
                    txn.add(&from, "value", -1).await?;
                    txn.add(&to, "value", 1).await
                }
            });
            done.await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while !moving.is_finished() {
        for at in 0..NODES {
            let found = cluster.client_of(at).read_set(&names, None).await.unwrap();
            let [from, to] = [&found[0], &found[1]].map(|record| number(record.as_ref()));
            assert_eq!(from + to, 0, "half of a transfer");
            seen.push(to);
        }
    }
    moving.await.unwrap();
    assert!(seen.is_sorted(), "a later strict read saw less: {seen:?}");
    let found = cluster.client().read_set(&names, None).await.unwrap();
    assert_eq!(number(found[1].as_ref()), TRANSFERS as i64);
}

pub(crate) async fn read_set_answers_in_the_order_asked(cluster: &Cluster) {
    let client = cluster.client();
    let mut keys = Vec::new();
    for group in [3, 1, 2] {
        let name = key("listed", &cluster.partition(group, 0).await, "");
        let core = Key::new("listed", &name.partition, "").unwrap();
        client
            .run(|txn| {
                let core = core.clone();
                async move { txn.put(&core, fields(i64::from(group))).await }
            })
            .await
            .unwrap();
        keys.push(name);
    }
    keys.push(key("listed", &keys[0].partition, "absent"));
    keys.push(keys[0].clone());
    let at = |at| v1::ReadSetRequest { keys: keys.clone(), at };
    for request in
        [at(None), at(Some(client.get(&core(&keys[2])).await.unwrap().unwrap().version.0))]
    {
        let mut service = wire::records(cluster.channel(0));
        let answer = service.read_set(request).await.unwrap().into_inner();
        let names: Vec<_> = answer.reads.iter().map(|read| read.key.clone().unwrap()).collect();
        assert_eq!(names, keys, "one answer for each key, also for one named twice");
        assert!(answer.passes > 0);
        let values: Vec<_> = answer.reads.iter().map(vatic_tests::values::wire_number).collect();
        assert_eq!(values, [Some(3), Some(1), Some(2), None, Some(3)]);
    }
}

/// Strictly and as of a snapshot alike.
pub(crate) async fn read_set_of_too_many_bytes_is_refused_by_name(cluster: &Cluster) {
    const RECORDS: usize = 5;
    let partition = cluster.partition(2, 0).await;
    let names: Vec<v1::Key> =
        (0..RECORDS).map(|sort| key("wide", &partition, &sort.to_string())).collect();
    // Four are less than `scan_bytes_max` and five are more.
    let field = text("x".repeat(60_000));
    let mut stream = Stream::begin(cluster.channel(0)).await;
    for name in &names {
        for field_name in 'a'..='o' {
            let fields = [(field_name.to_string(), field.clone())].into_iter().collect();
            stream.write(operation(name, Operation::Merge(v1::Fields { fields }))).await;
        }
    }
    let version = committed(&stream.commit().await);
    for at in [None, Some(version)] {
        let mut service = wire::records(cluster.channel(0));
        let mut ask = async |count: usize| {
            service.read_set(v1::ReadSetRequest { keys: names[..count].to_vec(), at }).await
        };
        let refused = refused(&ask(RECORDS).await.unwrap_err());
        assert_eq!(refused.reason, "LIMIT_EXCEEDED", "{at:?}");
        assert_eq!(refused.metadata["limit"], "scan_bytes_max", "{at:?}");
        let answer = ask(RECORDS - 1).await.unwrap().into_inner();
        assert_eq!(answer.reads.len(), RECORDS - 1);
    }
}

fn core(key: &v1::Key) -> Key {
    vatic_tests::values::core_key(key)
}
