//! The writer: one `step` makes one batch of what is queued, writes it, fsyncs it, and only then
//! folds it into the index and calls back.
//!
//! Natural batching: the batch is what gathered while the last one was fsynced. A step has no
//! thread and no clock of its own, so a simulation drives it; `log` has the thread that drives the
//! real one.
//!
//! Order of effects, which the safety of recovery stands on: write, fsync, index and durable index,
//! reuse of released segments, callbacks. Batch n+1 is not written before n is fsynced. A failed
//! write or fsync is fatal: nothing is known of the disk after it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use fail::fail_point;

use crate::disk::is_full;
use crate::frame::{NO_REPLICA, Stamp, encode, frame_bytes_for};
use crate::index::{Inconsistent, Place};
use crate::log::Fatal;
use crate::memory::{Done, Memory, Shared};
use crate::record::{Record, ReplicaId};
use crate::replica::read_entry;
use crate::scan::Framed;
use crate::seeded::{Bug, planted};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader, header_offsets};
use crate::spare::{Segment, Slot, Spares};

/// Frames without a payload that every segment has room for beside the first record of a batch.
pub(crate) const RESERVED_FRAMES: usize = 3;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch is fsynced, its callbacks have run. There may be more.
    Wrote,
    /// Nothing is queued.
    Idle,
    /// The disk is full and so is the last segment: try again later. What is queued stays queued.
    Stalled,
    /// The log failed, and the fatal action returned. Nothing will be written any more.
    Failed,
}

/// Writes the log. There is one per log.
pub struct Writer {
    shared: Arc<Shared>,
    spares: Spares,
    /// Segments in use by epoch; the last one is written to.
    segments: BTreeMap<u32, Segment>,
    /// Where the next batch goes; `None` before the first segment.
    end: Option<u32>,
    batch_next: u64,
    /// A batch that a full disk did not take (file systems that copy on write).
    refused: Option<Batch>,
    fatal: Fatal,
    failed: bool,
}

/// One batch on its way to the disk.
struct Batch {
    segment: Segment,
    epoch: u32,
    stamp: Stamp,
    /// Where it opens the segment.
    header: Option<SegmentHeader>,
    bytes: Vec<u8>,
    frames: Vec<Framed>,
    dones: Vec<Done>,
    position: u64,
    release: Option<u32>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        spares: Spares,
        segments: BTreeMap<u32, Segment>,
        end: Option<u32>,
        batch_next: u64,
        fatal: Fatal,
    ) -> Writer {
        let (refused, failed) = (None, false);
        Writer { shared, spares, segments, end, batch_next, refused, fatal, failed }
    }

    /// Writes and fsyncs at most one batch.
    pub fn step(&mut self) -> Step {
        if self.failed {
            return Step::Failed;
        }
        self.try_step().unwrap_or_else(|error| {
            self.fail(error);
            Step::Failed
        })
    }

    pub(crate) fn use_background_spares(&mut self) {
        self.spares.use_background();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// With the disk full, asks it again for a segment now: `step` does so only every
    /// `full_retry_batches`, and never while nothing is written. Whether the log is still alive.
    pub fn look_for_room(&mut self) -> bool {
        if !self.failed && self.spares.is_full() {
            match self.spares.retry() {
                Ok(()) => self.shared.set_full(self.spares.is_full()),
                Err(error) => self.fail(error),
            }
        }
        !self.failed
    }

    fn try_step(&mut self) -> io::Result<Step> {
        if let Some(batch) = self.refused.take() {
            return self.write(batch);
        }
        let Some(first_bytes) = self.shared.lock().first_bytes() else {
            return self.close();
        };
        if self.end.is_some() {
            self.spares.replenish()?;
        }
        let fits = self.end.is_some_and(|end| first_bytes <= self.room(end));
        let batch = if fits { self.batch_here() } else { self.batch_in_new_segment()? };
        self.shared.set_full(self.spares.is_full());
        let Some(mut batch) = batch else { return self.release_or_stall() };
        self.fill(&mut batch, first_bytes)?;
        self.write(batch)
    }

    /// No room for the next record, nor for a segment: what room is kept goes to a release.
    fn release_or_stall(&mut self) -> io::Result<Step> {
        let oldest = self.shared.lock().index.releasable();
        let kept = self.end.map_or(0, |end| self.shared.limits.frames_end() - end);
        let oldest = oldest.filter(|_| kept as usize >= frame_bytes_for(0));
        let (Some(oldest), Some(mut batch)) = (oldest, self.batch_here()) else {
            return Ok(Step::Stalled);
        };
        batch.push_release(oldest);
        self.write(batch)
    }

    /// Nothing is queued. Where that is the end of the log, a batch of its own says so: it proves
    /// that the last one was fsynced, so that damage to that is not taken for a torn write. It does
    /// not take the room that a release needs on a full disk.
    fn close(&mut self) -> io::Result<Step> {
        let mut memory = self.shared.lock();
        if !memory.closing || memory.closed {
            return Ok(Step::Idle);
        }
        memory.closed = true;
        drop(memory);
        let left = self.end.map_or(0, |end| self.shared.limits.frames_end() - end);
        let fits = left as usize >= 2 * frame_bytes_for(0);
        let Some(mut batch) = self.batch_here().filter(|_| fits) else { return Ok(Step::Idle) };
        batch.push(NO_REPLICA, Record::Close);
        self.write(batch)
    }

    /// Bytes left for the first record: room for a release beside it, for one more that frees a
    /// segment when the disk is full, and for the close is kept.
    fn room(&self, end: u32) -> usize {
        let left = self.shared.limits.frames_end() - end;
        (left as usize).saturating_sub(RESERVED_FRAMES * frame_bytes_for(0))
    }

    /// A batch in the active segment; `None` before there is one.
    fn batch_here(&self) -> Option<Batch> {
        let (epoch, segment) = self.segments.last_key_value()?;
        let stamp = Stamp { batch: self.batch_next, batch_start: self.end? };
        Some(Batch::new(segment.clone(), *epoch, stamp))
    }

    /// Starts the batch that opens the next segment; `None` when the disk has no room for one.
    fn batch_in_new_segment(&mut self) -> io::Result<Option<Batch>> {
        let Some(segment) = self.spares.take()? else { return Ok(None) };
        let epoch = self.segments.last_key_value().map_or(1, |(epoch, _)| epoch + 1);
        let stamp = Stamp { batch: self.batch_next, batch_start: 0 };
        let memory = self.shared.lock();
        let openings = memory.index.openings();
        let header = SegmentHeader {
            epoch,
            segment_bytes: u64::from(self.shared.limits.segment_bytes),
            batch: self.batch_next,
            previous_end: self.end.unwrap_or(0),
            oldest: memory.index.oldest().unwrap_or(epoch),
            openings: openings.len() as u32,
            salt: segment.salt,
        };
        drop(memory);
        let mut batch = Batch::new(segment, epoch, stamp);
        batch.header = Some(header);
        batch.bytes.extend_from_slice(&header.encode());
        for (id, opening) in openings {
            batch.push(id, Record::Opening(opening));
        }
        Ok(Some(batch))
    }

    /// Fills the batch: carried entries first (they speak of the log as it is on disk), then the
    /// release, then what is queued.
    fn fill(&mut self, batch: &mut Batch, first_bytes: usize) -> io::Result<()> {
        if batch.header.is_none() {
            self.carry(batch, first_bytes)?;
        }
        let mut memory = self.shared.lock();
        if let Some(oldest) = memory.index.releasable() {
            batch.push_release(oldest);
        }
        let limits = &self.shared.limits;
        let room = limits.frames_end() as usize - (RESERVED_FRAMES - 1) * frame_bytes_for(0);
        let left = |batch: &Batch| room.saturating_sub(batch.end() as usize);
        let items = memory.take(left(batch), limits.batch_bytes_max as usize);
        debug_assert!(!items.is_empty() || memory.closing, "the first record must fit");
        for item in items {
            batch.position = item.position;
            batch.dones.extend(item.done);
            batch.push(item.replica, item.record);
        }
        for (id, committed) in memory.take_committed(left(batch)) {
            batch.push(id, committed);
        }
        Ok(())
    }

    /// Writes live entries of the oldest segment again, where there are more segments than wanted
    /// and less than half of what they hold is live: so a byte is carried about once for each byte
    /// that is written, and where more is live, the log grows instead.
    fn carry(&mut self, batch: &mut Batch, first_bytes: usize) -> io::Result<()> {
        let memory = self.shared.lock();
        let (limits, index) = (&self.shared.limits, &memory.index);
        let count = index.segment_count() as u64;
        let wanted = count > u64::from(limits.segments_target) || self.spares.is_full();
        let sealed_bytes = count.saturating_sub(1) * u64::from(limits.segment_bytes);
        let Some(oldest) = index.oldest().filter(|oldest| Some(*oldest) != index.newest()) else {
            return Ok(());
        };
        let room = self.room(batch.end()).saturating_sub(first_bytes);
        // With the disk full what is left of the segment must do to free the oldest.
        let affordable = !self.spares.is_full() || index.live_bytes_in(oldest) <= room as u64 / 2;
        if !wanted || !affordable || index.live_bytes() * 2 > sealed_bytes {
            return Ok(());
        }
        let chosen = index.live_entries(oldest, limits.carry_bytes_per_batch);
        drop(memory);
        let segment = &self.segments[&oldest];
        let mut left = room;
        for (id, entry_index, place) in chosen {
            let Some(rest) = left.checked_sub(place.bytes as usize) else { break };
            left = rest;
            let entry = read_entry(segment, id, entry_index, place)?;
            batch.push(id, Record::Carried(entry));
        }
        Ok(())
    }

    fn write(&mut self, mut batch: Batch) -> io::Result<Step> {
        if !batch.bytes.is_empty() {
            let written = batch.write_to(self.shared.limits.segment_bytes);
            if written.as_ref().is_err_and(is_full) {
                self.shared.set_full(true);
                self.refused = Some(batch);
                return Ok(Step::Stalled);
            }
            reach("log::sync", &batch.frames);
            let sync = || match planted(Bug::AckBeforeSync) {
                true => Ok(()),
                false => batch.segment.slot.file.sync(),
            };
            if let Err(error) = written.and_then(|()| sync()) {
                refuse(std::mem::take(&mut batch.dones), &error);
                return Err(error);
            }
            reach("log::synced", &batch.frames);
            self.batch_next += 1;
        }
        self.settle(batch)?;
        Ok(Step::Wrote)
    }

    /// The batch is durable: make it known, in memory first, then to the callers.
    fn settle(&mut self, batch: Batch) -> io::Result<()> {
        self.end = Some(batch.end());
        self.shared.set_left_bytes(self.shared.limits.frames_end() - batch.end());
        let shared = self.shared.clone();
        let mut memory = shared.lock();
        if batch.header.is_some() {
            memory.index.open_segment(batch.epoch);
            memory.segments.insert(batch.epoch, batch.segment.clone());
            self.segments.insert(batch.epoch, batch.segment.clone());
        }
        if let Some(last) = batch.frames.last() {
            memory.closed = last.record == Record::Close;
        }
        for frame in &batch.frames {
            memory.index.apply(frame.replica, &frame.record, frame.place).map_err(
                |Inconsistent(why)| io::Error::other(format!("the log contradicts itself: {why}")),
            )?;
        }
        let touched: BTreeSet<ReplicaId> = batch.frames.iter().map(|f| f.replica).collect();
        memory.synced(batch.position, &touched);
        shared.metrics.batch(batch.bytes.len(), batch.frames.len(), &memory.index);
        let freed = batch.release.map(|oldest| self.release(&mut memory, oldest));
        drop(memory);
        for slot in freed.into_iter().flatten() {
            self.spares.recycle(slot)?;
        }
        self.shared.set_full(self.spares.is_full());
        batch.dones.into_iter().for_each(|done| done(Ok(())));
        Ok(())
    }

    fn release(&mut self, memory: &mut Memory, oldest: u32) -> Vec<Slot> {
        memory.index.release(oldest);
        memory.segments = memory.segments.split_off(&oldest);
        let kept = self.segments.split_off(&oldest);
        let freed = std::mem::replace(&mut self.segments, kept);
        freed.into_values().map(|segment| segment.slot).collect()
    }

    fn fail(&mut self, error: io::Error) {
        self.failed = true;
        (self.fatal)(&error);
        let dones = self.shared.lock().fail();
        refuse(dones, &error);
    }
}

impl Batch {
    fn new(segment: Segment, epoch: u32, stamp: Stamp) -> Batch {
        Batch {
            segment,
            epoch,
            stamp,
            header: None,
            bytes: Vec::new(),
            frames: Vec::new(),
            dones: Vec::new(),
            position: 0,
            release: None,
        }
    }

    /// Where the batch ends in its segment, as far as it is filled.
    fn end(&self) -> u32 {
        self.stamp.batch_start + self.bytes.len() as u32
    }

    /// The header of a new segment twice, see `segment`.
    fn write_to(&self, segment_bytes: u32) -> io::Result<()> {
        let file = &self.segment.slot.file;
        if let Some(header) = &self.header {
            let [_, again] = header_offsets(segment_bytes);
            file.write_at(u64::from(again), &header.encode())?;
        }
        file.write_at(u64::from(self.stamp.batch_start), &self.bytes)
    }

    fn push_release(&mut self, oldest: u32) {
        self.push(NO_REPLICA, Record::Release { oldest });
        self.release = Some(oldest);
    }

    fn push(&mut self, replica: ReplicaId, record: Record) {
        let offset = self.end();
        let seal = self.segment.salt.at(offset);
        encode(&mut self.bytes, seal, self.stamp, replica, &record);
        let bytes = self.end() - offset;
        let term = match &record {
            Record::Entry(entry) | Record::Carried(entry) => entry.term,
            _ => 0,
        };
        let place = Place { epoch: self.epoch, offset, bytes, term };
        debug_assert!(offset as usize >= SEGMENT_HEADER_BYTES);
        self.frames.push(Framed { replica, record, place });
    }
}

fn refuse(dones: Vec<Done>, error: &io::Error) {
    for done in dones {
        done(Err(io::Error::new(error.kind(), error.to_string())));
    }
}

/// Failpoints of a batch: of any, and as `POINT@GROUP` of one that has something of the group.
#[cfg_attr(not(feature = "failpoints"), expect(unused_variables))]
fn reach(point: &str, frames: &[Framed]) {
    fail_point!(point);
    #[cfg(feature = "failpoints")]
    for group in frames.iter().map(|frame| frame.replica.group).collect::<BTreeSet<_>>() {
        fail_point!(&format!("{point}@{group}"));
    }
}
