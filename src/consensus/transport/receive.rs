//! The far end of a snapshot transfer: gathers the chunks in a file, then has it installed.
//!
//! Why one task a transfer: chunks are appended in order, and a new transfer from the same leader
//! ends the old one by dropping its queue.
//!
//! Invariant: only a file of the announced length is handed to Raft; what is left of a transfer
//! that ended early is deleted here or at the next start.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::Snapshot;
use tokio::sync::mpsc;
use vatic_proto::peer::v1::{Kind, ReplyStatus};

use super::registry::Target;
use super::serve::{Answer, request, respond};
use super::session::{Session, Step};
use super::snapshot_send::{Chunk, Install};
use crate::snapshot::SnapshotHandle;

pub(crate) fn session(id: u64, target: Arc<Target>, from: u64) -> Session {
    let (session, steps) = Session::open(id);
    let path = target.incoming.join(format!("{}-{from:x}-{id}.incoming", target.name));
    tokio::spawn(run(target, steps, path));
    session
}

async fn run(target: Arc<Target>, mut steps: mpsc::Receiver<Step>, path: PathBuf) {
    let mut transfer = match Transfer::begin(path) {
        Ok(transfer) => transfer,
        Err(error) => {
            tracing::error!(%error, "no room for a snapshot from a peer");
            return;
        }
    };
    while let Some(step) = steps.recv().await {
        let answer = match step.kind {
            Kind::SnapshotChunk => transfer.take(&step.body),
            _ => install(&target, &mut transfer, &step.body).await,
        };
        let ended = answer.is_err() || step.kind != Kind::SnapshotChunk;
        step.ticket.answer(answer).await;
        if ended {
            return;
        }
    }
}

async fn install(target: &Target, transfer: &mut Transfer, body: &[u8]) -> Answer {
    let Install { vote, meta, bytes } = request(body)?;
    if bytes != transfer.written {
        return Err(ReplyStatus::BadBody);
    }
    let path = transfer.hand_over();
    let snapshot = Snapshot { meta, snapshot: SnapshotHandle::Received(path.clone()) };
    let answer = respond(target.raft.install_full_snapshot(vote, snapshot).await);
    // Raft may find that it needs no snapshot; then nobody else takes the file away.
    remove(&path);
    answer
}

/// A file that grows by chunks, and goes away unless it is handed over.
struct Transfer {
    file: File,
    written: u64,
    path: Option<PathBuf>,
}

impl Transfer {
    fn begin(path: PathBuf) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self { file: File::create(&path)?, written: 0, path: Some(path) })
    }

    fn take(&mut self, body: &[u8]) -> Answer {
        let chunk: Chunk = request(body)?;
        if chunk.offset != self.written {
            return Err(ReplyStatus::BadBody);
        }
        self.file.write_all(&chunk.data).map_err(|error| {
            tracing::error!(%error, "a snapshot from a peer cannot be written");
            ReplyStatus::Stopped
        })?;
        self.written += chunk.data.len() as u64;
        Ok(Bytes::new())
    }

    fn hand_over(&mut self) -> PathBuf {
        self.path.take().expect("a transfer is handed over once")
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            remove(path);
        }
    }
}

fn remove(path: &Path) {
    // It may be gone already; if not, the next start clears the folder.
    let _ = std::fs::remove_file(path);
}
