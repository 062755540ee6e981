//! Segments in use, and free ones: the next is there before it is needed.
//!
//! Old segments come back here and are written over as they are; only when none came back is a new
//! file made, beside the writer where a background thread is allowed. A full disk shows here first,
//! a whole segment before the log runs out of room.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::disk::{Disk, DiskFile, is_full};
use crate::limits::Limits;
use crate::salt::Salt;

/// A segment file, free or in use.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) number: u64,
    pub(crate) file: Arc<dyn DiskFile>,
}

/// One use of a slot: what it was begun with keys its frames.
#[derive(Clone)]
pub(crate) struct Segment {
    pub(crate) slot: Slot,
    pub(crate) salt: Salt,
}

pub(crate) struct Spares {
    disk: Arc<dyn Disk>,
    ready: Vec<Slot>,
    number_next: u64,
    pending: Option<JoinHandle<io::Result<Slot>>>,
    background: bool,
    full: bool,
    retry_after_batches: u32,
    segment_bytes: u32,
    spares_max: usize,
    full_retry_batches: u32,
}

impl Spares {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        ready: Vec<Slot>,
        number_next: u64,
        limits: &Limits,
    ) -> Spares {
        Spares {
            disk,
            ready,
            number_next,
            pending: None,
            background: false,
            full: false,
            retry_after_batches: 0,
            segment_bytes: limits.segment_bytes,
            spares_max: limits.spares_max as usize,
            full_retry_batches: limits.full_retry_batches,
        }
    }

    /// From now on segments are made on a thread of their own.
    pub(crate) fn use_background(&mut self) {
        self.background = true;
    }

    /// There is no free segment, and the disk gave none when it was last asked.
    pub(crate) fn is_full(&self) -> bool {
        self.full && self.ready.is_empty()
    }

    /// Sees to it that the next segment is there or on its way.
    pub(crate) fn replenish(&mut self) -> io::Result<()> {
        if self.pending.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish()?;
        }
        if !self.ready.is_empty() || self.pending.is_some() {
            return Ok(());
        }
        if self.full && self.retry_after_batches > 0 {
            self.retry_after_batches -= 1;
            return Ok(());
        }
        self.start()
    }

    /// Asks the disk again, however short ago it was full.
    pub(crate) fn retry(&mut self) -> io::Result<()> {
        self.retry_after_batches = 0;
        self.replenish()
    }

    /// Begins a segment, waiting for a slot that is being made; `None` when the disk is full.
    pub(crate) fn take(&mut self) -> io::Result<Option<Segment>> {
        if self.ready.is_empty() {
            if self.pending.is_none() {
                self.start()?;
            }
            self.finish()?;
        }
        let Some(slot) = self.ready.pop() else { return Ok(None) };
        Ok(Some(Segment { slot, salt: Salt(self.disk.salt()?) }))
    }

    /// Takes a segment back that nothing needs any more.
    pub(crate) fn recycle(&mut self, slot: Slot) -> io::Result<()> {
        if self.ready.len() < self.spares_max {
            self.ready.push(slot);
            self.full = false;
            return Ok(());
        }
        self.disk.remove(slot.number)
    }

    fn start(&mut self) -> io::Result<()> {
        let (disk, number, bytes) = (self.disk.clone(), self.number_next, self.segment_bytes);
        self.number_next += 1;
        let make = move || disk.create(number, bytes).map(|file| Slot { number, file });
        if self.background {
            let thread = std::thread::Builder::new().name("vatic-log-spare".into());
            self.pending = Some(thread.spawn(make)?);
            return Ok(());
        }
        self.made(make())
    }

    /// Takes what the thread made; waits for it.
    fn finish(&mut self) -> io::Result<()> {
        let Some(thread) = self.pending.take() else { return Ok(()) };
        let died = |_| Err(io::Error::other("the thread that makes log segments died"));
        self.made(thread.join().unwrap_or_else(died))
    }

    fn made(&mut self, made: io::Result<Slot>) -> io::Result<()> {
        match made {
            Ok(slot) => {
                self.ready.push(slot);
                self.full = false;
                Ok(())
            }
            Err(error) if is_full(&error) => {
                self.full = true;
                self.retry_after_batches = self.full_retry_batches;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        // The thread holds the disk: nobody else could open it. What it made is found again.
        let _ = self.finish();
    }
}
