//! What one Raft entry carries: many commands; and what applying it gives back: a reply for each.
//!
//! Why many: one entry a command costs an fsync share, a message and an apply step each; together
//! they cost seven times less (measured before this was built).
//!
//! Invariants: commands are opaque here and keep their order; a batch is serialized as one block,
//! so that reading one back allocates once, not once a command.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The commands of one entry, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Commands(pub(crate) Vec<Bytes>);

/// The replies to the commands of one entry, in their order. They stay in this process; openraft
/// wants them to be serializable all the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replies(pub(crate) Vec<Bytes>);

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} commands", self.0.len())
    }
}

impl Serialize for Commands {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let size = self.0.iter().map(|command| command.len() + 4).sum::<usize>();
        let mut block = BytesMut::with_capacity(size);
        for command in &self.0 {
            let length = u32::try_from(command.len()).map_err(serde::ser::Error::custom)?;
            block.put_u32_le(length);
            block.put_slice(command);
        }
        serializer.serialize_bytes(&block)
    }
}

impl<'de> Deserialize<'de> for Commands {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut block = Bytes::deserialize(deserializer)?;
        let mut commands = Vec::new();
        while block.has_remaining() {
            if block.remaining() < 4 {
                return Err(D::Error::custom("a command's length is cut off"));
            }
            let length = block.get_u32_le() as usize;
            if block.remaining() < length {
                return Err(D::Error::custom("a command is cut off"));
            }
            commands.push(block.split_to(length));
        }
        Ok(Self(commands))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Commands;

    #[test]
    fn commands_come_back_as_they_were_written() {
        for commands in [vec![], vec![Bytes::new()], vec!["a".into(), "".into(), "bc".into()]] {
            let written = postcard::to_allocvec(&Commands(commands.clone())).unwrap();
            assert_eq!(postcard::from_bytes::<Commands>(&written).unwrap().0, commands);
        }
    }

    #[test]
    fn block_that_is_cut_off_is_refused() {
        let written = postcard::to_allocvec(&[3u8, 5, 0][..]).unwrap();
        assert!(postcard::from_bytes::<Commands>(&written).is_err());
    }
}
