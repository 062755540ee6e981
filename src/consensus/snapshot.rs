//! Snapshots of one replica: made when one is sent, not when openraft asks for one.
//!
//! Why lazily: the state is durable by itself, so openraft needs no file to purge its log, only
//! the promise that the state up to there is on disk. Writing the whole state to a file each few
//! thousand entries, for a follower that is hardly ever that far behind, would be waste. So
//! building a snapshot flushes the store and reports the flushed mark, and the file is written
//! when a follower needs it.
//!
//! Invariant: the file that is sent covers at least what the handle reported: openraft counts the
//! follower as matching up to there.

use std::io;
use std::time::Duration;

use fail::fail_point;
use openraft::alias::SnapshotOf;
use openraft::{RaftSnapshotBuilder, Snapshot};
use tokio::time::Instant;
use vatic_store::{Mark, Prepared, Replica, SnapshotFile, Store};

use crate::codec::decode;
use crate::types::{SnapshotMeta, Types};

/// A snapshot that openraft passes around.
#[derive(Debug)]
pub(crate) enum SnapshotHandle {
    /// This replica's state, at its flushed mark or later.
    Local(LocalSnapshot),
    /// The state of a file that came from a peer, checked and written: what is left cannot fail.
    Received(Prepared),
}

pub(crate) struct LocalSnapshot {
    replica: Replica,
    /// The mark that was reported with the handle.
    index: u64,
}

impl std::fmt::Debug for LocalSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalSnapshot(at least {})", self.index)
    }
}

impl LocalSnapshot {
    /// Writes the file, or takes the one that is there, if that is whole. Blocks.
    pub(crate) fn file(&self) -> io::Result<SnapshotFile> {
        fail_point!("consensus::snapshot_write");
        let made = self.replica.snapshot_from(self.index).map_err(io::Error::other)?;
        assert!(made.mark.index >= self.index, "a flushed mark went back");
        Ok(made)
    }
}

/// The snapshot that could be sent now; `None` where nothing is flushed yet.
pub(crate) fn current(replica: &Replica) -> io::Result<Option<SnapshotOf<Types, SnapshotHandle>>> {
    replica.flushed().map(|mark| local(replica, &mark)).transpose()
}

fn local(replica: &Replica, mark: &Mark) -> io::Result<SnapshotOf<Types, SnapshotHandle>> {
    let meta: SnapshotMeta = decode(&mark.meta)?;
    let handle = LocalSnapshot { replica: replica.clone(), index: mark.index };
    Ok(Snapshot { meta, snapshot: SnapshotHandle::Local(handle) })
}

/// Of a replica that has applied nothing. openraft may ask for it at the start, but never sends it.
fn empty(replica: &Replica) -> SnapshotOf<Types, SnapshotHandle> {
    let handle = LocalSnapshot { replica: replica.clone(), index: 0 };
    Snapshot { meta: SnapshotMeta::default(), snapshot: SnapshotHandle::Local(handle) }
}

/// Makes what is applied durable, so that the log up to there may go.
pub(crate) struct Builder {
    pub(crate) store: Store,
    pub(crate) replica: Replica,
    pub(crate) flush_deadline: Duration,
}

/// How long the log's fsync may hold a flush back before an older state is reported.
pub(crate) const FLUSH_DEADLINE: Duration = Duration::from_secs(30);
/// Between two tries, the first of which nearly always does.
const FLUSH_PAUSE: Duration = Duration::from_millis(1);

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotHandle;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotHandle>> {
        let (store, replica) = (self.store.clone(), self.replica.clone());
        match flushed(&store, &replica, self.flush_deadline).await? {
            Some(mark) => local(&replica, &mark),
            None => Ok(empty(&replica)),
        }
    }
}

/// Flushes until all that is applied now is on disk, or for as long as that may take: what is on
/// disk is the answer then, since an error here ends the process, and a full disk must not. `None`
/// where that is nothing.
async fn flushed(store: &Store, replica: &Replica, deadline: Duration) -> io::Result<Option<Mark>> {
    let Some(applied) = replica.applied() else { return Ok(None) };
    let until = Instant::now() + deadline;
    fail_point!("consensus::snapshot_build");
    loop {
        let flushing = store.clone();
        let flushed = tokio::task::spawn_blocking(move || flushing.flush_now()).await;
        flushed.map_err(io::Error::other)?;
        if let Some(mark) = replica.flushed()
            && mark.index >= applied.index
        {
            return Ok(Some(mark));
        }
        // What is hidden until its replica is rebuilt is not flushed.
        if Instant::now() >= until || replica.is_hidden() {
            tracing::warn!("the flush is held back: the log is purged no further");
            return Ok(replica.flushed());
        }
        tokio::time::sleep(FLUSH_PAUSE).await;
    }
}
