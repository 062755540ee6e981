//! The far end of a snapshot transfer: gathers the chunks in a file, then has it installed.
//!
//! Why one task a transfer: chunks are appended in order, and a new transfer from the same leader
//! ends the old one by dropping its queue.
//!
//! Why the state is prepared before Raft hears of it: once Raft has begun to install a snapshot it
//! cannot go back, and a failure ends the process. A file that rotted or a full disk is met here,
//! and is the sender's answer.
//!
//! Invariants: only a state that is whole, and written, is handed to Raft; what is answered for is
//! on disk, as a state or as entries; the file of a transfer is deleted when that ends, here or at
//! the next start.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::Snapshot;
use tokio::sync::mpsc;
use vatic_proto::peer::v1::{Kind, ReplyStatus};
use vatic_store::{InstallError, Prepared};

use super::registry::Target;
use super::serve::{Answer, request, respond};
use super::session::{Session, Step, refuse_all};
use super::snapshot_send::{Chunk, Install};
use crate::snapshot::SnapshotHandle;
use crate::types::RaftId;

/// Between two looks at whether an fsync that is under way has ended: about what one takes.
const FSYNC: Duration = Duration::from_millis(2);

pub(crate) fn session(id: u64, target: Arc<Target>, from: RaftId) -> Session {
    let (session, steps) = Session::open(id);
    let name = format!("{}-{}.incoming", target.name, target.transfers.step());
    let path = target.replica.snapshot_dir().join(name);
    tokio::spawn(run(target, from, steps, path));
    session
}

async fn run(target: Arc<Target>, from: RaftId, mut steps: mpsc::Receiver<Step>, path: PathBuf) {
    if let Err(status) = target.meet(from).await {
        return refuse_all(steps, status).await;
    }
    let mut transfer = Transfer { path, file: None, written: 0 };
    while let Some(step) = steps.recv().await {
        let chunk = step.kind == Kind::SnapshotChunk;
        let answer = match chunk {
            true => transfer.take(&target, &step.body),
            false => install(&target, &transfer, &step.body).await,
        };
        let refused = [Err(ReplyStatus::NoRoom), Err(ReplyStatus::Damaged)].contains(&answer);
        target.metrics.snapshots_refused.inc_by(refused.into());
        let ended = answer.is_err() || !chunk;
        step.ticket.answer(answer).await;
        if ended {
            return;
        }
    }
}

async fn install(target: &Target, transfer: &Transfer, body: &[u8]) -> Answer {
    let Install { vote, meta, bytes } = request(body)?;
    let last = meta.last_log_id.ok_or(ReplyStatus::BadBody)?;
    if bytes != transfer.written {
        return Err(ReplyStatus::BadBody);
    }
    let _alone = target.installs.lock().await;
    let prepared = prepare(target, &transfer.path, last.index).await.map_err(|error| {
        tracing::error!(%error, "a snapshot from a peer is refused");
        match error {
            InstallError::DiskFull => ReplyStatus::NoRoom,
            InstallError::Io { source, .. } => not_written(&source),
            InstallError::Superseded | InstallError::Closed => ReplyStatus::Stopped,
            _ => ReplyStatus::Damaged,
        }
    })?;
    // Raft may find that it needs no snapshot; what was prepared goes then.
    let snapshot = Snapshot { meta, snapshot: SnapshotHandle::Received(prepared) };
    let installed = target.raft.install_full_snapshot(vote, snapshot).await;
    // Who follows another by now acknowledges nothing.
    if installed.as_ref().is_ok_and(|response| response.vote == vote) {
        until_durable(target, last.index).await?;
    }
    respond(installed)
}

/// Raft answers at once where its log holds all that the snapshot does, and has not asked then
/// whether that is written. The leader takes the answer for an acknowledgement: after a crash it
/// would go on behind what is lost, and be refused for ever.
async fn until_durable(target: &Target, index: u64) -> Result<(), ReplyStatus> {
    let durable = || {
        let state = target.replica.flushed().is_some_and(|mark| mark.index >= index);
        state || target.log.is_durable(index)
    };
    let within = Duration::from_millis(target.fsync_deadline_ms);
    let waited = tokio::time::timeout(within, async {
        while !durable() {
            tokio::time::sleep(FSYNC).await;
        }
    });
    waited.await.map_err(|_| ReplyStatus::Stopped)
}

async fn prepare(target: &Target, path: &Path, index: u64) -> Result<Prepared, InstallError> {
    let (replica, file) = (target.replica.clone(), path.to_owned());
    let prepared = tokio::task::spawn_blocking(move || replica.prepare(&file, index)).await;
    let ended = |error| InstallError::Io { path: path.to_owned(), source: io::Error::other(error) };
    prepared.map_err(ended)?
}

/// A file that grows by chunks, and goes away with the transfer.
struct Transfer {
    path: PathBuf,
    file: Option<File>,
    written: u64,
}

impl Transfer {
    fn take(&mut self, target: &Target, body: &[u8]) -> Answer {
        let chunk: Chunk = request(body)?;
        if chunk.offset != self.written {
            return Err(ReplyStatus::BadBody);
        }
        if !target.replica.disk_has_room() {
            tracing::error!("there is no room for a snapshot from a peer");
            return Err(ReplyStatus::NoRoom);
        }
        self.write(&chunk.data).map_err(|error| {
            tracing::error!(%error, "a snapshot from a peer cannot be written");
            not_written(&error)
        })?;
        self.written += chunk.data.len() as u64;
        Ok(Bytes::new())
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            self.file = Some(File::create(&self.path)?);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(data))
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // It may not have begun; a file that stays is deleted at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn not_written(error: &io::Error) -> ReplyStatus {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ReplyStatus::NoRoom,
        _ => ReplyStatus::Stopped,
    }
}
