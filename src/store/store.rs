//! The store of one node: opens the environment, hands out replicas, ends the committer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use rustix::fs::FlockOperation;
use vatic_sync::Level;

use crate::cell::{Cell, lock};
use crate::committer::Committer;
use crate::error::OpenError;
use crate::fatal::{Fatal, FatalAction};
use crate::id::ReplicaId;
use crate::job::{Flushed, Job, Reply};
use crate::limits::{LOCK_WAIT_MS, Limits};
use crate::lmdb::Lmdb;
use crate::metrics::Metrics;
use crate::replica::Replica;
use crate::room::{Room, Usage};
use crate::snapshot::delete_temporaries;

/// The state of all replicas of one node. Clones are the same store; when the last is dropped
/// the committer ends *without* a flush, as in a crash: call [`Store::flush_now`] before.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    /// Joins the committer when the last clone is dropped.
    _worker: Arc<Worker>,
}

/// What the handles and the committer share.
pub(crate) struct Shared {
    pub(crate) dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) fatal: Fatal,
    pub(crate) room: Room,
    pub(crate) metrics: Metrics,
    pub(crate) cells: Mutex<BTreeMap<ReplicaId, Arc<Cell>>>,
    jobs: mpsc::Sender<Job>,
    /// Where there is no thread for it: whoever asks has it work.
    stepped: Mutex<Option<Committer>>,
    /// Whose turn it is to be read from.
    shard: Level,
    /// Held for as long as anything of the store lives.
    _lock_file: File,
}

/// The store is closed, or its committer has stopped the node.
#[derive(Debug)]
pub(crate) struct Closed;

impl Store {
    /// Opens the store in `path`, creating it if there is none. A failure later on logs and
    /// aborts the process.
    pub fn open(path: impl AsRef<Path>, limits: Limits) -> Result<Store, OpenError> {
        Store::open_threaded(path.as_ref(), limits, Fatal::abort())
    }

    /// As `open`, with another action on failures.
    pub fn open_with(
        path: impl AsRef<Path>,
        limits: Limits,
        on_fatal: FatalAction,
    ) -> Result<Store, OpenError> {
        Store::open_threaded(path.as_ref(), limits, Fatal::new(on_fatal))
    }

    /// As `open_with`, without a thread: the committer works on the caller's, when it is asked for
    /// something and in [`Store::step`]. For deterministic simulation.
    pub fn open_stepped(
        path: impl AsRef<Path>,
        limits: Limits,
        on_fatal: FatalAction,
    ) -> Result<Store, OpenError> {
        let committer = Store::recover(path.as_ref(), limits, Fatal::new(on_fatal))?;
        let shared = committer.shared.clone();
        *lock(&shared.stepped) = Some(committer);
        Ok(Store::of(shared, None))
    }

    /// One turn of a store that was opened stepped: what was asked for, a flush, and a part of the
    /// garbage. Without effect on one that has a thread.
    pub fn step(&self) {
        if let Some(committer) = lock(&self.shared.stepped).as_mut() {
            committer.step();
        }
    }

    fn open_threaded(dir: &Path, limits: Limits, fatal: Fatal) -> Result<Store, OpenError> {
        let committer = Store::recover(dir, limits, fatal)?;
        let shared = committer.shared.clone();
        let thread = std::thread::Builder::new().name("vatic-committer".into());
        let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
        let thread = thread.spawn(|| committer.run()).map_err(io_error)?;
        Ok(Store::of(shared, Some(thread)))
    }

    fn of(shared: Arc<Shared>, thread: Option<JoinHandle<()>>) -> Store {
        let worker = Worker { shared: shared.clone(), thread };
        Store { shared, _worker: Arc::new(worker) }
    }

    fn recover(dir: &Path, limits: Limits, fatal: Fatal) -> Result<Committer, OpenError> {
        let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(io_error)?;
        let lock_file = lock_dir(dir)?;
        delete_temporaries(dir).map_err(io_error)?;
        let lmdb = Lmdb::open(dir, &limits)?;
        // LMDB syncs its file's contents, not the directory that names it.
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error)?;
        let (jobs, inbox) = mpsc::channel();
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            limits,
            fatal,
            room: Room::default(),
            metrics: Metrics::new(),
            cells: Mutex::default(),
            jobs,
            stepped: Mutex::default(),
            shard: Level::default(),
            _lock_file: lock_file,
        });
        Ok(Committer::new(shared, lmdb, inbox)?)
    }

    /// The replica, created empty if there is none of this id. Creating one takes a commit.
    pub fn replica(&self, id: ReplicaId) -> Replica {
        if !lock(&self.shared.cells).contains_key(&id) {
            let created = self.shared.ask(|reply| Job::Create(id, reply));
            created.expect("the store is open, and its committer runs");
        }
        let cell = lock(&self.shared.cells).get(&id).cloned();
        let cell = cell.expect("a replica is not removed while it is being opened");
        Replica { cell, shared: self.shared.clone() }
    }

    /// The replicas that the store holds, in order.
    pub fn replicas(&self) -> Vec<ReplicaId> {
        lock(&self.shared.cells).keys().copied().collect()
    }

    /// Forgets a replica, durably; its state is deleted little by little. Its writer, if there
    /// is one, publishes into nothing from now on; views taken before stay whole.
    pub fn remove_replica(&self, id: ReplicaId) {
        let removed = self.shared.ask(|reply| Job::Remove(id, reply));
        removed.expect("the store is open, and its committer runs");
    }

    /// Flushes everything published before the call, as far as the fences let it.
    pub fn flush_now(&self) -> Flushed {
        let flushed = self.shared.ask(Job::Flush);
        flushed.expect("the store is open, and its committer runs")
    }

    /// Whether new work should be admitted. To be asked before proposing: what is in the log
    /// already must fit, or the node stops.
    pub fn has_room(&self) -> bool {
        self.shortage().is_none()
    }

    /// What new work finds too little of: the limit's name and value.
    pub fn shortage(&self) -> Option<(&'static str, u64)> {
        let (usage, limits) = (self.usage(), &self.shared.limits);
        if usage.overlay_bytes >= usage.overlay_max_bytes {
            return Some(("overlay_max_bytes", usage.overlay_max_bytes as u64));
        }
        if usage.map_used_bytes + limits.map_reserve_bytes as u64 > usage.map_bytes {
            return Some(("map_bytes", usage.map_bytes));
        }
        let full = usage.disk_full || usage.disk_free_bytes < limits.disk_reserve_bytes;
        full.then_some(("disk_reserve_bytes", limits.disk_reserve_bytes))
    }

    /// What the store counts. What it takes is in [`Store::usage`].
    pub fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        self.shared.metrics.collectors()
    }

    pub fn usage(&self) -> Usage {
        self.shared.room.usage(&self.shared.limits)
    }

    /// From now on the disk is full, or has room again.
    #[cfg(any(test, feature = "faults"))]
    pub fn pretend_full(&self, full: bool) {
        self.shared.room.pretend_full.set(full);
    }

    /// From now on nothing can be written though the disk says that it has room, or it can again.
    #[cfg(any(test, feature = "faults"))]
    pub fn pretend_unwritable(&self, unwritable: bool) {
        self.shared.room.pretend_unwritable.set(unwritable);
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Shared {
    pub(crate) fn send(&self, job: Job) {
        // With the committer gone the node is stopping, or the store is closed: nothing to kick.
        let _ = self.jobs.send(job);
    }

    /// Sends a job and waits for its answer.
    pub(crate) fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, Closed> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.jobs.send(job(reply)).map_err(|_| Closed)?;
        if let Some(committer) = lock(&self.stepped).as_mut() {
            committer.work_off();
        }
        answer.recv().map_err(|_| Closed)
    }

    /// Bytes that are free on the disk just now.
    pub(crate) fn disk_free(&self) -> u64 {
        fail_point!("store::disk_free", |_| 0);
        // Unknown is not full: a disk that cannot be asked must not refuse all work.
        let disk = rustix::fs::statvfs(&self.dir);
        disk.map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Whether more is free than what is kept for those who cannot wait. A flush that found no room
    /// is believed rather than a disk that says it has some: it may be kept for others.
    pub(crate) fn disk_has_room(&self) -> bool {
        self.disk_has(self.limits.disk_reserve_bytes)
    }

    /// Whether an eighth of that is free on top.
    pub(crate) fn disk_has_ample_room(&self) -> bool {
        let reserve = self.limits.disk_reserve_bytes;
        self.disk_has(reserve.saturating_add(reserve / 8))
    }

    fn disk_has(&self, bytes: u64) -> bool {
        #[cfg(any(test, feature = "faults"))]
        if self.room.pretend_full.is_up() {
            return false;
        }
        !self.room.is_disk_full() && self.disk_free() >= bytes
    }

    pub(crate) fn all_cells(&self) -> Vec<Arc<Cell>> {
        lock(&self.cells).values().cloned().collect()
    }

    /// Spreads readers over the shards of a base.
    pub(crate) fn next_shard(&self) -> usize {
        self.shard.step() as usize
    }
}

struct Worker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.shared.send(Job::Stop);
        // A stepped one holds what it is held by.
        drop(lock(&self.shared.stepped).take());
        // A panic of the committer has been told by its fatal action already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Two nodes on one directory would each flush over the other.
fn lock_dir(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("store.lock");
    let io_error = |source: io::Error| OpenError::Io { path: path.clone(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(io_error)?;
    // Who starts a process shares its files with it until that runs its own program.
    let end = Instant::now() + Duration::from_millis(LOCK_WAIT_MS);
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::Locked { path }),
            Err(error) => return Err(io_error(error.into())),
        }
    }
}
