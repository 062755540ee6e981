//! Sends a snapshot file to a follower, a chunk a message, a few in flight.
//!
//! Why not one message: a snapshot is as large as a group's state; chunks share the connection
//! with everything else, and each has its own deadline, so that a stalled transfer is noticed.
//!
//! Invariant: the install message says how many bytes there are and carries the mark of the very
//! file that was sent; the receiver installs nothing shorter or else.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use futures::{TryStreamExt, stream};
use openraft::errors::{StreamingError, Unreachable};
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};
use vatic_proto::peer::v1::Kind;

use super::lane::SendError;
use super::link::{Link, next_session};
use crate::codec::{decode, encode};
use crate::snapshot::SnapshotHandle;
use crate::types::{SnapshotMeta, Types, Vote};

/// Chunks under way at once.
const CHUNKS_IN_FLIGHT: usize = 4;

#[derive(Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) offset: u64,
    pub(crate) data: bytes::Bytes,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Install {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: u64,
}

type SendResult = Result<SnapshotResponse<Types>, StreamingError<Types>>;

pub(crate) async fn send(link: &Link, vote: Vote, handle: SnapshotHandle) -> SendResult {
    let made = tokio::task::spawn_blocking(move || prepare(handle)).await;
    let (file, meta) = made.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(not_made)?;
    let session = next_session();
    let bytes = send_chunks(link, session, file).await?;
    let install = encode(&Install { vote, meta, bytes });
    let envelope = link.envelope(Kind::SnapshotInstall, session, install);
    let deadline = Duration::from_millis(link.limits.snapshot_install_deadline_ms);
    let reply = link.peer.snapshot.call(envelope, deadline).await.map_err(not_taken)?;
    decode(&reply).map_err(|_| unreachable(SendError::BadReply))
}

/// Writes the file if need be. The mark inside it may be later than the handle's.
fn prepare(handle: SnapshotHandle) -> io::Result<(File, SnapshotMeta)> {
    let SnapshotHandle::Local(local) = handle else {
        return Err(io::Error::other("a received snapshot is installed, not sent on"));
    };
    let made = local.file()?;
    let meta = decode::<SnapshotMeta>(&made.mark.meta)?;
    Ok((File::open(&made.path)?, meta))
}

async fn send_chunks(link: &Link, session: u64, file: File) -> Result<u64, StreamingError<Types>> {
    let deadline = Duration::from_millis(link.limits.snapshot_chunk_deadline_ms);
    let size = link.limits.snapshot_chunk_bytes;
    let chunks = stream::try_unfold((file, 0), |(mut file, offset)| async move {
        let data = read_chunk(&mut file, size).map_err(not_made)?;
        let end = offset + data.len() as u64;
        Ok((!data.is_empty()).then_some((Chunk { offset, data }, (file, end))))
    });
    let sends = chunks.map_ok(|chunk| async move {
        let end = chunk.offset + chunk.data.len() as u64;
        let envelope = link.envelope(Kind::SnapshotChunk, session, encode(&chunk));
        link.peer.snapshot.call(envelope, deadline).await.map_err(not_taken)?;
        Ok(end)
    });
    sends.try_buffered(CHUNKS_IN_FLIGHT).try_fold(0, |_, end| async move { Ok(end) }).await
}

fn read_chunk(file: &mut File, size: usize) -> io::Result<bytes::Bytes> {
    let mut data = Vec::with_capacity(size);
    file.take(size as u64).read_to_end(&mut data)?;
    Ok(data.into())
}

/// A disk without room, here or there, costs the follower its snapshot, and no node its life.
fn not_made(error: io::Error) -> StreamingError<Types> {
    tracing::error!(%error, "no snapshot could be made for a follower");
    StreamingError::Unreachable(Unreachable::new(&error))
}

/// It is tried again, from the start, after a while; what is sent is checked before each time.
fn not_taken(error: SendError) -> StreamingError<Types> {
    tracing::warn!(%error, "a follower did not take a snapshot");
    unreachable(error)
}

fn unreachable(error: SendError) -> StreamingError<Types> {
    StreamingError::Unreachable(Unreachable::new(&error))
}
