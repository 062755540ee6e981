//! Making snapshots, and keeping the latest of each replica.
//!
//! A snapshot is of what is in LMDB, not of the overlays: once openraft has it, it may purge the
//! log up to its mark, and the log must not be purged past what a crash would leave. So flush
//! first, then scan one moment of LMDB. Writers go on meanwhile.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fail::fail_point;

use crate::cell::lock;
use crate::error::{InstallError, SnapshotError};
use crate::id::{Mark, ReplicaId};
use crate::job::Job;
use crate::overlay::Overlay;
use crate::published::Published;
use crate::replica::Replica;
use crate::seeded::{Bug, planted};
use crate::snapshot_file::{SnapshotFile, SnapshotReader, SnapshotWriter};
use crate::view::View;

impl Replica {
    /// Writes a snapshot of the flushed state and makes it the latest; older ones of this
    /// replica are deleted (who has one open can read on). Durable on return.
    ///
    /// Blocks for a flush and a scan of the whole state, and keeps LMDB from reusing pages for
    /// as long.
    pub fn snapshot(&self) -> Result<SnapshotFile, SnapshotError> {
        let _alone = lock(&self.cell.snapshots);
        self.make_snapshot()
    }

    /// The latest snapshot, if it is of `index` or later and whole to the last byte, or a new one.
    pub fn snapshot_from(&self, index: u64) -> Result<SnapshotFile, SnapshotError> {
        let _alone = lock(&self.cell.snapshots);
        if let Some(latest) = self.latest_snapshot()
            && latest.mark.index >= index
        {
            match SnapshotReader::open(&latest.path).and_then(SnapshotReader::verify) {
                Ok(_) => return Ok(latest),
                // It may be sound, and is not vouched for.
                Err(error @ InstallError::Io { .. }) => {
                    tracing::warn!(%error, "a snapshot file cannot be read");
                }
                Err(error) => self.discard_snapshot(&latest.path, &error),
            }
        }
        self.make_snapshot()
    }

    /// Deletes a file that rotted: a new one is made of the state when it is needed.
    pub(crate) fn discard_snapshot(&self, path: &Path, error: &InstallError) {
        let path_shown = path.display();
        tracing::warn!(path = %path_shown, %error, "a snapshot file has rotted: it is deleted");
        // What cannot be deleted is met again, and no worse.
        let _ = fs::remove_file(path);
    }

    fn make_snapshot(&self) -> Result<SnapshotFile, SnapshotError> {
        if !self.disk_has_room() {
            return Err(SnapshotError::DiskFull);
        }
        if self.cell.pair().hidden {
            return Err(SnapshotError::Empty);
        }
        self.shared.ask(Job::Flush).map_err(|_| SnapshotError::Closed)?;
        let view = self.flushed_view();
        let mark = view.mark().ok_or(SnapshotError::Empty)?;
        let dir = self.snapshot_dir();
        let path = dir.join(file_name(self.id(), mark.index));
        let temporary = path.with_extension("tmp");
        let io_error = |source| SnapshotError::Io { path: path.clone(), source };
        fs::create_dir_all(&dir).map_err(io_error)?;
        let made = self.write_snapshot(&view, &mark, &temporary).and_then(|bytes| {
            fail_point!("store::snapshot_rename");
            self.make_latest(&temporary, &path)?;
            Ok(bytes)
        });
        if made.is_err() {
            // Each try has another name; on a full disk what is left of them would keep it full.
            let _ = fs::remove_file(&temporary);
        }
        let bytes = made.map_err(io_error)?;
        Ok(SnapshotFile { path, mark, bytes })
    }

    /// The latest snapshot that was made or kept, if there is one and its header is whole.
    pub fn latest_snapshot(&self) -> Option<SnapshotFile> {
        let names = snapshots_of(self.id(), &self.snapshot_dir());
        names.into_iter().rev().find_map(|(_, path)| {
            let reader = SnapshotReader::open(&path).ok()?;
            Some(SnapshotFile { path, mark: reader.mark.clone(), bytes: reader.length() })
        })
    }

    /// The file of the highest index, whole or not.
    pub(crate) fn latest_snapshot_path(&self) -> Option<PathBuf> {
        snapshots_of(self.id(), &self.snapshot_dir()).pop().map(|(_, path)| path)
    }

    /// Takes over a file that came from elsewhere as the latest snapshot of this replica: checks
    /// all of it, then moves it. It must lie on the store's file system, best in `snapshot_dir`.
    pub fn keep_snapshot(&self, file: &Path) -> Result<SnapshotFile, InstallError> {
        let reader = SnapshotReader::open(file)?;
        let (mark, bytes) = (reader.mark.clone(), reader.length());
        reader.verify()?;
        let path = self.snapshot_dir().join(file_name(self.id(), mark.index));
        let io_error = |source| InstallError::Io { path: path.clone(), source };
        fs::create_dir_all(self.snapshot_dir()).map_err(io_error)?;
        File::open(file).and_then(|file| file.sync_all()).map_err(io_error)?;
        self.make_latest(file, &path).map_err(io_error)?;
        Ok(SnapshotFile { path, mark, bytes })
    }

    /// Where snapshots lie. Files here that do not end in `.snap` are deleted at open.
    pub fn snapshot_dir(&self) -> PathBuf {
        snapshot_dir(&self.shared.dir)
    }

    /// The state in LMDB alone, at the mark of the last flush.
    fn flushed_view(&self) -> View {
        let now = self.cell.pair();
        let mark = now.flushed.clone();
        let pair = Published { active: Overlay::default(), frozen: None, mark, ..(*now).clone() };
        let (pair, shared) = (Arc::new(pair), self.shared.clone());
        View { pair, shard: shared.next_shard(), shared }
    }

    fn write_snapshot(&self, view: &View, mark: &Mark, path: &Path) -> io::Result<u64> {
        let chunk_bytes = self.shared.limits.snapshot_chunk_bytes;
        let mut writer = SnapshotWriter::create(path, self.id().group, mark, chunk_bytes)?;
        let mut result = Ok(());
        view.scan_all(&mut |key, value| {
            if planted(Bug::SnapshotDropsVotes) && key.first() == Some(&b'p') {
                return true;
            }
            result = writer.add(key, value);
            result.is_ok()
        });
        result?;
        writer.finish()
    }

    /// Renames, durably, and deletes what is older.
    fn make_latest(&self, from: &Path, to: &Path) -> io::Result<()> {
        let dir = self.snapshot_dir();
        fs::rename(from, to)?;
        File::open(&dir)?.sync_all()?;
        for (_, path) in snapshots_of(self.id(), &dir) {
            if path != to {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

pub(crate) fn snapshot_dir(store: &Path) -> PathBuf {
    store.join("snapshots")
}

/// Deletes what an interrupted snapshot or transfer left behind.
pub(crate) fn delete_temporaries(store: &Path) -> io::Result<()> {
    let dir = snapshot_dir(store);
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "snap") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Deletes the snapshots of a replica that is no more.
pub(crate) fn delete_snapshots(id: ReplicaId, store: &Path) {
    for (_, path) in snapshots_of(id, &snapshot_dir(store)) {
        // Left behind it takes room, but nobody asks for it again.
        let _ = fs::remove_file(path);
    }
}

fn file_name(id: ReplicaId, index: u64) -> String {
    format!("{}-{}-{index:020}.snap", id.group, id.generation)
}

/// The snapshots of one replica, the oldest first.
fn snapshots_of(id: ReplicaId, dir: &Path) -> Vec<(u64, PathBuf)> {
    let prefix = format!("{}-{}-", id.group, id.generation);
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let index = name.strip_prefix(&prefix)?.strip_suffix(".snap")?;
            Some((index.parse().ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found
}
