//! The decoders of consensus, for fuzzing: bytes in, and whether they were taken for something.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Commands, Replies};
use crate::codec::{decode, encode};
use crate::notes::Record;
use crate::transport::introduce::{Join, Known};
use crate::transport::snapshot_send::{Chunk, Install};
use crate::types::{LogId, Payload, RaftId, SnapshotMeta, Types, Vote, log_id};

/// Everything that a peer sends to Raft, and everything that Raft keeps in log and snapshots.
pub fn message(bytes: &[u8]) -> bool {
    let read = [
        again::<AppendEntriesRequest<Types>>(bytes),
        again::<VoteRequest<Types>>(bytes),
        again::<Payload>(bytes),
        again::<Commands>(bytes),
        again::<Replies>(bytes),
        again::<SnapshotMeta>(bytes),
        again::<Option<LogId>>(bytes),
        again::<RaftId>(bytes),
        again::<Vote>(bytes),
        again::<TransferLeaderRequest<Types>>(bytes),
        again::<Chunk>(bytes),
        again::<Install>(bytes),
    ];
    read.contains(&true)
}

/// Everything that a peer answers to Raft.
pub fn answer(bytes: &[u8]) -> bool {
    let read = [
        again::<AppendEntriesResponse<Types>>(bytes),
        again::<StreamAppendResult<Types>>(bytes),
        again::<VoteResponse<Types>>(bytes),
        again::<TransferLeaderResponse<Types>>(bytes),
        again::<SnapshotResponse<Types>>(bytes),
    ];
    read.contains(&true)
}

/// What replicas say to each other outside of Raft: what one knows of another, and a wish to be
/// taken in. A probe asks without words.
pub fn introduction(bytes: &[u8]) -> bool {
    let known = decode::<Known>(bytes).is_ok_and(|known| {
        let _ = known.is_fit();
        again::<Known>(bytes)
    });
    known | again::<Join>(bytes) | again::<()>(bytes)
}

/// What a node has on disk of a group's replicas, its own and those of others.
pub fn notes(bytes: &[u8]) -> bool {
    again::<Record>(bytes)
}

/// What was read is written again, and read again from that.
fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> bool {
    let Ok(value) = decode::<T>(bytes) else { return false };
    let written = encode(&value);
    let reread = decode::<T>(&written).expect("what was written is read");
    assert_eq!(encode(&reread), written, "and is the same");
    true
}

/// One of each of the smaller ones.
pub fn messages() -> Vec<Vec<u8>> {
    let commands = Commands(vec![Bytes::from_static(b"one"), Bytes::from_static(b"second")]);
    let replies = Replies(vec![Bytes::from_static(b"reply")]);
    let payload = Payload::Normal(commands.clone());
    let samples = [
        encode(&payload),
        encode(&Payload::Blank),
        encode(&commands),
        encode(&replies),
        encode(&SnapshotMeta::default()),
        encode(&Option::<LogId>::None),
        encode(&RaftId::new(3, 1)),
        encode(&vote()),
        encode(&VoteRequest::<Types>::new(vote(), Some(log_id(4, 9)))),
        encode(&TransferLeaderRequest::<Types>::new(vote(), RaftId::new(2, 1), None)),
        encode(&Chunk { offset: 64, data: Bytes::from_static(b"chunk") }),
        encode(&Install { vote: vote(), meta: SnapshotMeta::default(), bytes: 69 }),
    ];
    samples.iter().map(|sample| sample.to_vec()).collect()
}

/// Yes and no of each question.
pub fn answers() -> Vec<Vec<u8>> {
    let samples = [
        encode(&AppendEntriesResponse::<Types>::Success),
        encode(&AppendEntriesResponse::<Types>::HigherVote(vote())),
        encode(&StreamAppendResult::<Types>::Ok(Some(log_id(4, 9)))),
        encode(&StreamAppendResult::<Types>::Err(StreamAppendError::HigherVote(vote()))),
        encode(&VoteResponse::<Types>::new(vote(), Some(log_id(4, 9)), true)),
        encode(&TransferLeaderResponse::<Types>::Ok(())),
        encode(&SnapshotResponse::<Types>::new(vote())),
    ];
    samples.iter().map(|sample| sample.to_vec()).collect()
}

/// A leader's word on a replica, and a replica that wants to be taken in.
pub fn introductions() -> Vec<Vec<u8>> {
    let known =
        Known { met: 2, listed: 3, leads: true, serves: true, has_room: true, generation: 1 };
    let join = Join { address: "127.0.0.1:7500".to_owned() };
    vec![encode(&known).to_vec(), encode(&join).to_vec(), encode(&()).to_vec()]
}

/// Of a node that has no replica yet, and of one whose replica began anew among others.
pub fn some_notes() -> Vec<Vec<u8>> {
    let record = Record { own: 3, quarantined: 2, met: [(1, 1), (2, 5)].into() };
    vec![encode(&Record::default()).to_vec(), encode(&record).to_vec()]
}

fn vote() -> Vote {
    Vote::new(4, RaftId::new(3, 1))
}
