//! Frames: how a record lies in a segment.
//!
//! ```text
//! frame = header sum 8 · payload bytes 4 · batch start 4 · batch 8 · payload sum 4
//!         · kind 1 · zeros 3 · group 4 · generation 4 · index 8 · term 8 · payload · zeros to 8
//! ```
//!
//! The sums are keyed (`salt`). The header's covers the rest of it, hence the payload's sum, and
//! where the frame lies: it verifies at that offset of that use of the segment, and no bytes that
//! were chosen without its salt do. A header that is whole proves, whatever became of its payload,
//! that its batch was being written, hence that every earlier batch was fsynced. `batch start` is
//! where that batch begins: it tells a hole in the last batch (torn) from one before it (damage).

use bytes::Bytes;

use crate::record::{Entry, Extent, Opening, Record, ReplicaId};
use crate::salt::Seal;
use crate::seeded::{Bug, planted};

pub(crate) const FRAME_HEADER_BYTES: usize = 8 + HEADER_REST_BYTES;
pub(crate) const FRAME_ALIGN: usize = 8;
/// Indexes and batches beyond this are of no log: so the one that follows is a number too.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;
/// Behind the header's sum.
pub(crate) const HEADER_REST_BYTES: usize = 48;

/// Whose the frames are that speak of the whole log.
pub(crate) const NO_REPLICA: ReplicaId = ReplicaId { group: 0, generation: 0 };

/// What a frame says about when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) batch: u64,
    pub(crate) batch_start: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) stamp: Stamp,
    pub(crate) replica: ReplicaId,
    pub(crate) index: u64,
    pub(crate) term: u64,
    payload_bytes: u32,
    payload_sum: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Entry = 1,
    Carried = 2,
    Vote = 3,
    Committed = 4,
    Truncate = 5,
    Purge = 6,
    Remove = 7,
    Opening = 8,
    Release = 9,
    Close = 10,
}

impl FrameHeader {
    /// The whole frame, padding too.
    pub(crate) fn frame_bytes(&self) -> usize {
        frame_bytes_for(self.payload_bytes as usize)
    }
}

pub(crate) fn frame_bytes_for(payload_bytes: usize) -> usize {
    (FRAME_HEADER_BYTES + payload_bytes).next_multiple_of(FRAME_ALIGN)
}

/// Bytes that a record takes in a segment.
pub(crate) fn frame_bytes(record: &Record) -> usize {
    let payload = match record {
        Record::Entry(entry) | Record::Carried(entry) => entry.payload.len(),
        Record::Vote(bytes) | Record::Committed(bytes) => bytes.len(),
        Record::Purge { last_purged, .. } => last_purged.len(),
        Record::Truncate { .. } | Record::Remove | Record::Release { .. } | Record::Close => 0,
        Record::Opening(opening) => encode_opening(opening).len(),
        Record::Barrier => return 0,
    };
    frame_bytes_for(payload)
}

/// Appends one frame; a barrier has none.
pub(crate) fn encode(
    into: &mut Vec<u8>,
    seal: Seal,
    stamp: Stamp,
    replica: ReplicaId,
    record: &Record,
) {
    let opening;
    let (kind, index, term, payload): (Kind, u64, u64, &[u8]) = match record {
        Record::Entry(e) => (Kind::Entry, e.index, e.term, &e.payload),
        Record::Carried(e) => (Kind::Carried, e.index, e.term, &e.payload),
        Record::Vote(vote) => (Kind::Vote, 0, 0, vote),
        Record::Committed(committed) => (Kind::Committed, 0, 0, committed),
        Record::Truncate { from } => (Kind::Truncate, *from, 0, &[]),
        Record::Purge { to, last_purged } => (Kind::Purge, *to, 0, last_purged),
        Record::Remove => (Kind::Remove, 0, 0, &[]),
        Record::Release { oldest } => (Kind::Release, u64::from(*oldest), 0, &[]),
        Record::Close => (Kind::Close, 0, 0, &[]),
        Record::Opening(state) => {
            opening = encode_opening(state);
            (Kind::Opening, 0, 0, &opening)
        }
        Record::Barrier => return,
    };
    let (payload_bytes, payload_sum) = (payload.len() as u32, seal.payload_sum(payload));
    let header = FrameHeader { stamp, replica, index, term, payload_bytes, payload_sum, kind };
    let rest = encode_header(&header);
    into.extend_from_slice(&seal.header_sum(&rest).to_le_bytes());
    into.extend_from_slice(&rest);
    into.extend_from_slice(payload);
    into.resize(into.len().next_multiple_of(FRAME_ALIGN), 0);
}

/// The header at the start of `bytes`, which lie at that place, if it is whole.
pub(crate) fn decode_header(bytes: &[u8], seal: Seal) -> Option<FrameHeader> {
    let (sum, rest) = bytes.split_first_chunk::<8>()?;
    let rest = rest.first_chunk::<HEADER_REST_BYTES>()?;
    let kind = Kind::from_byte(rest[20])?;
    if rest[21..24] != [0; 3] || u64::from_le_bytes(*sum) != seal.header_sum(rest) {
        return None;
    }
    let (batch, index) = (le64(rest, 8), le64(rest, 32));
    if batch > NUMBER_MAX || index > NUMBER_MAX {
        return None;
    }
    Some(FrameHeader {
        payload_bytes: le32(rest, 0),
        stamp: Stamp { batch_start: le32(rest, 4), batch },
        payload_sum: le32(rest, 16),
        kind,
        replica: ReplicaId { group: le32(rest, 24), generation: le32(rest, 28) },
        index,
        term: le64(rest, 40),
    })
}

/// The frame at the start of `bytes`, which lie at that place, if header and payload are whole.
/// Entry payloads share `bytes`; small values that outlive them are copied.
pub(crate) fn decode(bytes: &Bytes, seal: Seal) -> Option<(FrameHeader, Record)> {
    let header = decode_header(bytes, seal)?;
    let payload_end = FRAME_HEADER_BYTES.checked_add(header.payload_bytes as usize)?;
    let payload = bytes.get(FRAME_HEADER_BYTES..payload_end)?;
    let torn = seal.payload_sum(payload) != header.payload_sum;
    if torn && !planted(Bug::TornPayloadAccepted) {
        return None;
    }
    let (index, term) = (header.index, header.term);
    let copy = || Bytes::copy_from_slice(payload);
    let entry = || Entry { index, term, payload: bytes.slice_ref(payload) };
    let record = match header.kind {
        Kind::Entry => Record::Entry(entry()),
        Kind::Carried => Record::Carried(entry()),
        Kind::Vote => Record::Vote(copy()),
        Kind::Committed => Record::Committed(copy()),
        Kind::Truncate => Record::Truncate { from: index },
        Kind::Purge => Record::Purge { to: index, last_purged: copy() },
        Kind::Remove => Record::Remove,
        Kind::Release => Record::Release { oldest: u32::try_from(index).ok()? },
        Kind::Close => Record::Close,
        Kind::Opening => Record::Opening(decode_opening(payload)?),
    };
    Some((header, record))
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Kind> {
        Some(match byte {
            1 => Kind::Entry,
            2 => Kind::Carried,
            3 => Kind::Vote,
            4 => Kind::Committed,
            5 => Kind::Truncate,
            6 => Kind::Purge,
            7 => Kind::Remove,
            8 => Kind::Opening,
            9 => Kind::Release,
            10 => Kind::Close,
            _ => return None,
        })
    }
}

/// All of the header behind its sum.
fn encode_header(header: &FrameHeader) -> [u8; HEADER_REST_BYTES] {
    let mut bytes = [0; HEADER_REST_BYTES];
    bytes[..4].copy_from_slice(&header.payload_bytes.to_le_bytes());
    bytes[4..8].copy_from_slice(&header.stamp.batch_start.to_le_bytes());
    bytes[8..16].copy_from_slice(&header.stamp.batch.to_le_bytes());
    bytes[16..20].copy_from_slice(&header.payload_sum.to_le_bytes());
    bytes[20] = header.kind as u8;
    bytes[24..28].copy_from_slice(&header.replica.group.to_le_bytes());
    bytes[28..32].copy_from_slice(&header.replica.generation.to_le_bytes());
    bytes[32..40].copy_from_slice(&header.index.to_le_bytes());
    bytes[40..48].copy_from_slice(&header.term.to_le_bytes());
    bytes
}

pub(crate) fn opening_payload_bytes_max(meta_bytes_max: usize) -> usize {
    4 + 3 * (4 + meta_bytes_max) + 8 + 24
}

/// Flags for what is there, then purged (index, value), extent, vote, committed.
fn encode_opening(opening: &Opening) -> Vec<u8> {
    let present = [
        opening.purged.is_some(),
        opening.entries.is_some(),
        opening.vote.is_some(),
        opening.committed.is_some(),
    ];
    let mut bytes: Vec<u8> = present.map(u8::from).to_vec();
    let mut value = |index: Option<u64>, value: &Bytes| {
        bytes.extend(index.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
    };
    if let Some((index, purged)) = &opening.purged {
        value(Some(*index), purged);
    }
    if let Some(vote) = &opening.vote {
        value(None, vote);
    }
    if let Some(committed) = &opening.committed {
        value(None, committed);
    }
    if let Some(extent) = opening.entries {
        let numbers = [extent.first, extent.last, extent.last_term];
        bytes.extend(numbers.into_iter().flat_map(u64::to_le_bytes));
    }
    bytes
}

fn decode_opening(bytes: &[u8]) -> Option<Opening> {
    let (present, mut rest) = bytes.split_at_checked(4)?;
    let mut opening = Opening::default();
    if present[0] == 1 {
        let index = take(&mut rest, 8)?;
        opening.purged = Some((number(index, 0)?, take_value(&mut rest)?));
    }
    if present[2] == 1 {
        opening.vote = Some(take_value(&mut rest)?);
    }
    if present[3] == 1 {
        opening.committed = Some(take_value(&mut rest)?);
    }
    if present[1] == 1 {
        let numbers = take(&mut rest, 24)?;
        let (first, last) = (number(numbers, 0)?, number(numbers, 8)?);
        opening.entries = Some(Extent { first, last, last_term: le64(numbers, 16) });
    }
    rest.is_empty().then_some(opening)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(le64(bytes, at)).filter(|number| *number <= NUMBER_MAX)
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(bytes)?;
    *rest = tail;
    Some(head)
}

fn take_value(rest: &mut &[u8]) -> Option<Bytes> {
    let bytes = le32(take(rest, 4)?, 0) as usize;
    take(rest, bytes).map(Bytes::copy_from_slice)
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}
