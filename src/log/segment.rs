//! The header of a segment file, and the format written down.
//!
//! ```text
//! segment  = header (64 bytes) · opening frame per replica · frames ... · old bytes · header again
//! header   = magic 8 · version 4 · epoch 4 · segment bytes 8 · batch 8 · previous end 4 · oldest 4
//!            · openings 4 · salt 16 · crc32 4 (of all before it)
//! ```
//!
//! Epochs count segments, oldest to newest, without gaps; a recycled slot gets the next one.
//! `previous end` says where the segment before it ends, so only the newest segment has a tail that
//! must be judged; `oldest` is the first epoch that recovery needs. The header is written in one
//! batch with the openings: a segment whose openings are not whole was never opened.
//!
//! Without the salt none of its frames can be told from other bytes, so a damaged header must not
//! cost the segment: it is kept twice, as far from each other as can be. Entries never lie where
//! either is kept.

use crate::frame::{NUMBER_MAX, le32, le64};
use crate::salt::{SALT_BYTES, Salt};

pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
/// 1 had no salt: its frames could be forged by whoever chose the bytes of an entry.
pub(crate) const FORMAT_VERSION: u32 = 2;
const MAGIC: [u8; 8] = *b"VATICLOG";
const SALT_AT: usize = 44;
const CRC_AT: usize = SALT_AT + SALT_BYTES;

/// Where the headers of a segment of that length lie; its frames end at the second.
pub(crate) fn header_offsets(segment_bytes: u32) -> [u32; 2] {
    [0, segment_bytes - SEGMENT_HEADER_BYTES as u32]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: u32,
    pub(crate) segment_bytes: u64,
    /// The batch that this header was written in.
    pub(crate) batch: u64,
    pub(crate) previous_end: u32,
    pub(crate) oldest: u32,
    pub(crate) openings: u32,
    pub(crate) salt: Salt,
}

/// What the first bytes of a slot say.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SlotHeader {
    Valid(SegmentHeader),
    OtherVersion(u32),
    /// Never opened, torn, or damaged.
    None,
}

impl SlotHeader {
    /// Which of a slot's two headers is newer; one of another version is never passed over.
    pub(crate) fn epoch(&self) -> Option<u32> {
        match self {
            SlotHeader::Valid(header) => Some(header.epoch),
            SlotHeader::OtherVersion(_) => Some(u32::MAX),
            SlotHeader::None => None,
        }
    }
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
        bytes[SALT_AT..CRC_AT].copy_from_slice(&self.salt.0);
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> SlotHeader {
        let version = le32(bytes, 8);
        // Version 1 had its crc where the salt is now.
        let crc_at = if version == 1 { SALT_AT } else { CRC_AT };
        if bytes[..8] != MAGIC || le32(bytes, crc_at) != crc32fast::hash(&bytes[..crc_at]) {
            return SlotHeader::None;
        }
        if version != FORMAT_VERSION {
            return SlotHeader::OtherVersion(version);
        }
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&bytes[SALT_AT..CRC_AT]);
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
            salt: Salt(salt),
        })
    }
}
