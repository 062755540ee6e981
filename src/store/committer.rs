//! The committer: the one OS thread that writes to LMDB.
//!
//! LMDB's write transaction belongs to the thread that began it, and there can be only one. So
//! flushes, installs, removals and the deletion of old incarnations are jobs of one thread, and
//! what two of them might do to each other is settled by their order. After each commit every
//! replica is given the new base, so that no reader keeps the old one longer than its own life.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use fail::fail_point;

use crate::cell::{Cell, lock};
use crate::id::ReplicaId;
use crate::job::{Job, Reply};
use crate::layout::{Pointer, Prefix};
use crate::lmdb::{Base, Batch, Lmdb, StorageError};
use crate::snapshot::delete_snapshots;
use crate::store::Shared;

/// Pages of the free list and of the way from the root to a leaf.
const COMMIT_OVERHEAD_BYTES: u64 = 1 << 20;

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lmdb: Lmdb,
    pub(crate) base: Arc<Base>,
    /// Incarnations to delete, without those that an install is filling.
    pub(crate) garbage: BTreeSet<Prefix>,
    jobs: Receiver<Job>,
}

impl Committer {
    /// Reads what the store holds: makes a cell for each replica, finds the garbage.
    pub(crate) fn new(
        shared: Arc<Shared>,
        lmdb: Lmdb,
        jobs: Receiver<Job>,
    ) -> Result<Committer, StorageError> {
        let base = Arc::new(lmdb.base(shared.limits.base_shards)?);
        for (id, pointer) in base.pointers()? {
            let cell = Arc::new(Cell::new(id, pointer, base.clone()));
            lock(&shared.cells).insert(id, cell);
        }
        let garbage = base.garbage()?.into_iter().collect();
        let committer = Committer { shared, lmdb, base, garbage, jobs };
        committer.measure()?;
        Ok(committer)
    }

    /// Works until told to stop.
    pub(crate) fn run(mut self) {
        let interval = Duration::from_millis(self.shared.limits.flush_interval_ms);
        let pause = Duration::from_millis(self.shared.limits.garbage_pause_ms);
        let mut next_flush = Instant::now() + interval;
        let mut next_sweep = Instant::now();
        loop {
            let next =
                if self.garbage.is_empty() { next_flush } else { next_flush.min(next_sweep) };
            match self.jobs.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(Job::Kick) => next_flush = Instant::now(),
                Ok(job) => self.perform(job),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if next_flush <= Instant::now() {
                self.flush();
                next_flush = Instant::now() + interval;
            }
            if next_sweep <= Instant::now() && !self.garbage.is_empty() {
                self.sweep();
                next_sweep = Instant::now() + pause;
            }
        }
    }

    /// One turn, for whoever has no thread for it.
    pub(crate) fn step(&mut self) {
        self.work_off();
        self.flush();
        self.sweep();
    }

    /// Does what was asked for so far.
    pub(crate) fn work_off(&mut self) {
        while let Ok(job) = self.jobs.try_recv() {
            match job {
                Job::Kick => self.flush(),
                Job::Stop => return,
                job => self.perform(job),
            }
        }
    }

    fn perform(&mut self, job: Job) {
        match job {
            Job::Flush(reply) => answer(reply, || self.flush_all()),
            Job::Create(id, reply) => answer(reply, || self.create(id)),
            Job::Remove(id, reply) => answer(reply, || self.remove(id)),
            Job::BeginInstall(id, reply) => answer(reply, || self.begin_install(id)),
            Job::Fill(installing, entries, reply) => {
                answer(reply, || self.fill(installing, entries))
            }
            Job::Flip(installing, mark, reply) => answer(reply, || self.flip(installing, mark)),
            Job::Abandon(installing, reply) => answer(reply, || self.abandon(installing)),
            Job::Kick | Job::Stop => unreachable!("the loop takes these itself"),
            #[cfg(test)]
            Job::Tamper(change, reply) => {
                self.transact("tamper", |batch| {
                    change(batch);
                    Ok(())
                });
                self.renew_base(&[]);
                answer(reply, || ());
            }
        }
    }

    fn create(&mut self, id: ReplicaId) {
        if lock(&self.shared.cells).contains_key(&id) {
            return;
        }
        let pointer = self.transact("create", |batch| {
            let pointer = Pointer { incarnation: batch.new_incarnation()?, mark: None };
            batch.set_pointer(id, Some(&pointer))?;
            Ok(pointer)
        });
        self.renew_base(&[]);
        let cell = Arc::new(Cell::new(id, pointer, self.base.clone()));
        lock(&self.shared.cells).insert(id, cell);
    }

    fn remove(&mut self, id: ReplicaId) {
        let Some(cell) = lock(&self.shared.cells).remove(&id) else { return };
        let doomed = cell.pair().prefix;
        self.transact("remove", |batch| {
            batch.set_pointer(id, None)?;
            batch.set_garbage(&doomed, true)
        });
        self.garbage.insert(doomed);
        self.renew_base(&[]);
        let old = cell.retire(self.base.clone());
        self.shared.room.resize(old.overlay_bytes(), 0);
        delete_snapshots(id, &self.shared.dir);
    }

    /// Deletes a part of one incarnation that nothing points to.
    fn sweep(&mut self) {
        let Some(prefix) = self.garbage.first().copied() else { return };
        let keys_max = self.shared.limits.garbage_batch_keys;
        let swept = self.transact_if_room("sweep", 0, |batch| {
            let more = batch.clear(&prefix, keys_max)?;
            if !more {
                batch.set_garbage(&prefix, false)?;
            }
            Ok(more)
        });
        let Some(more) = swept else { return };
        if !more {
            self.garbage.remove(&prefix);
        }
        self.renew_base(&[]);
    }

    /// Runs `work` in one durable transaction. `name` names its failpoints. Any error is fatal: a
    /// commit that failed may or may not be on disk.
    pub(crate) fn transact<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StorageError>,
    ) -> T {
        self.try_transact(name, work).unwrap_or_else(|error| self.stop(name, &error))
    }

    /// As `transact`, but a disk without room for about `bytes` is an answer: nothing happened, and
    /// it can be tried again.
    pub(crate) fn transact_if_room<T>(
        &self,
        name: &str,
        bytes: usize,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StorageError>,
    ) -> Option<T> {
        fail_point!("store::disk_free", |_| None);
        fail_point!("store::flush_room", name == "flush", |_| None);
        // Pages are copied whole, and those above them.
        let needed = 2 * bytes as u64 + COMMIT_OVERHEAD_BYTES;
        match self.try_transact(name, work) {
            Ok(done) => Some(done),
            Err(error) if error.is_full(self.shared.disk_free(), needed) => None,
            Err(error) => self.stop(name, &error),
        }
    }

    // The name is its failpoints', and those are nothing in most builds.
    #[allow(unused_variables)]
    fn try_transact<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Batch<'_>) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut batch = self.lmdb.batch()?;
        let done = work(&mut batch)?;
        fail_point!(&format!("store::{name}_commit"));
        #[cfg(any(test, feature = "faults"))]
        if self.shared.room.pretend_full.is_up() || self.shared.room.pretend_unwritable.is_up() {
            return Err(StorageError::disk_full());
        }
        batch.commit()?;
        fail_point!(&format!("store::{name}_committed"));
        Ok(done)
    }

    /// Gives every replica the latest commit to read from, and those in `flushed` one overlay
    /// less, each as one step.
    pub(crate) fn renew_base(&mut self, flushed: &[Arc<Cell>]) {
        let base = self.lmdb.base(self.shared.limits.base_shards);
        self.base = Arc::new(base.unwrap_or_else(|error| self.stop("read", &error)));
        for cell in self.shared.all_cells() {
            let is_flushed = flushed.iter().any(|flushed| Arc::ptr_eq(flushed, &cell));
            let old = cell.rebase(self.base.clone(), is_flushed);
            if let Some(frozen) = old.frozen.as_ref().filter(|_| is_flushed) {
                self.shared.room.resize(frozen.overlay.bytes(), 0);
            }
        }
        self.measure().unwrap_or_else(|error| self.stop("measure", &error));
    }

    /// Learns how much room there is, also while nothing is written: who is refused for want of
    /// room writes nothing.
    pub(crate) fn measure(&self) -> Result<(), StorageError> {
        self.shared.room.set_disk(self.base.live_bytes()?, self.shared.disk_free());
        Ok(())
    }

    pub(crate) fn stop(&self, doing: &str, error: &StorageError) -> ! {
        self.shared.fatal.stop(&format!("{doing}: {error}"))
    }
}

fn answer<T>(reply: Reply<T>, work: impl FnOnce() -> T) {
    // Who asked may have gone away; what was asked for is done all the same.
    let _ = reply.send(work());
}
