//! Bad input: refused with its documented code, reason and metadata, and nothing is left behind.

use std::time::{Duration, Instant};

use prost::bytes::Bytes;
use tonic::{Code, Request, Status};
use vatic_core::codec;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_proto::v1::{self, RollbackCause, delta::Operation, transact_request::Frame};
use vatic_proto::v1::{get_outcome_request::By, transition::Body, value::Kind};
use vatic_tests::cluster::{
    Cluster, DELTA_BYTES_MAX, MESSAGE_BYTES_MAX, NODES, READ_SET_KEYS_MAX, STREAM_IDLE_MS,
};
use vatic_tests::values::{core_key, int, key, operation, put, text, transition, transitions};
use vatic_tests::wire::{self, Stream, committed, refused, rollback};

/// What a refusal must say: code, reason, and metadata; a value of `*` stands for any.
type Wanted<'a> = (Code, &'a str, &'a [(&'a str, &'a str)]);

fn assert_refused(what: &str, status: &Status, (code, reason, metadata): Wanted<'_>) {
    let error = refused(status);
    assert_eq!((error.code, error.reason.as_str()), (code, reason), "{what}: {status:?}");
    for (name, value) in metadata {
        let found = error.metadata.get(*name).unwrap_or_else(|| panic!("{what}: {error:?}"));
        assert!(*value == "*" || found == value, "{what}: {name}={found}, wanted {value}");
    }
}

/// The record is absent, nobody holds it, and the next writer gets through.
async fn assert_untouched(cluster: &Cluster, what: &str, name: &v1::Key) {
    let found = cluster.client().get(&core_key(name)).await.unwrap();
    assert!(found.is_none(), "{what}: {found:?}");
    let mut writer = Stream::begin(cluster.channel(2)).await;
    let absent = v1::expect_operation::Condition::Absent(true);
    let expect = v1::ExpectOperation { condition: Some(absent) };
    writer.write(operation(name, Operation::Expect(expect))).await;
    writer.write(operation(name, Operation::Delete(v1::DeleteOperation {}))).await;
    committed(&writer.commit().await);
}

const INVALID: Code = Code::InvalidArgument;

/// Second transitions, each with what it must be refused with.
fn bad_transitions(partition: &str) -> Vec<(&'static str, v1::Transition, Wanted<'static>)> {
    let name = key("bad", partition, "");
    let of = |delta: v1::Delta| transition(2, delta);
    let keyed = |collection: &str, partition: &str, sort: &str| {
        of(put(&key(collection, partition, sort), int(1)))
    };
    let raw = |body: Option<Body>| v1::Transition { seq: 2, body, digest: None };
    let encoded = |bytes: Vec<u8>| raw(Some(Body::Encoded(bytes.into())));
    let value = |kind: Option<Kind>| of(put(&name, v1::Value { kind }));
    let nested = v1::ListValue {
        values: vec![v1::Value { kind: Some(Kind::ListValue(v1::ListValue::default())) }],
    };
    let reserved = Key { collection: "$request".into(), ..core_key(&name) };
    let reserved = codec::encode(&Delta { key: reserved, op: Op::Delete });
    let mut trailing = codec::encode(&Delta { key: core_key(&name), op: Op::Delete });
    trailing.push(0);
    let numbered = |seq| transition(seq, put(&name, int(1)));
    let digested = |bytes: &'static [u8]| v1::Transition {
        digest: Some(Bytes::from_static(bytes)),
        ..of(put(&name, int(1)))
    };
    let bad_delta: Wanted<'static> = (INVALID, "BAD_DELTA", &[("seq", "2")]);
    let bad_key: Wanted<'static> = (INVALID, "BAD_KEY", &[("key", "*")]);
    let oversized = "x".repeat(DELTA_BYTES_MAX as usize);
    vec![
        ("no operation", of(v1::Delta { operation: None, ..put(&name, int(1)) }), bad_delta),
        ("neither delta nor bytes", raw(None), bad_delta),
        ("empty bytes", encoded(vec![]), bad_delta),
        ("garbage", encoded(vec![0xA5; 40]), bad_delta),
        ("garbage behind a known format", encoded([vec![1], vec![0xFF; 40]].concat()), bad_delta),
        ("bytes left over", encoded(trailing), bad_delta),
        ("value without kind", value(None), bad_delta),
        ("list in a list", value(Some(Kind::ListValue(nested))), bad_delta),
        ("NaN", value(Some(Kind::DoubleValue(f64::NAN))), bad_delta),
        ("no key", of(v1::Delta { key: None, ..put(&name, int(1)) }), bad_key),
        ("no partition", keyed("bad", "", "s"), bad_key),
        ("slash", keyed("bad", "a/b", ""), (INVALID, "BAD_KEY", &[("key", "bad/a/b")])),
        ("long sort", keyed("bad", "p", "0123456789abcdef".repeat(9).leak()), bad_key),
        ("reserved", keyed("$request", "p", ""), (INVALID, "BAD_KEY", &[("key", "$request/p")])),
        ("reserved, encoded", encoded(reserved), bad_key),
        (
            "oversized",
            of(put(&name, text(oversized))),
            (
                INVALID,
                "LIMIT_EXCEEDED",
                &[("limit", "delta_bytes_max"), ("max", "65536"), ("actual", "*")],
            ),
        ),
        ("gap", numbered(3), (INVALID, "BAD_SEQUENCE", &[("expected", "2"), ("actual", "3")])),
        ("repeat", numbered(1), (INVALID, "BAD_SEQUENCE", &[("expected", "2"), ("actual", "1")])),
        (
            "wrong digest",
            digested(&[7; 32]),
            (
                Code::DataLoss,
                "DIGEST_MISMATCH",
                &[("seq", "2"), ("expected", "*"), ("actual", SEVENS)],
            ),
        ),
        ("short digest", digested(&[7; 31]), (INVALID, "BAD_FRAME", &[])),
    ]
}

/// 32 bytes of 7.
const SEVENS: &str = "0707070707070707070707070707070707070707070707070707070707070707";

pub(crate) async fn malformed_transitions_are_refused_and_leave_nothing(cluster: &Cluster) {
    let good = key("bad", &cluster.partition(1, 0).await, "streamed");
    let partition = cluster.partition(2, 0).await;
    for (what, transition, wanted) in bad_transitions(&partition) {
        let mut stream = Stream::begin(cluster.channel(0)).await;
        stream.write(put(&good, int(1))).await;
        stream.acknowledged().await;
        stream.send(Frame::Transition(transition)).await;
        assert_refused(what, &stream.error().await, wanted);
    }
    assert_untouched(cluster, "streamed", &good).await;
    assert_untouched(cluster, "streamed", &key("bad", &partition, "")).await;
}

pub(crate) async fn malformed_submissions_are_refused_and_leave_nothing(cluster: &Cluster) {
    let good = key("bad", &cluster.partition(1, 0).await, "submitted");
    let partition = cluster.partition(3, 0).await;
    let mut service = wire::transactions(cluster.channel(1));
    for (what, transition, wanted) in bad_transitions(&partition) {
        let mut transitions = transitions(vec![put(&good, int(1))]);
        transitions.push(transition);
        let request = v1::SubmitRequest { transitions, ..Default::default() };
        assert_refused(what, &service.submit(request).await.unwrap_err(), wanted);
    }
    let empty = service.submit(v1::SubmitRequest::default()).await.unwrap_err();
    assert_refused("nothing submitted", &empty, (INVALID, "BAD_FRAME", &[]));
    for (what, request_id) in bad_request_ids(&partition) {
        let request = v1::SubmitRequest {
            request_id: Some(request_id),
            transitions: transitions(vec![put(&good, int(1))]),
            ..Default::default()
        };
        let status = service.submit(request).await.unwrap_err();
        assert_refused(what, &status, (INVALID, "BAD_REQUEST_ID", &[]));
    }
    assert_untouched(cluster, "submitted", &good).await;
    assert_untouched(cluster, "submitted", &key("bad", &partition, "")).await;
}

fn bad_request_ids(partition: &str) -> [(&'static str, v1::RequestId); 4] {
    let of = |id: &[u8], route: &str| v1::RequestId {
        id: Bytes::copy_from_slice(id),
        route_key: route.to_owned(),
        mint_unix_ms: 1,
    };
    [
        ("empty id", of(&[], partition)),
        ("long id", of(&[1; 65], partition)),
        ("no route", of(&[1; 16], "")),
        ("route with a slash", of(&[1; 16], "a/b")),
    ]
}

pub(crate) async fn frames_out_of_order_are_refused(cluster: &Cluster) {
    let name = key("disorder", &cluster.partition(1, 0).await, "");
    let begin = || Frame::Begin(v1::BeginFrame::default());
    let with = |begin: v1::BeginFrame| vec![Frame::Begin(begin)];
    let write = || Frame::Transition(transition(1, put(&name, int(1))));
    let commit = |count, head| Frame::Commit(v1::CommitFrame { count, head });
    let head = Some(Bytes::from_static(&[7; 32]));
    let bad_frame: Wanted<'_> = (INVALID, "BAD_FRAME", &[]);
    let snapshot = v1::Isolation::Snapshot.into();
    let rebase = v1::Strategy::Rebase.into();
    let default = v1::BeginFrame::default;
    let short = Some(Bytes::from_static(&[1; 31]));
    let read = v1::ReadFrame { read_id: 1, key: Some(name.clone()) };
    let mut cases: Vec<(&str, Vec<Frame>, Wanted<'_>)> = vec![
        ("read first", vec![Frame::Read(read)], bad_frame),
        ("transition first", vec![write()], bad_frame),
        ("commit first", vec![commit(0, None)], bad_frame),
        ("second begin", vec![begin(), write(), begin()], bad_frame),
        ("empty commit", vec![begin(), commit(0, None)], bad_frame),
        (
            "isolation that the strategy does not give",
            with(v1::BeginFrame { isolation: snapshot, strategy: rebase, ..default() }),
            bad_frame,
        ),
        ("short seed", with(v1::BeginFrame { seed: short, ..default() }), bad_frame),
        (
            "bad home",
            with(v1::BeginFrame { home: Some(v1::Key::default()), ..default() }),
            (INVALID, "BAD_KEY", &[]),
        ),
        (
            "commit of more than was sent",
            vec![begin(), write(), commit(2, None)],
            (INVALID, "BAD_SEQUENCE", &[("expected", "1"), ("actual", "2")]),
        ),
        (
            "commit of another head",
            vec![begin(), write(), commit(1, head)],
            (Code::DataLoss, "DIGEST_MISMATCH", &[("seq", "1"), ("actual", SEVENS)]),
        ),
    ];
    let partition = cluster.partition(1, 1).await;
    for (what, request_id) in bad_request_ids(&partition) {
        let begin = v1::BeginFrame { request_id: Some(request_id), ..default() };
        cases.push((what, with(begin), (INVALID, "BAD_REQUEST_ID", &[])));
    }
    for (at, (what, frames, wanted)) in cases.into_iter().enumerate() {
        let mut stream = Stream::open(cluster.channel(at % NODES)).await;
        for frame in frames {
            stream.send(frame).await;
        }
        assert_refused(what, &stream.error().await, wanted);
    }
    let mut stream = Stream::open(cluster.channel(0)).await;
    stream.send_nothing().await;
    assert_refused("a frame of no kind", &stream.error().await, bad_frame);
    assert_untouched(cluster, "disorder", &name).await;
}

pub(crate) async fn malformed_reads_are_refused(cluster: &Cluster) {
    let partition = cluster.partition(1, 0).await;
    let mut records = wire::records(cluster.channel(0));
    let bad_key: Wanted<'_> = (INVALID, "BAD_KEY", &[("key", "*")]);
    let request = v1::GetRequest { key: None, at: None };
    assert_refused("get nothing", &records.get(request).await.unwrap_err(), bad_key);
    let request = v1::ScanRequest::default();
    assert_refused("scan nothing", &records.scan(request).await.unwrap_err(), bad_key);
    let keys = |count: u64| v1::ReadSetRequest {
        keys: (0..count).map(|sort| key("bad", &partition, &sort.to_string())).collect(),
        at: None,
    };
    let status = records.read_set(keys(READ_SET_KEYS_MAX + 1)).await.unwrap_err();
    let limit = [("limit", "read_set_keys_max"), ("max", "8"), ("actual", "9")];
    assert_refused("too many keys", &status, (INVALID, "LIMIT_EXCEEDED", &limit));
    records.read_set(keys(READ_SET_KEYS_MAX)).await.unwrap();
    let none = records.read_set(keys(0)).await.unwrap().into_inner();
    assert!(none.reads.is_empty(), "none is answered with none, and at once");
    let range = |from: &str, to: &str, limit| v1::ScanRequest {
        range: Some(v1::ScanRange {
            collection: "bad".into(),
            partition: partition.clone(),
            from_sort: from.into(),
            to_sort: to.into(),
            limit,
        }),
        ..Default::default()
    };
    let huge = "t".repeat(60_000);
    let status = records.scan(range("", &huge, 0)).await.unwrap_err();
    assert_refused("a huge bound", &status, bad_key);
    let mut chunks = records.scan(range("z", "a", 0)).await.unwrap().into_inner();
    let chunk = chunks.message().await.unwrap().expect("a last chunk");
    assert!(chunk.end && chunk.records.is_empty(), "a range that ends before it starts is empty");
    let mut stream = Stream::begin(cluster.channel(0)).await;
    assert!(stream.scan(range("z", "a", 0).range.unwrap()).await.is_empty());
    committed(&stream.commit().await);
    malformed_questions_are_refused(cluster).await;
}

async fn malformed_questions_are_refused(cluster: &Cluster) {
    let mut service = wire::transactions(cluster.channel(1));
    let bad_frame: Wanted<'_> = (INVALID, "BAD_FRAME", &[]);
    for by in [None, Some(By::TransactionId(Bytes::from_static(&[1; 19])))] {
        let status = service.get_outcome(v1::GetOutcomeRequest { by }).await.unwrap_err();
        assert_refused("outcome of nothing", &status, bad_frame);
    }
    for (what, request_id) in bad_request_ids("p") {
        let by = Some(By::RequestId(request_id));
        let status = service.get_outcome(v1::GetOutcomeRequest { by }).await.unwrap_err();
        assert_refused(what, &status, (INVALID, "BAD_REQUEST_ID", &[]));
    }
    let mut request = Request::new(v1::GetOutcomeRequest { by: None });
    request.metadata_mut().insert("vatic-principal", "p".repeat(65).parse().unwrap());
    let status = service.get_outcome(request).await.unwrap_err();
    assert_refused("long principal", &status, (INVALID, "BAD_REQUEST_ID", &[]));
}

pub(crate) async fn huge_names_and_values_are_refused_typed(cluster: &Cluster) {
    let huge = "h".repeat(60_000);
    let partition = cluster.partition(1, 0).await;
    let mut records = wire::records(cluster.channel(0));
    let mut service = wire::transactions(cluster.channel(0));
    let bad_key: Wanted<'_> = (INVALID, "BAD_KEY", &[("key", "*")]);
    for name in [key(&huge, "p", ""), key("c", &huge, ""), key("c", "p", &huge)] {
        let request = v1::GetRequest { key: Some(name.clone()), at: None };
        assert_refused("get", &records.get(request).await.unwrap_err(), bad_key);
        let transitions = transitions(vec![put(&name, int(1))]);
        let request = v1::SubmitRequest { transitions, ..Default::default() };
        assert_refused("submit", &service.submit(request).await.unwrap_err(), bad_key);
    }
    let name = key("huge", &partition, "");
    let equals = v1::FieldEquals { field: huge.clone(), value: Some(text(huge.clone())) };
    let condition = Some(v1::expect_operation::Condition::FieldEquals(equals));
    let expect = operation(&name, Operation::Expect(v1::ExpectOperation { condition }));
    let half = v1::AddOperation { field: huge.clone(), amount: 1 };
    let add = operation(&name, Operation::Add(half));
    for delta in [add, expect] {
        let request =
            v1::SubmitRequest { transitions: transitions(vec![delta]), ..Default::default() };
        match service.submit(request).await {
            Err(status) if status.code() == Code::Aborted => {
                assert_eq!(refused(&status).reason, "ROLLED_BACK");
            }
            Err(status) => {
                assert_refused("huge", &status, (INVALID, "LIMIT_EXCEEDED", &[("limit", "*")]));
            }
            Ok(done) => panic!("{done:?}"),
        }
    }
    assert_untouched(cluster, "huge", &name).await;
}

pub(crate) async fn message_over_the_limit_is_refused_and_the_connection_lives(cluster: &Cluster) {
    let name = key("message", &cluster.partition(1, 0).await, "");
    let mut service = wire::transactions(cluster.channel(0));
    let half = text("x".repeat(DELTA_BYTES_MAX as usize / 2));
    let count = 2 * (MESSAGE_BYTES_MAX / DELTA_BYTES_MAX) as usize + 1;
    let transitions = transitions(vec![put(&name, half); count]);
    let request = v1::SubmitRequest { transitions, ..Default::default() };
    let status = service.submit(request).await.unwrap_err();
    let max = MESSAGE_BYTES_MAX.to_string();
    let named = [("limit", "message_bytes_max"), ("max", &max), ("actual", "*")];
    assert_refused("one call", &status, (INVALID, "LIMIT_EXCEEDED", &named));
    let mut stream = Stream::begin(cluster.channel(0)).await;
    let huge = text("x".repeat(2 * MESSAGE_BYTES_MAX as usize));
    stream.write(put(&name, huge)).await;
    let status = stream.error().await;
    assert_refused("in a stream", &status, (INVALID, "LIMIT_EXCEEDED", &named));
    let fine = v1::GetOutcomeRequest { by: Some(By::TransactionId(Bytes::from(vec![1; 20]))) };
    service.get_outcome(fine).await.unwrap();
    assert_untouched(cluster, "message", &name).await;
}

/// Names at the bound: NUL bytes take two in the encoded form, which may have 448.
pub(crate) async fn longest_key_is_read_written_and_scanned(cluster: &Cluster) {
    let sort = format!("{}{}", "s".repeat(72), "\0".repeat(56));
    let mut names = Vec::new();
    for group in [1, 2] {
        let partition = longest_partition(cluster, group).await;
        names.push(key(&"c".repeat(128), &partition, &sort));
    }
    let mut stream = Stream::begin(cluster.channel(0)).await;
    for name in &names {
        stream.read(name).await;
        let range = v1::ScanRange {
            collection: name.collection.clone(),
            partition: name.partition.clone(),
            from_sort: sort.clone(),
            to_sort: "t".repeat(128),
            limit: 1,
        };
        assert!(stream.scan(range).await.is_empty());
        stream.write(put(name, int(1))).await;
        let beyond = v1::Key { sort: "z".into(), ..name.clone() };
        stream.write(put(&beyond, int(2))).await;
    }
    committed(&stream.commit().await);
    for name in &names {
        // Waits for the decision; a read in a transaction would not.
        assert!(cluster.client().get(&core_key(name)).await.unwrap().is_some());
    }
    let mut reader = Stream::begin(cluster.channel(1)).await;
    for name in &names {
        assert!(reader.read(name).await.record.is_some());
        // The range guarded ends right behind the longest sort value.
        let range = v1::ScanRange {
            collection: name.collection.clone(),
            partition: name.partition.clone(),
            limit: 1,
            ..Default::default()
        };
        assert_eq!(reader.scan(range).await.len(), 1);
        reader.write(operation(name, Operation::Delete(v1::DeleteOperation {}))).await;
    }
    committed(&reader.commit().await);
    let longer = key(&"c".repeat(128), &names[0].partition, &format!("{sort}\0"));
    let mut records = wire::records(cluster.channel(0));
    let request = v1::GetRequest { key: Some(longer), at: None };
    let status = records.get(request).await.unwrap_err();
    assert_refused("longer", &status, (INVALID, "BAD_KEY", &[]));
}

async fn longest_partition(cluster: &Cluster, group: u32) -> String {
    let mut records = wire::records(cluster.channel(0));
    for number in 0..100 {
        let partition = format!("{number:0>128}");
        let request = v1::GetRequest { key: Some(key("c", &partition, "")), at: None };
        let route = records.get(request).await.unwrap().into_inner().route.unwrap();
        if route.group == group {
            return partition;
        }
    }
    panic!("no partition of group {group} among a hundred");
}

pub(crate) async fn stalled_stream_is_rolled_back_and_blocks_nobody(cluster: &Cluster) {
    let name = key("stalled", &cluster.partition(2, 0).await, "");
    let mut stalled = Stream::begin(cluster.channel(0)).await;
    stalled.read(&name).await;
    stalled.write(put(&name, int(1))).await;
    stalled.acknowledged().await;
    let since = Instant::now();
    let mut writer = Stream::begin(cluster.channel(1)).await;
    writer.write(put(&name, int(2))).await;
    let version = committed(&writer.commit().await);
    let outcome = stalled.outcome().await.unwrap();
    let (waited, idle) = (since.elapsed(), Duration::from_millis(STREAM_IDLE_MS));
    assert!(waited > idle / 2 && waited < idle * 5, "{waited:?}");
    let why = rollback(&outcome);
    assert_eq!(why.cause(), RollbackCause::IdleTimeout);
    assert!(why.retryable && why.message.contains("stream_idle_ms"), "{why:?}");
    let found = cluster.client().get(&core_key(&name)).await.unwrap().unwrap();
    assert_eq!(found.version.0, version);
}

pub(crate) async fn stream_past_its_deadline_is_rolled_back(cluster: &Cluster) {
    let name = key("late", &cluster.partition(3, 0).await, "");
    let mut stream = Stream::open(cluster.channel(2)).await;
    let begin = v1::BeginFrame { deadline_ms: 700, ..Default::default() };
    stream.send(Frame::Begin(begin)).await;
    let since = Instant::now();
    let mut seq = 0;
    // Never idle, and over all the same.
    let outcome = loop {
        seq += 1;
        stream.send(Frame::Transition(transition(seq, put(&name, int(1))))).await;
        match stream.next().await.unwrap() {
            Some(vatic_proto::v1::transact_response::Frame::Outcome(ended)) => break ended.outcome,
            Some(_) => {}
            None => panic!("the stream ended without an outcome"),
        }
    };
    let outcome = outcome.unwrap();
    assert_eq!(rollback(&outcome).cause(), RollbackCause::IdleTimeout);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    assert_untouched(cluster, "late", &name).await;
}
