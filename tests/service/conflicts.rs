//! Conflicts: each is told with what was in the way, and nothing of the loser is kept.

use prost::Message;
use tonic::Code;
use vatic_proto::v1::{self, RollbackCause, delta::Operation};
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::values::{
    add, core_key, expect_version, int, key, number, operation, put, text, transitions, wire_number,
};
use vatic_tests::wire::{self, Stream, committed, refused, rollback};

pub(crate) async fn later_writer_rolls_back_on_stale_read(cluster: &Cluster) {
    let name = key("stale", &cluster.partition(1, 0).await, "");
    let mut setup = Stream::begin(cluster.channel(0)).await;
    setup.write(put(&name, int(1))).await;
    let first = committed(&setup.commit().await);
    let mut fast = Stream::begin(cluster.channel(1)).await;
    let mut slow = Stream::begin(cluster.channel(2)).await;
    for stream in [&mut fast, &mut slow] {
        let read = stream.read(&name).await;
        assert_eq!((wire_number(&read), read.record.unwrap().version), (Some(1), first));
        stream.write(add(&name, 1)).await;
    }
    let second = committed(&fast.commit().await);
    let outcome = slow.commit().await;
    let why = rollback(&outcome);
    assert_eq!(why.cause(), RollbackCause::StaleRead);
    assert_eq!(why.key.as_ref(), Some(&name));
    assert_eq!((why.expected_version, why.actual_version), (first, second));
    assert!(why.retryable && why.message.contains(&second.to_string()), "{why:?}");
    let found = cluster.client().get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), 2);
}

pub(crate) async fn phantom_in_a_scanned_range_rolls_back(cluster: &Cluster) {
    let partition = cluster.partition(3, 0).await;
    let inside = key("phantoms", &partition, "m");
    let outside = key("phantoms", &partition, "z");
    let range = v1::ScanRange {
        collection: "phantoms".into(),
        partition: partition.clone(),
        from_sort: "a".into(),
        to_sort: "n".into(),
        limit: 0,
    };
    for (disturbed, disturbs) in [(&outside, false), (&inside, true)] {
        let mut reader = Stream::begin(cluster.channel(0)).await;
        assert_eq!(reader.scan(range.clone()).await, []);
        reader.write(put(&key("phantoms", &partition, "zz"), int(0))).await;
        let mut writer = Stream::begin(cluster.channel(1)).await;
        writer.write(put(disturbed, int(1))).await;
        committed(&writer.commit().await);
        let outcome = reader.commit().await;
        if disturbs {
            assert_eq!(rollback(&outcome).cause(), RollbackCause::StaleRange);
            assert!(rollback(&outcome).retryable);
        } else {
            committed(&outcome);
        }
    }
}

pub(crate) async fn submit_that_conflicts_is_aborted_with_its_outcome(cluster: &Cluster) {
    let name = key("aborts", &cluster.partition(2, 0).await, "s");
    let submit = |version: u64| v1::SubmitRequest {
        transitions: transitions(vec![expect_version(&name, version), put(&name, int(1))]),
        ..Default::default()
    };
    for at in 0..NODES {
        let mut service = wire::transactions(cluster.channel(at));
        let status = service.submit(submit(77)).await.unwrap_err();
        let error = refused(&status);
        assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, "ROLLED_BACK"));
        assert_eq!(error.metadata["cause"], "ROLLBACK_CAUSE_EXPECTATION_FAILED");
        assert!(error.metadata["key"].starts_with("aborts/"), "{error:?}");
        let details = tonic_types::Status::decode(status.details()).unwrap().details;
        let outcome = details.iter().find(|any| any.type_url.ends_with("/vatic.v1.Outcome"));
        let outcome = v1::Outcome::decode(outcome.unwrap().value.as_slice()).unwrap();
        let why = rollback(&outcome);
        assert_eq!(why.cause(), RollbackCause::ExpectationFailed);
        assert_eq!(why.key.as_ref(), Some(&name));
        assert!(!why.retryable, "nothing changes by asking again");
    }
    let mut service = wire::transactions(cluster.channel(0));
    let outcome = service.submit(submit(0)).await.unwrap().into_inner().outcome.unwrap();
    let version = committed(&outcome);
    let outcome = service.submit(submit(version)).await.unwrap().into_inner().outcome.unwrap();
    assert!(committed(&outcome) > version);
}

pub(crate) async fn delta_that_does_not_apply_rolls_back_for_good(cluster: &Cluster) {
    let partition = cluster.partition(4, 0).await;
    let number = key("inapplicable", &partition, "number");
    let word = key("inapplicable", &partition, "word");
    let mut setup = Stream::begin(cluster.channel(0)).await;
    setup.write(put(&number, int(i64::MAX))).await;
    setup.write(put(&word, text("a word"))).await;
    committed(&setup.commit().await);
    let long = v1::AddOperation { field: "f".repeat(200), amount: 1 };
    let present =
        v1::ExpectOperation { condition: Some(v1::expect_operation::Condition::Absent(true)) };
    for (delta, cause) in [
        (add(&number, 1), RollbackCause::Overflow),
        (add(&word, 1), RollbackCause::TypeMismatch),
        (operation(&number, Operation::Add(long)), RollbackCause::RecordTooLarge),
        (operation(&number, Operation::Expect(present)), RollbackCause::ExpectationFailed),
    ] {
        let named = delta.key.clone();
        let mut stream = Stream::begin(cluster.channel(1)).await;
        let other = key("inapplicable", &cluster.partition(1, 0).await, "other");
        stream.write(put(&other, int(1))).await;
        stream.write(delta).await;
        let outcome = stream.commit().await;
        let why = rollback(&outcome);
        assert_eq!((why.cause(), why.retryable), (cause, false), "{why:?}");
        assert_eq!(why.key, named);
        assert!(why.message.contains("transition 2"), "{why:?}");
        let found = cluster.client().get(&core_key(&other)).await.unwrap();
        assert!(found.is_none(), "the other group keeps nothing of it");
    }
}

pub(crate) async fn counters_raised_by_everybody_lose_nothing(cluster: &Cluster) {
    const CLIENTS: usize = 6;
    const TURNS: i64 = 5;
    let names = [
        core_key(&key("raised", &cluster.partition(1, 0).await, "")),
        core_key(&key("raised", &cluster.partition(2, 0).await, "")),
    ];
    let raising = (0..CLIENTS).map(|client| {
        let (client, names) = (cluster.client_of(client % NODES), &names);
        async move {
            for _ in 0..TURNS {
                let done = client.run(|txn| async move {
                    for name in names {
                        let found = number(txn.read(name).await?.as_ref());
                        txn.put(name, vatic_tests::values::fields(found + 1)).await?;
                    }
                    Ok(())
                });
                done.await.unwrap();
            }
        }
    });
    join_all(raising).await;
    let found = cluster.client().read_set(&names, None).await.unwrap();
    for record in found {
        assert_eq!(number(record.as_ref()), CLIENTS as i64 * TURNS);
    }
}

/// Runs all beside each other on this task.
pub(crate) async fn join_all<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut all: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        all.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
