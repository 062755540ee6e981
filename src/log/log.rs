//! The log of a node: opening it, the thread that writes it, closing it.
//!
//! The thread only calls `Writer::step` and sleeps when there is nothing to do; everything that can
//! go wrong is in the writer, which a simulation drives with the same calls.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vatic_sync::Turn;

use crate::disk::Disk;
use crate::error::{DiskFull, OpenError};
use crate::limits::Limits;
use crate::memory::{Memory, Shared};
use crate::record::ReplicaId;
use crate::recover::recover;
use crate::replica::ReplicaLog;
use crate::spare::Spares;
use crate::writer::{Step, Writer};

/// What happens when the disk fails. It is not meant to return; where it does (in tests), the log
/// takes no more writes.
pub type Fatal = Arc<dyn Fn(&io::Error) + Send + Sync>;

/// The write-ahead log of a node. Dropping it writes what is queued, and that it was closed, and
/// ends the thread; handles that outlive it are refused.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    /// Recovers the log and starts its writer thread. A disk error later ends the process.
    pub fn open(disk: Arc<dyn Disk>, limits: Limits) -> Result<Log, OpenError> {
        Log::open_with(disk, limits, Arc::new(abort_process))
    }

    /// As `open`, with another fatal action.
    pub fn open_with(disk: Arc<dyn Disk>, limits: Limits, fatal: Fatal) -> Result<Log, OpenError> {
        let (mut log, mut writer) = Log::open_stepped(disk, limits, fatal)?;
        writer.use_background_spares();
        let run = move || run(writer);
        let thread = std::thread::Builder::new().name("vatic-log".into()).spawn(run);
        log.thread = Some(thread.map_err(OpenError::Disk)?);
        Ok(log)
    }

    /// Recovers the log, and leaves it to the caller to call `Writer::step`: for deterministic
    /// simulation. `step` until it is idle before dropping it, or lose what is queued.
    pub fn open_stepped(
        disk: Arc<dyn Disk>,
        limits: Limits,
        fatal: Fatal,
    ) -> Result<(Log, Writer), OpenError> {
        if let Some(objection) = limits.objection() {
            return Err(OpenError::Limits(objection));
        }
        let recovered = recover(&disk, &limits)?;
        let mut memory = Memory::new(recovered.index, recovered.segments.clone(), &limits);
        memory.closed = recovered.closed;
        let spares = Spares::new(disk, recovered.spares, recovered.slot_number_next, &limits);
        let left_bytes = limits.frames_end() - recovered.end.unwrap_or(0);
        let shared = Arc::new(Shared::new(memory, limits));
        shared.set_left_bytes(left_bytes);
        let writer = Writer::new(
            shared.clone(),
            spares,
            recovered.segments,
            recovered.end,
            recovered.batch_next,
            fatal,
        );
        Ok((Log { shared, thread: None }, writer))
    }

    /// Has `hook` called when something is queued, on the thread that queues it: for whoever steps
    /// the writer. It must only take note. The first hook stays.
    pub fn on_queued(&self, hook: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.on_queued.set(Box::new(hook));
    }

    /// The log of one replica, which begins to exist with its first write.
    pub fn replica(&self, id: ReplicaId) -> ReplicaLog {
        ReplicaLog { id, shared: self.shared.clone() }
    }

    /// Every replica that was written to and not removed.
    pub fn replicas(&self) -> Vec<ReplicaId> {
        self.shared.lock().replicas.keys().copied().collect()
    }

    /// Removes all that the log holds of a replica.
    pub fn remove_replica(
        &self,
        id: ReplicaId,
        done: impl FnOnce(io::Result<()>) + Send + 'static,
    ) {
        let remove = |memory: &mut Memory| {
            memory.remove(id, Box::new(done));
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.shared.leave(remove);
    }

    /// Whether new proposals should be made: to be asked before them, and not before decisions. On
    /// a full disk writes still succeed until the current segment is full, then wait for room. It
    /// ends by itself: when purges free a segment, as long as they still fit, or when the disk has
    /// room again.
    pub fn room(&self) -> Result<(), DiskFull> {
        if self.shared.is_full() {
            return Err(DiskFull { left_bytes: self.shared.left_bytes() });
        }
        Ok(())
    }

    /// Bytes that the fsynced entries of all replicas take; the segments around them hold more.
    pub fn live_bytes(&self) -> u64 {
        self.shared.lock().index.live_bytes()
    }

    /// Replicas that have an fsynced entry: those that share the live bytes.
    pub fn replicas_with_entries(&self) -> usize {
        let memory = self.shared.lock();
        memory.index.replicas().filter(|(_, replica)| replica.live_bytes() > 0).count()
    }

    /// What the log counts. The times of its fsyncs are its disk's to count.
    pub fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        self.shared.metrics.collectors()
    }

    /// As `room`, without the number.
    pub fn is_full(&self) -> bool {
        self.room().is_err()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.handoff.close();
        if let Some(thread) = self.thread.take() {
            // A writer that panicked has said so; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

/// The default fatal action: after a failed write or fsync the page cache and the disk may differ,
/// and no later success means anything.
pub fn abort_process(error: &io::Error) {
    tracing::error!(%error, "the log cannot be written, the process ends");
    eprintln!("vatic: the log cannot be written, the process ends: {error}");
    std::process::abort();
}

fn run(mut writer: Writer) {
    let shared = writer.shared().clone();
    let pause = Duration::from_millis(shared.limits.stall_retry_ms);
    let mut looked_for_room = Instant::now();
    shared.handoff.work(|| {
        if shared.is_full() && looked_for_room.elapsed() >= pause {
            looked_for_room = Instant::now();
            writer.look_for_room();
        }
        match writer.step() {
            Step::Wrote => Turn::Worked,
            Step::Failed => Turn::Over,
            Step::Stalled => Turn::Stalled(pause),
            // Who is refused writes nothing: nobody else would find out that there is room.
            Step::Idle => Turn::Idle(shared.is_full().then_some(pause)),
        }
    });
}
