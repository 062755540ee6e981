//! The bytes on disk: keys, sealed values, pointer records. Format version 1.
//!
//! ```text
//! database   key                                          value (sealed)
//! state      group u32 | generation u32 | incarnation u32 | key    the value
//! replicas   group u32 | generation u32                   incarnation u32 | mark
//! garbage    group u32 | generation u32 | incarnation u32 nothing
//! meta       "format"                                     version u32
//!            "incarnation"                                next incarnation u32
//! ```
//!
//! A sealed value is `crc32(key | value) u32 | value`. LMDB pages carry no checksum, so this is
//! what notices a rotten disk; the key is part of it, so that a value under the wrong key is
//! noticed too. A mark is `0u8`, or `1u8 | index u64 | meta`. Integers are big-endian: keys then
//! sort by number, and values need no second convention.

use bytes::Bytes;

use crate::id::{Incarnation, Mark, ReplicaId};

/// The version that this build writes and reads.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// LMDB's own bound on a key, as built (`MDB_MAXKEYSIZE`).
const LMDB_KEY_BYTES_MAX: usize = 511;

pub(crate) const PREFIX_BYTES: usize = 12;

/// The longest key that a replica's state can hold, in bytes. A proposal that would write a
/// longer one must be refused before it reaches the log.
pub const KEY_BYTES_MAX: usize = LMDB_KEY_BYTES_MAX - PREFIX_BYTES;

/// The longest value, in bytes: LMDB counts sizes in 32 bits, and the seal takes four bytes.
pub const VALUE_BYTES_MAX: usize = u32::MAX as usize - SEAL_BYTES;

const SEAL_BYTES: usize = 4;

/// What all keys of one incarnation of one replica start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(pub(crate) [u8; PREFIX_BYTES]);

impl Prefix {
    pub(crate) fn new(id: ReplicaId, incarnation: Incarnation) -> Prefix {
        let mut bytes = [0; PREFIX_BYTES];
        bytes[..8].copy_from_slice(&replica_key(id));
        bytes[8..].copy_from_slice(&incarnation.0.to_be_bytes());
        Prefix(bytes)
    }

    /// Writes `prefix | key` into `buffer`, replacing what was there.
    pub(crate) fn join<'b>(&self, key: &[u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
        buffer.clear();
        buffer.extend_from_slice(&self.0);
        buffer.extend_from_slice(key);
        buffer
    }

    /// The first key past all keys with this prefix.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        while bytes.last() == Some(&u8::MAX) {
            bytes.pop();
        }
        // All ones would need 2^32 groups, generations and incarnations at once.
        *bytes.last_mut().expect("a prefix of all ones is never given out") += 1;
        bytes
    }
}

pub(crate) fn replica_key(id: ReplicaId) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&id.group.to_be_bytes());
    bytes[4..].copy_from_slice(&id.generation.to_be_bytes());
    bytes
}

pub(crate) fn replica_of(key: &[u8]) -> Option<ReplicaId> {
    let (group, rest) = key.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (group, generation) = (u32::from_be_bytes(*group), u32::from_be_bytes(*generation));
    rest.is_empty().then_some(ReplicaId { group, generation })
}

/// Writes the sealed form of `value` under `key` into `buffer`, replacing what was there.
pub(crate) fn seal<'b>(key: &[u8], value: &[u8], buffer: &'b mut Vec<u8>) -> &'b [u8] {
    buffer.clear();
    buffer.extend_from_slice(&checksum(key, value).to_be_bytes());
    buffer.extend_from_slice(value);
    buffer
}

/// The value inside a sealed one, or `None` where it is damaged.
pub(crate) fn unseal<'v>(key: &[u8], sealed: &'v [u8]) -> Option<&'v [u8]> {
    let (crc, value) = sealed.split_first_chunk::<SEAL_BYTES>()?;
    (u32::from_be_bytes(*crc) == checksum(key, value)).then_some(value)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(value);
    hasher.finalize()
}

/// What the `replicas` database says of one replica: which incarnation is live, and its mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    pub(crate) incarnation: Incarnation,
    pub(crate) mark: Option<Mark>,
}

impl Pointer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.incarnation.0.to_be_bytes().to_vec();
        encode_mark(self.mark.as_ref(), &mut bytes);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Pointer> {
        let (incarnation, rest) = bytes.split_first_chunk()?;
        let incarnation = Incarnation(u32::from_be_bytes(*incarnation));
        Some(Pointer { incarnation, mark: decode_mark(rest)? })
    }
}

pub(crate) fn encode_mark(mark: Option<&Mark>, into: &mut Vec<u8>) {
    match mark {
        None => into.push(0),
        Some(mark) => {
            into.push(1);
            into.extend_from_slice(&mark.index.to_be_bytes());
            into.extend_from_slice(&mark.meta);
        }
    }
}

/// `None`: not a mark. `Some(None)`: the mark of a state that has applied nothing.
pub(crate) fn decode_mark(bytes: &[u8]) -> Option<Option<Mark>> {
    match bytes.split_first()? {
        (0, []) => Some(None),
        (1, rest) => {
            let (index, meta) = rest.split_first_chunk()?;
            let meta = Bytes::copy_from_slice(meta);
            Some(Some(Mark { index: u64::from_be_bytes(*index), meta }))
        }
        _ => None,
    }
}
