//! Opens what a crash or a close left behind.
//!
//! 1. Read every slot's header, of which there are two: the newer one counts. The newest valid one
//!    whose openings are whole is the active segment (a newer one without was never opened: its
//!    header is erased).
//! 2. The oldest epoch needed is the highest that the newest segment names, in its header or in a
//!    release frame. From there to the newest every epoch must be there.
//! 3. Fold the frames through the index: the first segment's openings are the start, those of later
//!    segments are checked against it.
//! 4. The other slots are free, whatever they hold: nothing in them is ever read. What an opened
//!    segment had lost so would be both its headers, at its two ends.
//! 5. Mend headers of which one is bad; of the newest segment only where that may be a flip, since
//!    bytes that were cut out of a file take the header at its end with them, and make what follows
//!    them look like old bytes. Sync the active segment: what was read may be in the page
//!    cache only.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::frame::FRAME_HEADER_BYTES;
use crate::index::{Inconsistent, Index};
use crate::limits::Limits;
use crate::record::{Opening, Record, ReplicaId};
use crate::scan::{Damage, Scan, scan};
use crate::segment::{
    FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, SlotHeader, header_offsets,
};
use crate::spare::{Segment, Slot};

/// Bits of a header that may have changed where it lies; others' bytes differ in half of 512.
const FLIPPED_MAX: u32 = 32;

pub(crate) struct Recovered {
    pub(crate) index: Index,
    /// Segments in use, by epoch.
    pub(crate) segments: BTreeMap<u32, Segment>,
    /// Where the newest segment's frames end; `None` in a log without segments.
    pub(crate) end: Option<u32>,
    /// Whether they end with a `Close`.
    pub(crate) closed: bool,
    pub(crate) batch_next: u64,
    pub(crate) spares: Vec<Slot>,
    pub(crate) slot_number_next: u64,
}

pub(crate) fn recover(disk: &Arc<dyn Disk>, limits: &Limits) -> Result<Recovered, OpenError> {
    let mut recovery = Recovery::look(disk.as_ref(), limits)?;
    let newest_end = recovery.settle_newest()?;
    let mut index = Index::default();
    if let Some(scan) = &newest_end {
        recovery.release_old(scan)?;
        recovery.fold(&mut index, scan.end)?;
        recovery.check_newest(scan)?;
        recovery.mend_headers()?;
        recovery.sync_newest()?;
    }
    let last = newest_end.as_ref().and_then(|scan| scan.frames.last());
    Ok(Recovered {
        index,
        closed: last.is_none_or(|frame| frame.record == Record::Close),
        end: newest_end.map(|scan| scan.end),
        segments: recovery.segments.into_iter().map(|(epoch, s)| (epoch, s.in_use())).collect(),
        batch_next: recovery.seen_batch + 1,
        spares: recovery.spares,
        slot_number_next: recovery.slot_number_next,
    })
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    segments: BTreeMap<u32, Found>,
    spares: Vec<Slot>,
    /// Slots whose headers say nothing: never opened, torn or damaged.
    unread: Vec<u64>,
    seen_batch: u64,
    slot_number_next: u64,
    header_offsets: [u32; 2],
}

struct Found {
    slot: Slot,
    header: SegmentHeader,
    /// Where its header should be too, and is not.
    bad_header_at: Option<u32>,
}

impl<'a> Recovery<'a> {
    fn look(disk: &'a dyn Disk, limits: &Limits) -> Result<Recovery<'a>, OpenError> {
        let mut recovery = Recovery {
            disk,
            segments: BTreeMap::new(),
            spares: Vec::new(),
            unread: Vec::new(),
            seen_batch: 0,
            slot_number_next: 0,
            header_offsets: header_offsets(limits.segment_bytes),
        };
        let mut numbers = disk.slots()?;
        numbers.sort_unstable();
        for number in numbers {
            recovery.slot_number_next = number + 1;
            let slot = Slot { number, file: disk.open(number)? };
            recovery.sort_in(slot, limits)?;
        }
        Ok(recovery)
    }

    fn sort_in(&mut self, slot: Slot, limits: &Limits) -> Result<(), OpenError> {
        let segment = self.disk.name(slot.number);
        let (found, configured) = (slot.file.bytes()?, limits.segment_bytes);
        if found != u64::from(configured) {
            return Err(OpenError::SegmentBytes { segment, found, configured });
        }
        match self.read_header(slot.file.as_ref())? {
            (SlotHeader::OtherVersion(found), _) => {
                Err(OpenError::Version { segment, found, supported: FORMAT_VERSION })
            }
            (SlotHeader::None, _) => {
                self.unread.push(slot.number);
                self.spares.push(slot);
                Ok(())
            }
            (SlotHeader::Valid(header), bad_header_at) => {
                let found = Found { slot, header, bad_header_at };
                let twin = self.segments.insert(header.epoch, found);
                let why = format!("another segment has the epoch {} too", header.epoch);
                twin.map_or(Ok(()), |_| Err(OpenError::Damaged { segment, offset: 0, why }))
            }
        }
    }

    /// The newer of a slot's two headers, and where it should be as well, and is not.
    fn read_header(&self, file: &dyn DiskFile) -> io::Result<(SlotHeader, Option<u32>)> {
        let read = |at: u32| {
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            file.read_at(u64::from(at), &mut bytes).map(|()| SegmentHeader::decode(&bytes))
        };
        let [first, second] = self.header_offsets;
        let (front, back) = (read(first)?, read(second)?);
        Ok(match front.epoch().cmp(&back.epoch()) {
            Ordering::Equal => (front, None),
            Ordering::Greater => (front, Some(second)),
            Ordering::Less => (back, Some(first)),
        })
    }

    /// Finds the newest segment that was opened, and its frames.
    fn settle_newest(&mut self) -> Result<Option<Scan>, OpenError> {
        let mut known_end = None;
        while let Some((epoch, segment)) = self.segments.pop_last() {
            let header = segment.header;
            let found = self.scan(&segment, known_end)?;
            self.seen_batch = self.seen_batch.max(found.seen_batch);
            if found.opened(&header) {
                self.segments.insert(epoch, segment);
                return Ok(Some(found));
            }
            if known_end.is_some() {
                return Err(self.damaged(&segment, 0, "the openings are not whole"));
            }
            for at in self.header_offsets {
                segment.slot.file.write_at(u64::from(at), &[0; SEGMENT_HEADER_BYTES])?;
            }
            segment.slot.file.sync()?;
            self.spares.push(segment.slot);
            known_end = (epoch > 1).then_some(header.previous_end);
        }
        Ok(None)
    }

    /// Makes spares of the segments that the newest one no longer needs.
    fn release_old(&mut self, newest: &Scan) -> Result<(), OpenError> {
        let Some((&newest_epoch, segment)) = self.segments.last_key_value() else {
            return Ok(());
        };
        let released = newest.frames.iter().filter_map(|frame| match frame.record {
            Record::Release { oldest } => Some(oldest),
            _ => None,
        });
        let oldest = released.fold(segment.header.oldest, u32::max);
        let needed = self.segments.split_off(&oldest);
        let old = std::mem::replace(&mut self.segments, needed);
        self.spares.extend(old.into_values().map(|segment| segment.slot));
        let missing = (oldest..=newest_epoch).find(|epoch| !self.segments.contains_key(epoch));
        missing.map_or(Ok(()), |epoch| Err(self.missing(epoch, newest)))
    }

    fn fold(&self, index: &mut Index, newest_end: u32) -> Result<(), OpenError> {
        let ends = self.segments.values().skip(1).map(|next| next.header.previous_end);
        let mut last_batch = 0;
        for (segment, end) in self.segments.values().zip(ends.chain([newest_end])) {
            if segment.header.batch <= last_batch {
                return Err(self.damaged(segment, 0, "its batch is not after the last one"));
            }
            let found = self.scan(segment, Some(end))?;
            if !found.opened(&segment.header) {
                return Err(self.damaged(segment, 0, "the openings are not whole"));
            }
            last_batch = found.last_batch;
            self.fold_segment(index, segment, &found)?;
        }
        match (index.check_complete(), self.segments.last_key_value()) {
            (Err(Inconsistent(why)), Some((_, newest))) => {
                Err(self.damaged(newest, u64::from(newest_end), &why))
            }
            _ => Ok(()),
        }
    }

    fn fold_segment(
        &self,
        index: &mut Index,
        segment: &Found,
        found: &Scan,
    ) -> Result<(), OpenError> {
        let (opening, rest) = found.frames.split_at(segment.header.openings as usize);
        let openings = opening.iter().filter_map(|frame| match &frame.record {
            Record::Opening(state) => Some((frame.replica, state.clone())),
            _ => None,
        });
        let openings: Vec<_> = openings.collect();
        self.check_extents(segment, &openings)?;
        let first = index.newest().is_none();
        let opened = if first {
            openings.iter().try_for_each(|(id, state)| index.restore(*id, state))
        } else {
            index.check(&openings)
        };
        opened.map_err(|Inconsistent(why)| self.damaged(segment, 0, &why))?;
        index.open_segment(segment.header.epoch);
        for frame in rest {
            index.apply(frame.replica, &frame.record, frame.place).map_err(
                |Inconsistent(why)| self.damaged(segment, u64::from(frame.place.offset), &why),
            )?;
        }
        Ok(())
    }

    /// Each entry took a frame of this segment or of one before it, so an opening that speaks of
    /// more is no log's: to make room for all that it says would be the end of the process.
    fn check_extents(
        &self,
        segment: &Found,
        openings: &[(ReplicaId, Opening)],
    ) -> Result<(), OpenError> {
        let entries_max = u64::from(segment.header.epoch) * segment.slot.file.bytes()?
            / FRAME_HEADER_BYTES as u64;
        let extents = openings.iter().filter_map(|(_, opening)| opening.entries);
        let counted = extents.map(|extent| extent.last.saturating_sub(extent.first));
        let too_many = counted.fold(0, u64::saturating_add) > entries_max;
        let why = "the openings speak of more entries than there is room for";
        if too_many { Err(self.damaged(segment, 0, why)) } else { Ok(()) }
    }

    /// Both headers were synced with the openings, so behind a later batch a bad one is damage. A
    /// flip is mended; anything else there says that the file is not what was written, and where
    /// its frames end, if they do not say so themselves, nobody can tell.
    fn check_newest(&self, newest: &Scan) -> Result<(), OpenError> {
        let Some((_, segment)) = self.segments.last_key_value() else { return Ok(()) };
        let closed = newest.frames.last().is_some_and(|frame| frame.record == Record::Close);
        let synced = newest.last_batch > segment.header.batch;
        let Some(at) = segment.bad_header_at.filter(|_| synced && !closed) else { return Ok(()) };
        let mut found = [0; SEGMENT_HEADER_BYTES];
        segment.slot.file.read_at(u64::from(at), &mut found)?;
        let pairs = found.iter().zip(segment.header.encode());
        let flipped: u32 = pairs.map(|(found, written)| (found ^ written).count_ones()).sum();
        let why = "its other header is gone: bytes may have been cut out before it";
        if flipped > FLIPPED_MAX { Err(self.damaged(segment, at.into(), why)) } else { Ok(()) }
    }

    fn mend_headers(&self) -> io::Result<()> {
        for Found { slot, header, bad_header_at } in self.segments.values() {
            if let Some(at) = bad_header_at {
                tracing::warn!(segment = self.disk.name(slot.number), at, "a bad header is mended");
                slot.file.write_at(u64::from(*at), &header.encode())?;
                slot.file.sync()?;
            }
        }
        Ok(())
    }

    fn sync_newest(&self) -> io::Result<()> {
        self.segments.values().last().map_or(Ok(()), |segment| segment.slot.file.sync())
    }

    fn scan(&self, segment: &Found, known_end: Option<u32>) -> Result<Scan, OpenError> {
        let bytes = read_whole(segment.slot.file.as_ref())?;
        scan(&bytes, &segment.header, known_end)
            .map_err(|Damage { offset, why }| self.damaged(segment, offset, &why))
    }

    fn missing(&self, epoch: u32, newest: &Scan) -> OpenError {
        let unread = self.unread.iter().map(|number| self.disk.name(*number)).collect();
        let segment = self.segments.last_key_value().map(|(_, segment)| segment.slot.number);
        let newest_name = segment.map_or(String::new(), |number| self.disk.name(number));
        OpenError::Missing { epoch, unread, newest: newest_name, end: u64::from(newest.end) }
    }

    fn damaged(&self, segment: &Found, offset: u64, why: &str) -> OpenError {
        let segment = self.disk.name(segment.slot.number);
        OpenError::Damaged { segment, offset, why: why.into() }
    }
}

impl Found {
    fn in_use(self) -> Segment {
        Segment { slot: self.slot, salt: self.header.salt }
    }
}

fn read_whole(file: &dyn DiskFile) -> io::Result<Bytes> {
    let mut bytes = vec![0; file.bytes()? as usize];
    file.read_at(0, &mut bytes)?;
    Ok(bytes.into())
}
