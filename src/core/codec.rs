//! Bytes for the disk and the wire: one format byte, then postcard.
//!
//! postcard's format is specified and compact. The leading byte says which shape follows, so that
//! a later release can read what an older one wrote. Digests never depend on this encoding, with
//! one exception that is meant: a delta's bytes are hashed as they were sent.

use alloc::vec::Vec;
use postcard::ser_flavors::{Flavor, Size};
use serde::{Serialize, de::DeserializeOwned};

/// The format that this build writes, and the only one that it reads.
pub const FORMAT: u8 = 4;

/// Why bytes could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, serde::Deserialize, thiserror::Error)]
pub enum DecodeError {
    /// There was not even a format byte.
    #[error("empty input where format {FORMAT} was expected")]
    Empty,
    /// The format byte is one that this build does not know.
    #[error("format {found} where {FORMAT} was expected")]
    Format {
        /// The byte that was found.
        found: u8,
    },
    /// The bytes after the format byte do not parse, or some are left over.
    #[error("bytes do not parse as this format")]
    Malformed,
}

/// Room for most of what is encoded: growing from nothing costs a copy at each doubling.
const ROOM_BYTES: usize = 512;

/// Bytes that grow behind those that are there already, a run of them at a time.
struct Sink(Vec<u8>);

impl Flavor for Sink {
    type Output = Vec<u8>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

/// Encodes a value behind the format byte.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM_BYTES);
    bytes.push(FORMAT);
    postcard::serialize_with_flavor(value, Sink(bytes))
        .expect("in-memory values of known length encode")
}

/// How many bytes [`encode`] gives.
pub fn encoded_bytes<T: Serialize>(value: &T) -> usize {
    let counted = postcard::serialize_with_flavor(value, Size::default());
    1 + counted.expect("in-memory values of known length encode")
}

/// Decodes the first fields alone of what [`encode`] wrote.
pub(crate) fn decode_first<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (&format, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if format != FORMAT {
        return Err(DecodeError::Format { found: format });
    }
    postcard::take_from_bytes(body).map(|(value, _)| value).map_err(|_| DecodeError::Malformed)
}

/// Decodes what [`encode`] wrote; leftover bytes are an error.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (&format, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if format != FORMAT {
        return Err(DecodeError::Format { found: format });
    }
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok(value),
        _ => Err(DecodeError::Malformed),
    }
}
