//! Everything that knows LMDB. No other file of this crate names a heed type.
//!
//! The environment has default durability: a commit returns after data and then the meta page
//! are synced. NOSYNC corrupts the file on power loss and WRITE_MAP lets a stray pointer do so;
//! neither is ever set.
//!
//! Reading goes through a [`Base`]: a few read transactions of the same moment, opened right
//! after a commit and shared by all readers until the next one. A reader therefore costs no LMDB
//! call to begin with, and no reader slot. A transaction at the *latest* commit keeps no page from
//! being reused that LMDB would reuse otherwise; only views that outlive a flush do, and only
//! while they live. LMDB's transactions must not be used by two threads at a time, hence the
//! mutexes, and hence the shards.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use heed::types::Bytes as Raw;
use heed::{CommitOrAbort, Database, Env, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use crate::damage::Damage;
use crate::error::OpenError;
use crate::id::{Incarnation, ReplicaId};
use crate::layout::{self, FORMAT_VERSION, KEY_BYTES_MAX, PREFIX_BYTES, Pointer, Prefix};
use crate::limits::Limits;
use crate::overlay::bounds;

type Db = Database<'static, Raw, Raw>;

const FORMAT_KEY: &[u8] = b"format";
const INCARNATION_KEY: &[u8] = b"incarnation";

/// A failure of LMDB or of its disk. Nothing can be done about it but to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("LMDB: {0}")]
    Lmdb(#[from] heed::Error),
    #[error("{0}")]
    Damaged(Damage),
}

impl StorageError {
    /// Whether this is a disk without room: the batch is aborted then, nothing of it is in the
    /// tree, and it can be tried again. LMDB calls a short write an I/O error; that is believed to
    /// be want of room only where less than what the batch needs is free. (An error at the very
    /// last write, of the meta page, makes LMDB refuse all later batches, and so ends the node.)
    pub(crate) fn is_full(&self, disk_free_bytes: u64, needed_bytes: u64) -> bool {
        let StorageError::Lmdb(heed::Error::Io(error)) = self else { return false };
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => true,
            _ => {
                let short = rustix::io::Errno::IO.raw_os_error();
                error.raw_os_error() == Some(short) && disk_free_bytes < needed_bytes
            }
        }
    }

    #[cfg(any(test, feature = "faults"))]
    pub(crate) fn disk_full() -> StorageError {
        StorageError::Lmdb(heed::Error::Io(io::ErrorKind::StorageFull.into()))
    }
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> OpenError {
        match error {
            StorageError::Lmdb(error) => OpenError::Lmdb(error.to_string()),
            StorageError::Damaged(damage) => OpenError::Damaged(damage),
        }
    }
}

/// The named databases (see `layout.rs`).
#[derive(Clone, Copy)]
struct Tables {
    state: Db,
    replicas: Db,
    garbage: Db,
    meta: Db,
}

pub(crate) struct Lmdb {
    env: Env<WithoutTls>,
    tables: Tables,
}

impl Lmdb {
    /// Opens the environment in `dir`, or makes one there.
    pub(crate) fn open(dir: &Path, limits: &Limits) -> Result<Lmdb, OpenError> {
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(limits.map_bytes).max_readers(limits.readers_max).max_dbs(4);
        // SAFETY: the caller holds the store's lock file, so that no other process maps these
        // files; nothing but LMDB writes to them; no flag is set that weakens LMDB's locking.
        let env = unsafe { options.open(dir) }.map_err(StorageError::from)?;
        let tables = open_tables(&env).map_err(StorageError::from)?;
        let lmdb = Lmdb { env, tables };
        lmdb.check_format()?;
        Ok(lmdb)
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let mut batch = self.batch()?;
        match batch.meta(FORMAT_KEY)? {
            Some(FORMAT_VERSION) => return Ok(()),
            Some(found) => {
                return Err(OpenError::Version { found, expected: FORMAT_VERSION });
            }
            None => batch.set_meta(FORMAT_KEY, FORMAT_VERSION)?,
        }
        Ok(batch.commit()?)
    }

    /// Begins the one write transaction. Only the committer's thread may: LMDB's write lock
    /// belongs to the thread that took it.
    pub(crate) fn batch(&self) -> Result<Batch<'_>, StorageError> {
        let txn = self.env.write_txn()?;
        Ok(Batch { txn, tables: self.tables, key: Vec::new(), value: Vec::new() })
    }

    /// Read transactions at the latest commit. All are at the same one only if no commit runs
    /// meanwhile: call it on the committer's thread, or before there is one.
    pub(crate) fn base(&self, shards: usize) -> Result<Base, StorageError> {
        let open = || self.env.clone().static_read_txn().map(Mutex::new);
        let shards = (0..shards.max(1)).map(|_| open()).collect::<Result<Box<[_]>, _>>()?;
        Ok(Base { shards, tables: self.tables })
    }
}

fn open_tables(env: &Env<WithoutTls>) -> heed::Result<Tables> {
    let txn = env.write_txn()?;
    let opened = env.create_databases_and_commit(txn, |opener, txn| {
        let mut open = |name| opener.create_database::<Raw, Raw>(txn, Some(name));
        let tables = (open("state")?, open("replicas")?, open("garbage")?, open("meta")?);
        heed::Result::Ok(CommitOrAbort::<_, ()>::Commit(tables))
    })?;
    let (state, replicas, garbage, meta) = opened.unwrap_commit();
    Ok(Tables { state, replicas, garbage, meta })
}

/// What one step of a scrub has read.
#[derive(Default)]
pub(crate) struct Scrubbed {
    pub(crate) records: u64,
    /// Of keys and sealed values, as they lie there.
    pub(crate) bytes: u64,
    pub(crate) damaged: Vec<Damage>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<Vec<u8>>,
}

/// A moment of the environment that any number of threads can read.
pub(crate) struct Base {
    shards: Box<[Mutex<RoTxn<'static, WithoutTls>>]>,
    tables: Tables,
}

impl Base {
    /// The value of `key` in the incarnation that `prefix` names.
    pub(crate) fn get(
        &self,
        shard: usize,
        prefix: &Prefix,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, StorageError> {
        if key.len() > KEY_BYTES_MAX {
            return Ok(None);
        }
        let mut buffer = [0; PREFIX_BYTES + KEY_BYTES_MAX];
        buffer[..PREFIX_BYTES].copy_from_slice(&prefix.0);
        buffer[PREFIX_BYTES..][..key.len()].copy_from_slice(key);
        let full = &buffer[..PREFIX_BYTES + key.len()];
        let txn = self.shard(shard);
        match self.tables.state.get(&txn, full)? {
            None => Ok(None),
            Some(sealed) => unseal("state", full, sealed).map(|value| Some(value.to_vec())),
        }
    }

    /// Appends up to `entries_max` entries with `from <= key < to` to `into`, in key order;
    /// stops early after `bytes_max`. Returns whether the range may hold more.
    pub(crate) fn chunk(
        &self,
        shard: usize,
        prefix: &Prefix,
        (from, to): (&[u8], Option<&[u8]>),
        (entries_max, bytes_max): (usize, usize),
        into: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<bool, StorageError> {
        let (mut first, mut last) = (Vec::new(), Vec::new());
        prefix.join(from, &mut first);
        match to {
            Some(to) => drop(prefix.join(to, &mut last).len()),
            None => last = prefix.end(),
        }
        let txn = self.shard(shard);
        let (mut entries, mut bytes) = (0, 0);
        let mut rows = self.tables.state.range(&txn, &bounds(&first, None))?;
        while let Some(item) = rows.next() {
            if entries == entries_max || bytes >= bytes_max {
                return Ok(true);
            }
            let (key, sealed) = item?;
            let is_past = |key: &[u8]| key >= last.as_slice();
            // Of the entry that ends the range too: were its key damaged, others might follow it.
            let value = match unseal("state", key, sealed) {
                Err(_) if is_past(key) && self.is_of_another(&txn, prefix, key)? => {
                    let next = rows.next().transpose()?;
                    match next.is_none_or(|(next, _)| is_past(next)) {
                        true => return Ok(false),
                        false => return Err(damaged("state", key)),
                    }
                }
                read => read?,
            };
            if is_past(key) {
                return Ok(false);
            }
            entries += 1;
            bytes += key.len() + value.len();
            into.push((key[PREFIX_BYTES..].to_vec(), value.to_vec()));
        }
        Ok(false)
    }

    /// Checks entries from `from` on, about `bytes_max` of them, at least one. Reads past damage.
    pub(crate) fn scrub(
        &self,
        shard: usize,
        prefix: &Prefix,
        from: &[u8],
        bytes_max: usize,
    ) -> Result<Scrubbed, StorageError> {
        let (mut first, last) = (Vec::new(), prefix.end());
        prefix.join(from, &mut first);
        let mut read = Scrubbed::default();
        let txn = self.shard(shard);
        let is_past = |key: &[u8]| key >= last.as_slice();
        // A damaged key may seem to lie before the range, or behind it.
        if let Some((key, sealed)) = self.tables.state.get_lower_than(&txn, &first)?
            && layout::unseal(key, sealed).is_none()
            && !self.is_of_another(&txn, prefix, key)?
        {
            read.damaged.push(Damage::of_value("state", key));
        }
        let mut rows = self.tables.state.range(&txn, &bounds(&first, None))?.peekable();
        while let Some(item) = rows.next() {
            let (key, sealed) = item?;
            let whole = layout::unseal(key, sealed).is_some();
            let mut is_last = || !matches!(rows.peek(), Some(Ok((next, _))) if !is_past(next));
            if is_past(key) && (whole || self.is_of_another(&txn, prefix, key)? && is_last()) {
                break;
            }
            if !whole {
                read.damaged.push(Damage::of_value("state", key));
            }
            read.records += 1;
            read.bytes += (key.len() + sealed.len()) as u64;
            // Only a whole key says where to go on.
            if whole && read.bytes >= bytes_max as u64 {
                read.next = Some([&key[PREFIX_BYTES..], &[0]].concat());
                break;
            }
        }
        Ok(read)
    }

    /// Whether a damaged row is the neighbour's, by a key that is of another incarnation which the
    /// store knows. Its own damage must not stop whoever reads up to it, which a replica that is
    /// made anew beside the damaged one does at once. A key of this range that rotted is not taken
    /// for one: no two incarnations have a number in common, so two parts of it would have to rot,
    /// and into those of one replica.
    fn is_of_another(
        &self,
        txn: &RoTxn<'_, WithoutTls>,
        prefix: &Prefix,
        key: &[u8],
    ) -> Result<bool, StorageError> {
        let Some((found, _)) = key.split_first_chunk::<PREFIX_BYTES>() else { return Ok(false) };
        if *found == prefix.0 {
            return Ok(false);
        }
        if self.tables.garbage.get(txn, found)?.is_some() {
            return Ok(true);
        }
        let (replica, incarnation) = found.split_at(PREFIX_BYTES - 4);
        let sealed = self.tables.replicas.get(txn, replica)?;
        let pointer = sealed.and_then(|sealed| decode_pointer(replica, sealed).ok());
        Ok(pointer.is_some_and(|pointer| pointer.incarnation.0.to_be_bytes() == *incarnation))
    }

    /// The record of one replica.
    pub(crate) fn pointer(&self, id: ReplicaId) -> Result<Option<Pointer>, StorageError> {
        let (txn, key) = (self.shard(0), layout::replica_key(id));
        let sealed = self.tables.replicas.get(&txn, &key)?;
        sealed.map(|sealed| decode_pointer(&key, sealed)).transpose()
    }

    /// Every replica that the store knows, with its live incarnation and mark.
    pub(crate) fn pointers(&self) -> Result<Vec<(ReplicaId, Pointer)>, StorageError> {
        let txn = self.shard(0);
        let mut all = Vec::new();
        for item in self.tables.replicas.iter(&txn)? {
            let (key, sealed) = item?;
            let pointer = decode_pointer(key, sealed)?;
            let damaged = || damaged("replicas", key);
            all.push((layout::replica_of(key).ok_or_else(damaged)?, pointer));
        }
        Ok(all)
    }

    /// The incarnations that are to be deleted.
    pub(crate) fn garbage(&self) -> Result<Vec<Prefix>, StorageError> {
        let txn = self.shard(0);
        let mut all = Vec::new();
        for item in self.tables.garbage.iter(&txn)? {
            let (key, sealed) = item?;
            unseal("garbage", key, sealed)?;
            all.push(Prefix(key.try_into().map_err(|_| damaged("garbage", key))?));
        }
        Ok(all)
    }

    /// Bytes of the pages that hold data: what the map cannot take again. Free pages do not
    /// count, since LMDB uses them first.
    pub(crate) fn live_bytes(&self) -> Result<u64, StorageError> {
        let txn = self.shard(0);
        let Tables { state, replicas, garbage, meta } = self.tables;
        let mut bytes = 0;
        for table in [state, replicas, garbage, meta] {
            let stat = table.stat(&txn)?;
            let pages = stat.branch_pages + stat.leaf_pages + stat.overflow_pages;
            bytes += pages as u64 * u64::from(stat.page_size);
        }
        Ok(bytes)
    }

    /// How many entries the store holds, over all incarnations, dead ones included.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> u64 {
        self.tables.state.len(&self.shard(0)).unwrap()
    }

    fn shard(&self, shard: usize) -> MutexGuard<'_, RoTxn<'static, WithoutTls>> {
        // A reader that panicked left the transaction as it was: reading changes nothing in it.
        self.shards[shard % self.shards.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The write transaction. Dropped without `commit`, nothing happened.
pub(crate) struct Batch<'e> {
    txn: RwTxn<'e>,
    tables: Tables,
    /// Buffers, so that a flush of many keys does not allocate for each.
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Batch<'_> {
    /// Writes one change into the incarnation that `prefix` names.
    pub(crate) fn write(
        &mut self,
        prefix: &Prefix,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Result<(), StorageError> {
        let full = prefix.join(key, &mut self.key);
        match value {
            Some(value) => {
                let sealed = layout::seal(full, value, &mut self.value);
                self.tables.state.put(&mut self.txn, full, sealed)?;
            }
            None => drop(self.tables.state.delete(&mut self.txn, full)?),
        }
        Ok(())
    }

    /// Deletes up to `keys_max` keys under `prefix`. Returns whether there may be more.
    pub(crate) fn clear(&mut self, prefix: &Prefix, keys_max: usize) -> Result<bool, StorageError> {
        let end = prefix.end();
        let mut doomed = Vec::new();
        for item in self.tables.state.range(&self.txn, &bounds(&prefix.0, Some(&end)))? {
            if doomed.len() == keys_max {
                break;
            }
            doomed.push(item?.0.to_vec());
        }
        for key in &doomed {
            self.tables.state.delete(&mut self.txn, key)?;
        }
        Ok(doomed.len() == keys_max)
    }

    pub(crate) fn pointer(&self, id: ReplicaId) -> Result<Option<Pointer>, StorageError> {
        let key = layout::replica_key(id);
        let sealed = self.tables.replicas.get(&self.txn, &key)?;
        sealed.map(|sealed| decode_pointer(&key, sealed)).transpose()
    }

    /// Sets the pointer of a replica, or forgets the replica.
    pub(crate) fn set_pointer(
        &mut self,
        id: ReplicaId,
        pointer: Option<&Pointer>,
    ) -> Result<(), StorageError> {
        let key = layout::replica_key(id);
        match pointer {
            Some(pointer) => {
                let sealed = layout::seal(&key, &pointer.encode(), &mut self.value);
                self.tables.replicas.put(&mut self.txn, &key, sealed)?;
            }
            None => drop(self.tables.replicas.delete(&mut self.txn, &key)?),
        }
        Ok(())
    }

    /// Says whether an incarnation is to be deleted.
    pub(crate) fn set_garbage(
        &mut self,
        prefix: &Prefix,
        doomed: bool,
    ) -> Result<(), StorageError> {
        if doomed {
            let sealed = layout::seal(&prefix.0, &[], &mut self.value);
            self.tables.garbage.put(&mut self.txn, &prefix.0, sealed)?;
        } else {
            self.tables.garbage.delete(&mut self.txn, &prefix.0)?;
        }
        Ok(())
    }

    /// Draws a number that no incarnation ever had.
    pub(crate) fn new_incarnation(&mut self) -> Result<Incarnation, StorageError> {
        let next = self.meta(INCARNATION_KEY)?.unwrap_or(1);
        let after = next.checked_add(1).expect("2^32 snapshot installs on one node");
        self.set_meta(INCARNATION_KEY, after)?;
        Ok(Incarnation(next))
    }

    fn meta(&self, key: &[u8]) -> Result<Option<u32>, StorageError> {
        let Some(sealed) = self.tables.meta.get(&self.txn, key)? else { return Ok(None) };
        let bytes = unseal("meta", key, sealed)?;
        let bytes = bytes.try_into().map_err(|_| damaged("meta", key))?;
        Ok(Some(u32::from_be_bytes(bytes)))
    }

    fn set_meta(&mut self, key: &[u8], value: u32) -> Result<(), StorageError> {
        let sealed = layout::seal(key, &value.to_be_bytes(), &mut self.value);
        Ok(self.tables.meta.put(&mut self.txn, key, sealed)?)
    }

    /// Puts raw bytes where a sealed value belongs.
    #[cfg(test)]
    pub(crate) fn spoil(&mut self, prefix: &Prefix, key: &[u8], change: impl FnOnce(&mut [u8])) {
        let full = prefix.join(key, &mut self.key);
        let mut sealed = self.tables.state.get(&self.txn, full).unwrap().unwrap().to_vec();
        change(&mut sealed);
        self.tables.state.put(&mut self.txn, full, &sealed).unwrap();
    }

    #[cfg(test)]
    pub(crate) fn set_format(&mut self, version: u32) {
        self.set_meta(FORMAT_KEY, version).unwrap();
    }

    /// Durable on return. On an error nothing of the batch is there, or LMDB does not know: the
    /// node must stop, unless the disk was full.
    pub(crate) fn commit(self) -> Result<(), StorageError> {
        Ok(self.txn.commit()?)
    }
}

fn unseal<'v>(
    database: &'static str,
    key: &[u8],
    sealed: &'v [u8],
) -> Result<&'v [u8], StorageError> {
    layout::unseal(key, sealed).ok_or_else(|| damaged(database, key))
}

fn decode_pointer(key: &[u8], sealed: &[u8]) -> Result<Pointer, StorageError> {
    let pointer = Pointer::decode(unseal("replicas", key, sealed)?);
    pointer.ok_or_else(|| damaged("replicas", key))
}

fn damaged(database: &'static str, key: &[u8]) -> StorageError {
    StorageError::Damaged(Damage::of_value(database, key))
}

#[cfg(test)]
#[path = "lmdb_test.rs"]
mod tests;
