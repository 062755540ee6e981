//! Walks the frames of one segment, and judges where they stop.
//!
//! A batch is written only after the one before it was fsynced. So a frame that is bad may be torn
//! only if it lies in the last batch: a whole frame header whose batch starts behind the bad frame
//! proves that the bad frame's batch had been fsynced, and that it is damaged. Within the last
//! batch everything from the first bad frame on is dropped, since sectors may persist in any order.
//!
//! At a clean stop the last batch is one that only says so: then damage to any other is named.
//!
//! Behind the end lie old bytes, which the salt tells from frames of this use, and frames of this
//! use that an earlier recovery dropped. Batch numbers only
//! grow and are never used again, and each batch starts where the valid frames before it end, so
//! such a frame neither follows the last one nor starts behind it.

use bytes::Bytes;

use crate::frame::{FRAME_ALIGN, decode, decode_header};
use crate::index::Place;
use crate::record::{Record, ReplicaId};
use crate::seeded::{Bug, planted};
use crate::segment::{SEGMENT_HEADER_BYTES, SegmentHeader};

#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) frames: Vec<Framed>,
    /// Where the valid frames end.
    pub(crate) end: u32,
    pub(crate) last_batch: u64,
    /// The highest batch that any whole frame header names, dropped ones too.
    pub(crate) seen_batch: u64,
}

#[derive(Debug)]
pub(crate) struct Framed {
    pub(crate) replica: ReplicaId,
    pub(crate) record: Record,
    pub(crate) place: Place,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: u64,
    pub(crate) why: String,
}

/// The frames of a segment. `known_end` is what the next segment's header says; without it this is
/// the newest segment, and its tail is judged.
pub(crate) fn scan(
    bytes: &Bytes,
    header: &SegmentHeader,
    known_end: Option<u32>,
) -> Result<Scan, Damage> {
    let mut found = walk(bytes, header, known_end);
    match known_end {
        Some(end) if end != found.end => {
            let why = format!("bad frame, the segment's frames go on to {end}");
            return Err(Damage { offset: u64::from(found.end), why });
        }
        Some(_) => {}
        None if planted(Bug::DamageTakenForTear) => {}
        None => judge_tail(bytes, header, &mut found)?,
    }
    Ok(found)
}

impl Scan {
    /// Whether every opening frame that the header promises is there.
    pub(crate) fn opened(&self, header: &SegmentHeader) -> bool {
        let openings = self.frames.iter().take_while(|f| matches!(f.record, Record::Opening(_)));
        openings.count() >= header.openings as usize
    }
}

fn walk(bytes: &Bytes, header: &SegmentHeader, known_end: Option<u32>) -> Scan {
    let mut at = SEGMENT_HEADER_BYTES;
    let (mut batch, mut batch_start) = (header.batch, 0);
    let mut frames = Vec::new();
    while known_end.is_none_or(|end| at < end as usize) {
        let Some((frame, record)) = decode(&bytes.slice(at..), header.salt.at(at as u32)) else {
            break;
        };
        let stamp = frame.stamp;
        let same = (stamp.batch, stamp.batch_start) == (batch, batch_start);
        let next = stamp.batch > batch && stamp.batch_start as usize == at;
        if !(same || next) {
            break;
        }
        (batch, batch_start) = (stamp.batch, stamp.batch_start);
        let frame_bytes = frame.frame_bytes();
        let place = Place {
            epoch: header.epoch,
            offset: at as u32,
            bytes: frame_bytes as u32,
            term: frame.term,
        };
        frames.push(Framed { replica: frame.replica, record, place });
        at += frame_bytes;
    }
    Scan { frames, end: at as u32, last_batch: batch, seen_batch: batch }
}

fn judge_tail(bytes: &[u8], header: &SegmentHeader, found: &mut Scan) -> Result<(), Damage> {
    let end = found.end as usize;
    for at in (end..bytes.len()).step_by(FRAME_ALIGN) {
        let frame = decode_header(&bytes[at..], header.salt.at(at as u32));
        let Some(stamp) = frame.map(|frame| frame.stamp) else { continue };
        found.seen_batch = found.seen_batch.max(stamp.batch);
        if stamp.batch > found.last_batch && stamp.batch_start as usize > end {
            let why = format!("bad frame before the whole frame of a later batch at {at}");
            return Err(Damage { offset: end as u64, why });
        }
    }
    Ok(())
}
