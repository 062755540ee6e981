//! The decoders of the server, for fuzzing: bytes in, and whether they were taken for something.

use std::collections::BTreeMap;

use prost::Message;
use vatic_core::{
    codec,
    command::Command,
    conflict::Model,
    course::{Course, CourseBatch, Kind, Newer, Step},
    delta::Delta,
    history::{self, Event, Row, What},
    id::{GroupId, Tid, Timestamp},
    key::Key,
    policy::Policies,
    shelf::{SharedModel, Shelf},
};
use vatic_proto::v1;

use crate::peer::{Origin, PeerFound, PeerRead, PeerReply, PeerRequest};
use crate::{conflict_watch, convert, foresight};
use vatic_consensus::RaftId;

/// A question of a peer.
pub fn peer_request(bytes: &[u8]) -> bool {
    let Ok(request) = codec::decode::<PeerRequest>(bytes) else { return false };
    let _ = request.group();
    let again = codec::encode(&request);
    let reread = codec::decode::<PeerRequest>(&again).expect("what was written is read");
    assert_eq!(codec::encode(&reread), again, "and is the same");
    true
}

/// A peer's answer.
pub fn peer_reply(bytes: &[u8]) -> bool {
    let Ok(reply) = codec::decode::<PeerReply>(bytes) else { return false };
    let again = codec::encode(&reply);
    let reread = codec::decode::<PeerReply>(&again).expect("what was written is read");
    assert_eq!(codec::encode(&reread), again, "and is the same");
    true
}

/// A client's transition: from the wire to the core's own bytes.
pub fn transition(bytes: &[u8]) -> bool {
    let Ok(transition) = v1::Transition::decode(bytes) else { return false };
    let Ok(delta) = convert::delta_bytes(transition) else { return false };
    // A client may send the core's bytes themselves; those are read when they are chained.
    let _ = codec::decode::<Delta>(&delta);
    true
}

/// A client's names: a key, a range, a request.
pub fn names(bytes: &[u8]) -> bool {
    let key = v1::Key::decode(bytes).is_ok_and(|key| convert::key(Some(key)).is_ok());
    let range = v1::ScanRange::decode(bytes);
    let range = range.is_ok_and(|range| convert::range(&range).is_ok());
    let request = v1::RequestId::decode(bytes);
    let request =
        request.is_ok_and(|it| convert::request_id(it, "principal".to_owned(), 1_000).is_ok());
    let digest = convert::hash(bytes, "digest").is_ok();
    let filter = v1::ListConflictsRequest::decode(bytes);
    let filter = filter.is_ok_and(|it| convert::filter(it.key, it.transaction_id).is_ok());
    let place = conflict_watch::seen_in(bytes).is_ok();
    key || range || request || digest || filter || place
}

/// A finished stream of any node, and a batch of them, which this node's forecasters learn.
pub fn course(bytes: &[u8]) -> bool {
    let batch = codec::decode::<CourseBatch>(bytes);
    let of_batch = batch.is_ok_and(|batch| batch.courses.iter().any(foresight::learns));
    let course = codec::decode::<Course>(bytes);
    of_batch | course.is_ok_and(|course| foresight::learns(&course))
}

/// A question of each simple kind.
pub fn peer_requests() -> Vec<Vec<u8>> {
    let group = GroupId(1);
    let key = Key::new("account", "ada", "").expect("a valid key");
    let command = Command::Advance { to: Timestamp(9) };
    let samples = [
        PeerRequest::Propose { group, command, origin: Origin::default() },
        PeerRequest::Read { group, read: PeerRead::Peek(key.clone()) },
        PeerRequest::Read { group, read: PeerRead::GetAt(key, Timestamp(7)) },
        PeerRequest::Settled { group, tids: Vec::new() },
        PeerRequest::Heads { group, from: 3 },
        PeerRequest::Status { with_state_digest: true },
        PeerRequest::Read { group, read: PeerRead::Courses { after: 7, most: 64, node: 1 } },
    ];
    samples.iter().map(codec::encode).collect()
}

/// An answer of each simple kind.
pub fn peer_replies() -> Vec<Vec<u8>> {
    let newer = Newer { courses: vec![(8, a_course())], oldest: 2, newest: 8 };
    let history = history::Newer { rows: vec![(4, a_row())], looked: 4, missed: 1 };
    let model = Model::constant(30_000);
    let shared = SharedModel { version: 2, node: 1, labels: 300, model };
    let shelf = Shelf { newest: 2, pinned: None };
    let (ring, nodes, policies) = (None, Vec::new(), Policies::default());
    let samples = [
        PeerReply::NotLeader { leader: Some(2) },
        PeerReply::Late,
        PeerReply::TooLarge { limit_bytes: 5, command_bytes: 7 },
        PeerReply::StateDigest { replica: RaftId::new(2, 1), index: 1, digest: [7; 32] },
        PeerReply::Read(PeerFound::TooLarge { actual: 9 }),
        PeerReply::Read(PeerFound::SnapshotOf(Timestamp(3))),
        PeerReply::Read(PeerFound::Courses(newer, Some(5))),
        PeerReply::Read(PeerFound::Conflicts(vec![(4, a_row())])),
        PeerReply::Read(PeerFound::History(history)),
        PeerReply::Read(PeerFound::Meta { ring, nodes, shelf, policies }),
        PeerReply::Read(PeerFound::Models(shelf, vec![shared])),
    ];
    samples.iter().map(codec::encode).collect()
}

/// A course, and a batch of it.
pub fn courses() -> Vec<Vec<u8>> {
    let batch = CourseBatch { node: 1, sequence: 2, courses: vec![a_course(), a_course()] };
    vec![codec::encode(&a_course()), codec::encode(&batch)]
}

fn a_course() -> Course {
    let kind = |fields: &[&str]| Kind {
        collection: "account".into(),
        operation: "put".into(),
        fields: fields.iter().map(|field| (*field).into()).collect(),
    };
    let steps = [(0, 0), (1, 300), (0, 70_000)];
    let steps = steps.map(|(kind, after_us)| Step { kind, after_us }).into();
    let kinds = vec![kind(&["balance"]), kind(&["balance", "owner"])];
    Course { user: 3, kinds, steps, groups: vec![GroupId(1)] }
}

fn a_row() -> Row {
    let tid = Tid { mint: Timestamp(5), home: GroupId(1), nonce: 7 };
    let what = What::Accepted { weight: 8 };
    let event = Event {
        at_us: 6_000,
        tid,
        what,
        foreseen: None,
        claimed: true,
        in_turn: false,
        took_us: 70,
    };
    Row { clock: Timestamp(6), node: 1, event }
}

/// Transitions of every operation.
pub fn transitions() -> Vec<Vec<u8>> {
    use v1::{delta::Operation, transition::Body, value::Kind};
    let value = |kind| v1::Value { kind: Some(kind) };
    let fields = v1::Fields {
        fields: [
            ("a".to_owned(), value(Kind::IntValue(-5))),
            ("b".to_owned(), value(Kind::StringValue("text".to_owned()))),
            ("c".to_owned(), value(Kind::DoubleValue(0.5))),
            ("d".to_owned(), value(Kind::BoolValue(true))),
        ]
        .into(),
    };
    let key = v1::Key {
        collection: "account".to_owned(),
        partition: "ada".to_owned(),
        sort: "x".to_owned(),
    };
    let operations = [Operation::Put(fields.clone()), Operation::Merge(fields)];
    let samples = operations.map(|operation| v1::Transition {
        seq: 1,
        body: Some(Body::Delta(v1::Delta { key: Some(key.clone()), operation: Some(operation) })),
        ..v1::Transition::default()
    });
    samples.iter().map(Message::encode_to_vec).collect()
}

/// A key, a range around it, and where a watch goes on.
pub fn some_names() -> Vec<Vec<u8>> {
    let key = v1::Key {
        collection: "account".to_owned(),
        partition: "ada".to_owned(),
        sort: "x".to_owned(),
    };
    let range = v1::ScanRange {
        collection: "account".to_owned(),
        partition: "ada".to_owned(),
        ..v1::ScanRange::default()
    };
    let seen = BTreeMap::from([(GroupId(1), 9u64), (GroupId(2), 1 << 40)]);
    vec![key.encode_to_vec(), range.encode_to_vec(), codec::encode(&seen)]
}
