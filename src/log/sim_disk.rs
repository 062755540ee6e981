//! A disk in memory that loses power: unsynced writes are kept, dropped, torn and reordered, sector
//! by sector, from a seed.
//!
//! Every change of the disk is one numbered operation, so that a test can cut the power at each of
//! them. `create` is atomic and durable, as the trait demands of a real disk; a removed file may
//! come back until the next `create`; writes are durable after a sync. A sector that two unsynced
//! writes touch may end with either.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile};
use crate::random::Random;
use crate::segment::SEGMENT_HEADER_BYTES;

/// Bytes that persist together; smaller than on real disks, to tear more.
const SECTOR_BYTES: usize = 64;

/// The salt of disks whose salts are known.
pub(crate) const KNOWN_SALT: [u8; 16] = [7; 16];

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct State {
    files: BTreeMap<u64, SimFile>,
    /// Removed, but the folder is not synced.
    removed: BTreeMap<u64, SimFile>,
    operations: u64,
    syncs: u64,
    power_cut_at: Option<u64>,
    capacity_bytes: Option<u64>,
    sync_is_stubbed: bool,
    sync_fails: bool,
    writes_are_refused: bool,
    /// Handles of an earlier incarnation are dead.
    incarnation: u64,
    salts_drawn: u64,
    salts_are_known: bool,
    last_crash: u64,
    /// The last batch that was synced, and those written since: slots, and where in them each
    /// begins.
    last_batches: Vec<(u64, usize)>,
}

#[derive(Clone, Default)]
struct SimFile {
    durable: Vec<u8>,
    /// What reads see: durable and unsynced.
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
}

struct Handle {
    state: Arc<Mutex<State>>,
    slot: u64,
    incarnation: u64,
}

impl SimDisk {
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    /// Changes made so far: writes, syncs, creations, removals.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Syncs that were answered, each of which ended a batch.
    pub(crate) fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Cuts the power at the operation of this number: it and all after it fail. A write that is
    /// cut may still persist in part.
    pub fn cut_power_at(&self, operation: u64) {
        self.lock().power_cut_at = Some(operation);
    }

    /// Power is back: what was not synced is decided by the seed, and old handles are dead.
    pub fn crash(&self, seed: u64) {
        let mut state = self.lock();
        state.power_cut_at = None;
        state.incarnation += 1;
        state.last_crash = seed;
        let mut random = Random::new(seed);
        for (slot, file) in std::mem::take(&mut state.removed) {
            if random.below(2) == 0 {
                state.files.entry(slot).or_insert(file);
            }
        }
        for file in state.files.values_mut() {
            file.lose_power(&mut random);
        }
    }

    /// Another disk with the same contents.
    pub fn fork(&self) -> SimDisk {
        SimDisk { state: Arc::new(Mutex::new(self.lock().clone())) }
    }

    /// The process dies, the machine does not: unsynced writes stay readable and unsynced.
    pub fn kill_process(&self) {
        let mut state = self.lock();
        state.power_cut_at = None;
        state.incarnation += 1;
    }

    /// `create` answers that the disk is full where the files would take more than this.
    pub fn limit_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity_bytes = bytes;
    }

    /// A disk that lies: `sync` answers and does nothing. For tests that must fail.
    pub fn stub_sync(&self, stubbed: bool) {
        self.lock().sync_is_stubbed = stubbed;
    }

    /// A disk whose salts can be guessed. For tests that must fail.
    #[cfg(test)]
    pub(crate) fn use_known_salts(&self) {
        self.lock().salts_are_known = true;
    }

    pub fn fail_sync(&self, fails: bool) {
        self.lock().sync_fails = fails;
    }

    /// Writes, too, answer that the disk is full: a file system that copies on write.
    pub fn refuse_writes(&self, refused: bool) {
        self.lock().writes_are_refused = refused;
    }

    /// Flips a bit of what is durable.
    pub fn damage(&self, slot: u64, offset: usize) {
        if let Some(file) = self.lock().files.get_mut(&slot) {
            file.durable[offset] ^= 0x10;
            file.current[offset] ^= 0x10;
        }
    }

    /// Whether a byte was written by the last batch that was synced, or later. Whatever lies before
    /// that batch is proven by it, and never to be lost in silence.
    pub fn is_of_last_batch(&self, slot: u64, offset: usize) -> bool {
        self.lock().last_batches.iter().any(|(last, start)| slot == *last && offset >= *start)
    }

    /// The power went before anything was written from here on to the end of the frames.
    pub fn erase_from(&self, slot: u64, offset: usize) {
        if let Some(file) = self.lock().files.get_mut(&slot) {
            let end = file.durable.len() - SEGMENT_HEADER_BYTES;
            file.unsynced.clear();
            for bytes in [&mut file.durable, &mut file.current] {
                bytes[offset.min(end)..end].fill(0);
            }
        }
    }

    /// What a read of the whole slot gives.
    pub fn contents(&self, slot: u64) -> Option<Vec<u8>> {
        self.lock().files.get(&slot).map(|file| file.current.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Disk for SimDisk {
    fn slots(&self) -> io::Result<Vec<u64>> {
        Ok(self.lock().files.keys().copied().collect())
    }

    fn open(&self, slot: u64) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.lock();
        if !state.files.contains_key(&slot) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let incarnation = state.incarnation;
        Ok(Arc::new(Handle { state: self.state.clone(), slot, incarnation }))
    }

    fn create(&self, slot: u64, bytes: u32) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.lock();
        state.operate()?;
        let used: usize = state.files.values().map(|file| file.durable.len()).sum();
        if state.capacity_bytes.is_some_and(|max| used as u64 + u64::from(bytes) > max) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; bytes as usize];
        let file = SimFile { durable: zeros.clone(), current: zeros, unsynced: Vec::new() };
        state.files.insert(slot, file);
        state.removed.clear();
        let incarnation = state.incarnation;
        Ok(Arc::new(Handle { state: self.state.clone(), slot, incarnation }))
    }

    fn remove(&self, slot: u64) -> io::Result<()> {
        let mut state = self.lock();
        state.operate()?;
        let file = state.files.remove(&slot).ok_or(io::ErrorKind::NotFound)?;
        state.removed.insert(slot, file);
        Ok(())
    }

    /// Chance from the seed of the last crash.
    fn salt(&self) -> io::Result<[u8; 16]> {
        let mut state = self.lock();
        if state.salts_are_known {
            return Ok(KNOWN_SALT);
        }
        state.salts_drawn += 1;
        let mut random = Random::new(state.last_crash ^ state.salts_drawn << 32);
        let salt = u128::from(random.next()) << 64 | u128::from(random.next());
        Ok(salt.to_le_bytes())
    }

    fn name(&self, slot: u64) -> String {
        format!("slot {slot}")
    }
}

impl DiskFile for Handle {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        let file = self.file(&mut state)?;
        let from = offset as usize;
        let bytes = file.current.get(from..from + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, offset: u64, from: &[u8]) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.writes_are_refused {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let power = state.operate();
        let cut_now = state.power_cut_at == Some(state.operations);
        let file = self.file(&mut state)?;
        if power.is_ok() || cut_now {
            let at = offset as usize;
            assert!(at + from.len() <= file.current.len(), "a write never grows a segment");
            file.current[at..at + from.len()].copy_from_slice(from);
            file.unsynced.push((at, from.to_vec()));
            if !file.is_header(at, from) {
                state.last_batches.push((self.slot, at));
            }
        }
        power
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = lock(&self.state);
        state.operate()?;
        if state.sync_fails {
            return Err(io::Error::other("sync failed"));
        }
        state.syncs += 1;
        if !state.sync_is_stubbed {
            let file = self.file(&mut state)?;
            let ends_batch = file.unsynced.iter().any(|(at, bytes)| !file.is_header(*at, bytes));
            for (at, bytes) in file.unsynced.drain(..) {
                file.durable[at..at + bytes.len()].copy_from_slice(&bytes);
            }
            if ends_batch {
                let batches = &mut state.last_batches;
                let synced = batches.iter().rposition(|(slot, _)| *slot == self.slot);
                batches.drain(..synced.unwrap_or(0));
            }
        }
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        let mut state = lock(&self.state);
        Ok(self.file(&mut state)?.current.len() as u64)
    }
}

impl Handle {
    fn file<'a>(&self, state: &'a mut State) -> io::Result<&'a mut SimFile> {
        if state.incarnation != self.incarnation {
            return Err(io::Error::other("the handle is older than the crash"));
        }
        state.files.get_mut(&self.slot).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.power_cut_at {
            Some(cut) if self.operations >= cut => Err(io::Error::other("the power is cut")),
            _ => Ok(()),
        }
    }
}

impl SimFile {
    /// Whether a write is of a header alone, at either end: it is not a batch, or not all of it.
    fn is_header(&self, at: usize, bytes: &[u8]) -> bool {
        let ends = [0, self.current.len() - SEGMENT_HEADER_BYTES];
        bytes.len() == SEGMENT_HEADER_BYTES && ends.contains(&at)
    }

    fn lose_power(&mut self, random: &mut Random) {
        // Of eight: all kept, all dropped, else decided by sector.
        let mood = random.below(8);
        for (offset, bytes) in std::mem::take(&mut self.unsynced) {
            let mut at = 0;
            while at < bytes.len() {
                let sector_end = (offset + at + 1).next_multiple_of(SECTOR_BYTES) - offset;
                let end = sector_end.min(bytes.len());
                let kept = match (mood, random.below(4)) {
                    (0, _) => end,
                    (1, _) | (_, 0) => at,
                    (_, 1) => at + random.below((end - at) as u64 + 1) as usize,
                    _ => end,
                };
                self.durable[offset + at..offset + kept].copy_from_slice(&bytes[at..kept]);
                at = end;
            }
        }
        self.current.clone_from(&self.durable);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("a thread panicked while it held the simulated disk")
}
