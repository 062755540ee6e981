//! A running digest of all that happened, to compare two runs of one seed byte for byte.
//!
//! Every event's time and kind goes in, each effect of each coordinator, and the chain digest and
//! state digest of every entry that any replica applies, so that equal digests mean equal histories
//! down to the stored bytes.

use std::hash::{Hash, Hasher};

/// The digest so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Trace(u64);

impl Trace {
    pub(crate) fn new() -> Trace {
        Trace(0x6A09_E667_F3BC_C908)
    }

    pub(crate) fn note(&mut self, values: &[u64]) {
        for &value in values {
            self.0 = mix(self.0 ^ value);
        }
    }

    /// Notes whatever can be hashed.
    pub(crate) fn note_all(&mut self, noted: &impl Hash) {
        noted.hash(self);
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

impl Hasher for Trace {
    fn write(&mut self, bytes: &[u8]) {
        self.note(&[digest_of(bytes)]);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A 64-bit digest of a byte string: not against attackers, only against accident.
pub(crate) fn digest_of(bytes: &[u8]) -> u64 {
    let mut digest = mix(bytes.len() as u64 ^ 0x3C6E_F372_FE94_F82B);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        digest = mix(digest ^ u64::from_le_bytes(word));
    }
    digest
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
    (value ^ (value >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
}
