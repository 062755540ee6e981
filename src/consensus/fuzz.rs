//! The decoders of consensus, for fuzzing: bytes in, and whether they were taken for something.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, VoteRequest};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Commands, Replies};
use crate::codec::{decode, encode};
use crate::types::{LogId, Payload, RaftId, SnapshotMeta, Types};

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
    ];
    read.contains(&true)
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
    ];
    samples.iter().map(|sample| sample.to_vec()).collect()
}
