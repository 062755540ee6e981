//! Errors that a caller can do something about. All others are fatal (see `fatal.rs`).

use std::io;
use std::path::PathBuf;

use crate::damage::Damage;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path}: another process has this store open", path = path.display())]
    Locked { path: PathBuf },
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the environment has format version {found}, this build reads {expected}")]
    Version { found: u32, expected: u32 },
    #[error("LMDB: {0}")]
    Lmdb(String),
    #[error("{0}")]
    Damaged(Damage),
}

/// Why no snapshot was made.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("nothing of this replica has been flushed yet")]
    Empty,
    #[error("the store is closed")]
    Closed,
    #[error("the disk has no room for a snapshot: disk_reserve_bytes is kept free")]
    DiskFull,
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Why a snapshot was not installed. The replica's state is the one from before.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("not a snapshot of format version {expected}: {found}")]
    Version { found: String, expected: u32 },
    #[error("damaged snapshot at byte {offset}: {what}")]
    Damaged { offset: u64, what: &'static str },
    #[error("the snapshot ends at index {found}, the caller expects {expected}")]
    Mark { found: u64, expected: u64 },
    #[error("the snapshot is of group {found}, the replica of {expected}")]
    Group { found: u32, expected: u32 },
    #[error("the disk has no room for the snapshot's state")]
    DiskFull,
    #[error("the replica was removed or reinstalled meanwhile")]
    Superseded,
    #[error("the store is closed")]
    Closed,
}
