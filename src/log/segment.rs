//! The header of a segment file, and the format written down.
//!
//! ```text
//! segment  = header (64 bytes) · opening frame per replica · frames ... · old bytes
//! header   = magic 8 · version 4 · epoch 4 · segment bytes 8 · batch 8 · previous end 4 · oldest 4
//!            · openings 4 · crc32 4 (of all before it) · zeros 16
//! ```
//!
//! Epochs count segments, oldest to newest, without gaps; a recycled slot gets the next one.
//! `previous end` says where the segment before it ends, so only the newest segment has a tail that
//! must be judged; `oldest` is the first epoch that recovery needs. The header is written in one
//! batch with the openings: a segment whose openings are not whole was never opened.

use crate::frame::{NUMBER_MAX, le32, le64};

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const FORMAT_VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"VATICLOG";
const CRC_AT: usize = 44;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: u32,
    pub(crate) segment_bytes: u64,
    /// The batch that this header was written in.
    pub(crate) batch: u64,
    pub(crate) previous_end: u32,
    pub(crate) oldest: u32,
    pub(crate) openings: u32,
}

/// What the first bytes of a slot say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SlotHeader {
    Valid(SegmentHeader),
    OtherVersion(u32),
    /// Never opened, torn, or damaged: the frames behind it tell which.
    None,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.segment_bytes.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.batch.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.oldest.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.openings.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> SlotHeader {
        if bytes.len() < SEGMENT_HEADER_BYTES
            || bytes[..8] != MAGIC
            || le32(bytes, CRC_AT) != crc32fast::hash(&bytes[..CRC_AT])
        {
            return SlotHeader::None;
        }
        let version = le32(bytes, 8);
        if version != FORMAT_VERSION {
            return SlotHeader::OtherVersion(version);
        }
        let (epoch, batch) = (le32(bytes, 12), le64(bytes, 24));
        if epoch == u32::MAX || batch > NUMBER_MAX {
            return SlotHeader::None;
        }
        SlotHeader::Valid(SegmentHeader {
            epoch,
            segment_bytes: le64(bytes, 16),
            batch,
            previous_end: le32(bytes, 32),
            oldest: le32(bytes, 36),
            openings: le32(bytes, 40),
        })
    }
}
