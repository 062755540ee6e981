//! Installing a snapshot: a new incarnation beside the old one, then one flip.
//!
//! 1. The file is read to its end and checked. Nothing has changed.
//! 2. A new incarnation is drawn and entered as garbage, in one commit: from here on a crash
//!    leaves the old state, and the half-filled incarnation is swept at the next open.
//! 3. Entries are written under its prefix in small transactions; flushes go on in between.
//! 4. One commit flips the pointer with the mark, takes the new incarnation off the garbage list
//!    and puts the old one on. A crash before it leaves the old state, after it the new one.
//! 5. The old incarnation is swept in small transactions.
//!
//! The first three steps can fail (a rotten file, a full disk) and may take long; they are apart,
//! as `prepare`, for a caller that cannot go back once it has begun to install.
//!
//! An overlay of the old incarnation cannot be flushed over the new state: the flip drops it,
//! and a flush compares incarnations in its own transaction.

use std::fmt;
use std::path::Path;
use std::sync::mpsc;

use crate::cell::{Cell, lock};
use crate::committer::Committer;
use crate::error::InstallError;
use crate::id::{Mark, ReplicaId};
use crate::job::{Entries, Installing, Job};
use crate::layout::{KEY_BYTES_MAX, Pointer, Prefix};
use crate::replica::Replica;
use crate::snapshot_file::{Chunk, SnapshotReader};
use crate::store::Closed;

impl From<Closed> for InstallError {
    fn from(_: Closed) -> InstallError {
        InstallError::Closed
    }
}

impl Replica {
    /// Replaces the replica's state by a snapshot's. `mark` is what the caller knows of it; its
    /// index must be the file's, its meta is stored in place of the file's. The new state is
    /// durable and published on return; on an error the old one stands, untouched.
    ///
    /// Blocks for as long as the snapshot takes to read twice and write once. The writer must
    /// hold no unpublished writes, and views taken before stay at the old state.
    pub fn install(&self, file: &Path, mark: Mark) -> Result<(), InstallError> {
        self.prepare(file, mark.index)?.install(mark)
    }

    /// Checks a snapshot of the state at `index`, and writes that beside the live one. All that can
    /// go wrong with an install goes wrong here, with nothing changed.
    ///
    /// Blocks for as long as the snapshot takes to read twice and write once.
    pub fn prepare(&self, file: &Path, index: u64) -> Result<Prepared, InstallError> {
        let reader = SnapshotReader::open(file)?;
        if reader.mark.index != index {
            let (found, expected) = (reader.mark.index, index);
            return Err(InstallError::Mark { found, expected });
        }
        if reader.group != self.id().group {
            let (found, expected) = (reader.group, self.id().group);
            return Err(InstallError::Group { found, expected });
        }
        reader.verify()?;
        let installing = self.shared.ask(|reply| Job::BeginInstall(self.id(), reply))??;
        let prepared = Prepared { replica: self.clone(), installing, index, flipped: false };
        self.fill(file, installing)?;
        Ok(prepared)
    }

    /// Writes the file's entries into the new incarnation.
    fn fill(&self, file: &Path, installing: Installing) -> Result<(), InstallError> {
        let mut reader = SnapshotReader::open(file)?;
        let (mut batch, mut bytes) = (Entries::new(), 0);
        while let Chunk::Entries(entries) = reader.next_chunk()? {
            for (key, value) in entries {
                if key.len() > KEY_BYTES_MAX {
                    return Err(InstallError::Damaged { offset: 0, what: "key length" });
                }
                bytes += key.len() + value.len();
                batch.push((key, value));
                if bytes >= self.shared.limits.install_batch_bytes {
                    self.send_batch(installing, std::mem::take(&mut batch))?;
                    bytes = 0;
                }
            }
        }
        self.send_batch(installing, batch)
    }

    fn send_batch(&self, installing: Installing, batch: Entries) -> Result<(), InstallError> {
        if batch.is_empty() {
            return Ok(());
        }
        let had_room = self.shared.ask(|reply| Job::Fill(installing, batch, reply))?;
        if had_room { Ok(()) } else { Err(InstallError::DiskFull) }
    }
}

/// A snapshot's whole state, in an incarnation that nothing points to yet. Dropped, it is deleted.
pub struct Prepared {
    replica: Replica,
    installing: Installing,
    index: u64,
    flipped: bool,
}

impl Prepared {
    /// Makes it the replica's state, with this mark, whose index must be the snapshot's. Durable
    /// and published on return. The error says that another install, or a removal, came first.
    pub fn install(mut self, mark: Mark) -> Result<(), InstallError> {
        assert_eq!(mark.index, self.index, "it was prepared as the state at another index");
        let installing = self.installing;
        self.flipped = true;
        let flipped = self.replica.shared.ask(|reply| Job::Flip(installing, mark, reply))?;
        if flipped { Ok(()) } else { Err(InstallError::Superseded) }
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.flipped {
            // Nobody waits for it: a reply that is not read is lost.
            let (reply, _) = mpsc::sync_channel(1);
            self.replica.shared.send(Job::Abandon(self.installing, reply));
        }
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({:?} at {})", self.replica.id(), self.index)
    }
}

impl Committer {
    pub(crate) fn begin_install(&mut self, id: ReplicaId) -> Result<Installing, InstallError> {
        let cell = lock(&self.shared.cells).get(&id).cloned();
        let replaces = cell.ok_or(InstallError::Superseded)?.pair().incarnation;
        if !self.shared.disk_has_room() {
            return Err(InstallError::DiskFull);
        }
        let drawn = self.transact_if_room("begin", 0, |batch| {
            let incarnation = batch.new_incarnation()?;
            batch.set_garbage(&Prefix::new(id, incarnation), true)?;
            Ok(incarnation)
        });
        let incarnation = drawn.ok_or(InstallError::DiskFull)?;
        self.renew_base(&[]);
        // Not in `self.garbage`: nothing sweeps it while it is being filled.
        Ok(Installing { id, replaces, incarnation })
    }

    /// Whether the disk had room, and has what the flip and all others live on.
    pub(crate) fn fill(&mut self, installing: Installing, entries: Entries) -> bool {
        if !self.shared.disk_has_room() {
            return false;
        }
        let prefix = Prefix::new(installing.id, installing.incarnation);
        let bytes = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
        let filled = self.transact_if_room("fill", bytes, |batch| {
            let mut entries = entries.iter();
            entries.try_for_each(|(key, value)| batch.write(&prefix, key, Some(value)))
        });
        self.renew_base(&[]);
        filled.is_some()
    }

    pub(crate) fn flip(&mut self, installing: Installing, mark: Mark) -> bool {
        let Installing { id, replaces, incarnation } = installing;
        let cell = lock(&self.shared.cells).get(&id).cloned();
        let Some(cell) = cell.filter(|cell| cell.pair().incarnation == replaces) else {
            self.abandon(installing);
            return false;
        };
        let (old, new) = (Prefix::new(id, replaces), Prefix::new(id, incarnation));
        let pointer = Pointer { incarnation, mark: Some(mark) };
        self.transact("flip", |batch| {
            batch.set_pointer(id, Some(&pointer))?;
            batch.set_garbage(&new, false)?;
            batch.set_garbage(&old, true)
        });
        self.garbage.insert(old);
        self.publish_install(&cell, pointer);
        true
    }

    fn publish_install(&mut self, cell: &Cell, pointer: Pointer) {
        self.renew_base(&[]);
        let old = cell.reinstall(pointer, self.base.clone());
        self.shared.room.resize(old.overlay_bytes(), 0);
    }

    pub(crate) fn abandon(&mut self, installing: Installing) {
        self.garbage.insert(Prefix::new(installing.id, installing.incarnation));
    }
}
