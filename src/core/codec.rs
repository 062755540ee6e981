//! Bytes for the disk and the wire: one format byte, then postcard.
//!
//! postcard's format is specified and compact. The leading byte says which shape follows, so that
//! a later release can read what an older one wrote. Digests never depend on this encoding, with
//! one exception that is meant: a delta's bytes are hashed as they were sent.

use alloc::vec::Vec;
use serde::{Serialize, de::DeserializeOwned};

/// The format that this build writes, and the only one that it reads.
pub const FORMAT: u8 = 1;

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

/// Encodes a value behind the format byte.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = alloc::vec![FORMAT];
    let body = postcard::to_allocvec(value).expect("in-memory values of known length encode");
    bytes.extend_from_slice(&body);
    bytes
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
