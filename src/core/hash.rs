//! SHA-256 digests with a domain tag and unambiguous framing.
//!
//! Every digest that leaves a process is built by [`Hasher`], field by field, so that another
//! language can recompute it from the documentation alone: no serialisation library takes part.
//! Invariant: two different field lists never feed the same bytes, since integers have a fixed
//! width and byte strings carry their length.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Hash(#[serde(with = "serde_bytes")] pub [u8; 32]);

impl Hash {
    /// The digest that no input has: stands for "nothing yet".
    pub const ZERO: Hash = Hash([0; 32]);

    /// Lower-case hexadecimal, 64 characters.
    pub fn to_hex(&self) -> String {
        alloc::format!("{self}")
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Feeds framed fields into SHA-256. Integers are big-endian.
#[derive(Clone)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a digest in the domain `tag`, which is fed as a length-prefixed field.
    pub fn new(tag: &str) -> Self {
        Hasher(Sha256::new()).bytes(tag.as_bytes())
    }

    /// A byte string: its length as u64, then itself.
    #[inline]
    #[must_use]
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.feed_bytes(bytes);
        self
    }

    /// Eight bytes, big-endian.
    #[inline]
    #[must_use]
    pub fn u64(mut self, value: u64) -> Self {
        self.feed_u64(value);
        self
    }

    /// Another digest, 32 bytes without a length.
    #[inline]
    #[must_use]
    pub fn hash(mut self, hash: &Hash) -> Self {
        self.0.update(hash.0);
        self
    }

    /// As [`Hasher::bytes`], in place.
    pub(crate) fn feed_bytes(&mut self, bytes: &[u8]) {
        self.feed_u64(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// As [`Hasher::u64`], in place.
    #[inline]
    pub(crate) fn feed_u64(&mut self, value: u64) {
        self.0.update(value.to_be_bytes());
    }

    /// Closes the digest.
    pub fn finish(self) -> Hash {
        Hash(self.0.finalize().into())
    }
}
