//! The little that the log asks of a disk, so that a simulation can tear it.
//!
//! A disk holds segment files named by slot number, all of one length. A slot is reused for many
//! epochs; its length never changes after `create`, so that `sync` need not write file metadata.

use std::io;
use std::sync::Arc;

/// A folder of segment files.
pub trait Disk: Send + Sync + 'static {
    /// Every slot that exists, in any order.
    fn slots(&self) -> io::Result<Vec<u64>>;
    fn open(&self, slot: u64) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes a slot of `bytes` zeros that are written, not merely reserved. All or nothing, and
    /// durable on return. `StorageFull` (or `QuotaExceeded`) is an answer the log lives with.
    fn create(&self, slot: u64, bytes: u32) -> io::Result<Arc<dyn DiskFile>>;
    fn remove(&self, slot: u64) -> io::Result<()>;
    /// Bytes that nobody can guess, other ones each time: they key the frames of one use of a slot.
    fn salt(&self) -> io::Result<[u8; 16]>;
    /// How a slot is called in messages.
    fn name(&self, slot: u64) -> String;
}

/// One segment file. Reads may run beside the one writer.
pub trait DiskFile: Send + Sync {
    /// Fills `into` or fails.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Writes all of `from` or fails; durable only after `sync`.
    fn write_at(&self, offset: u64, from: &[u8]) -> io::Result<()>;
    /// `fdatasync`: what was written before is durable on return. After an error nothing is known.
    fn sync(&self) -> io::Result<()>;
    fn bytes(&self) -> io::Result<u64>;
}

/// No space: the one disk error that does not end the process.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
