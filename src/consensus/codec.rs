//! How what this crate stores and sends becomes bytes: a format byte, then postcard.
//!
//! Why the byte: a later version must be able to tell what an older one wrote, on disk and on the
//! wire, and an older one must refuse what it cannot read instead of misreading it.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The one format so far. It stands before every stored value and every message body.
const FORMAT: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("no bytes where a value was expected")]
    Empty,
    #[error("format version {0} is not known here (this build reads version {FORMAT})")]
    Format(u8),
    #[error("the value is damaged: {0}")]
    Damaged(postcard::Error),
    #[error("{0} bytes are left over behind the value")]
    Trailing(usize),
}

impl From<DecodeError> for std::io::Error {
    fn from(error: DecodeError) -> Self {
        Self::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// # Panics
/// Never for the types of this crate: postcard fails only on types that cannot tell their length.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let written = postcard::to_extend(value, vec![FORMAT]);
    written.expect("a value whose length is known serializes").into()
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    match bytes.split_first() {
        None => Err(DecodeError::Empty),
        Some((&FORMAT, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(DecodeError::Trailing(rest.len())),
            Err(error) => Err(DecodeError::Damaged(error)),
        },
        Some((&format, _)) => Err(DecodeError::Format(format)),
    }
}

#[cfg(test)]
mod tests {
    use super::{DecodeError, decode, encode};

    #[test]
    fn value_comes_back_as_it_was_written() {
        assert_eq!(decode::<(u64, Option<u32>)>(&encode(&(7u64, Some(9u32)))), Ok((7, Some(9))));
    }

    #[test]
    fn value_of_another_format_is_refused() {
        let mut bytes = encode(&7u64).to_vec();
        bytes[0] = 2;
        assert_eq!(decode::<u64>(&bytes), Err(DecodeError::Format(2)));
        assert_eq!(decode::<u64>(&[]), Err(DecodeError::Empty));
    }

    #[test]
    fn value_with_a_tail_is_refused() {
        let mut bytes = encode(&7u64).to_vec();
        bytes.push(0);
        assert_eq!(decode::<u64>(&bytes), Err(DecodeError::Trailing(1)));
    }
}
