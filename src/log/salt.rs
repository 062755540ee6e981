//! The salt of one use of a segment, and the checksums that are keyed with it.
//!
//! Clients choose the bytes of entries, and a segment is recycled with all that it held. What tells
//! a frame from such bytes is a secret: its sums are SipHash-1-3 under a salt that is drawn when
//! the segment is begun, and is kept in its header alone. A frame's header has 64 bits of it: each
//! multiple of 8 behind the end is a place to try, 2^23 of them in 64 MiB, and 32 bits would let
//! one of these through in every 512th start. A payload's 32 bits are tried once a crash, by a torn
//! write.
//!
//! The offset is part of it: a copy of a frame, even one of this very use, verifies nowhere else.

use siphasher::sip::SipHasher13;

use crate::frame::HEADER_REST_BYTES;

pub(crate) const SALT_BYTES: usize = 16;

/// What is drawn when a segment is begun. It is not shown: nobody should learn it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Salt(pub(crate) [u8; SALT_BYTES]);

/// The place of one frame: an offset in one use of a segment.
#[derive(Clone, Copy)]
pub(crate) struct Seal {
    salt: Salt,
    offset: u32,
}

impl Salt {
    pub(crate) fn at(self, offset: u32) -> Seal {
        Seal { salt: self, offset }
    }
}

impl Seal {
    /// Of a frame's header behind its sum.
    pub(crate) fn header_sum(&self, header: &[u8; HEADER_REST_BYTES]) -> u64 {
        let mut sealed = [0; 8 + HEADER_REST_BYTES];
        sealed[..4].copy_from_slice(&self.offset.to_le_bytes());
        sealed[8..].copy_from_slice(header);
        self.hasher().hash(&sealed)
    }

    /// The low half of the hash.
    pub(crate) fn payload_sum(&self, payload: &[u8]) -> u32 {
        self.hasher().hash(payload) as u32
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_key(&self.salt.0)
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt")
    }
}
