//! Names of records, and ranges of them.
//!
//! A record is named by (collection, partition, sort); its text form is
//! `collection/partition[/sort]`. The ring hashes the partition alone, so records of one partition
//! share a group whatever their collection. The encoded form sorts as the triple does and no
//! encoded key is a prefix of another: each component escapes `00` as `00 FF` and ends in `00 01`.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};

/// Longest component, in bytes.
pub const COMPONENT_BYTES_MAX: usize = 128;

/// Longest encoded key, in bytes: only NUL bytes, which are escaped, can make it matter. With a
/// tag and a version or transaction id behind it a key must fit LMDB's 511 bytes, less what the
/// store adds.
pub const ENCODED_BYTES_MAX: usize = 448;

/// Collections that start so belong to vatic itself; clients may not name them.
pub const RESERVED_PREFIX: char = '$';

/// The name of a record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// What kind of record it is, such as `account`.
    pub collection: String,
    /// The unit of placement: all records of one partition share a group.
    pub partition: String,
    /// Orders records inside a partition; may be empty.
    pub sort: String,
}

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum KeyError {
    /// The collection or the partition is empty.
    #[error("key {key:?}: {component} is empty")]
    Empty {
        /// The key as given.
        key: String,
        /// Which component.
        component: String,
    },
    /// A component is longer than [`COMPONENT_BYTES_MAX`].
    #[error("key {key:?}: {component} has {bytes} bytes, the limit is {COMPONENT_BYTES_MAX}")]
    Long {
        /// The key as given.
        key: String,
        /// Which component.
        component: String,
        /// Its length.
        bytes: u64,
    },
    /// The encoded key is longer than [`ENCODED_BYTES_MAX`].
    #[error("key {key:?}: encoded it has {bytes} bytes, the limit is {ENCODED_BYTES_MAX}")]
    Encoded {
        /// The key as given.
        key: String,
        /// Its encoded length.
        bytes: u64,
    },
    /// The collection or the partition holds a `/`.
    #[error("key {key:?}: {component} holds a '/'")]
    Slash {
        /// The key as given.
        key: String,
        /// Which component.
        component: String,
    },
    /// The collection is reserved.
    #[error("key {key:?}: collections that start with '$' are reserved")]
    Reserved {
        /// The key as given.
        key: String,
    },
}

impl Key {
    /// A key that a client may name.
    pub fn new(collection: &str, partition: &str, sort: &str) -> Result<Key, KeyError> {
        let key =
            Key { collection: collection.into(), partition: partition.into(), sort: sort.into() };
        key.check()?;
        Ok(key)
    }

    /// Whether a client may name it; what arrives from outside is checked again by each group.
    pub fn check(&self) -> Result<(), KeyError> {
        let text = || alloc::format!("{self}");
        for (component, value) in [("collection", &self.collection), ("partition", &self.partition)]
        {
            let component = || String::from(component);
            if value.is_empty() {
                return Err(KeyError::Empty { key: text(), component: component() });
            }
            if value.contains('/') {
                return Err(KeyError::Slash { key: text(), component: component() });
            }
        }
        for (component, value) in
            [("collection", &self.collection), ("partition", &self.partition), ("sort", &self.sort)]
        {
            if value.len() > COMPONENT_BYTES_MAX {
                let bytes = value.len() as u64;
                return Err(KeyError::Long { key: text(), component: component.into(), bytes });
            }
        }
        if self.collection.starts_with(RESERVED_PREFIX) {
            return Err(KeyError::Reserved { key: text() });
        }
        let bytes = self.encoded_bytes();
        if bytes > ENCODED_BYTES_MAX {
            return Err(KeyError::Encoded { key: text(), bytes: bytes as u64 });
        }
        Ok(())
    }

    /// Bytes that sort as the key does.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes);
        bytes
    }

    /// Appends what [`Key::encode`] gives.
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) {
        bytes.reserve(self.encoded_bytes());
        for component in self.components() {
            encode_component(component, bytes);
        }
    }

    /// The length of the encoded form.
    fn encoded_bytes(&self) -> usize {
        let escaped = |component: &str| component.bytes().filter(|byte| *byte == 0).count();
        self.components().map(|component| component.len() + escaped(component) + 2).iter().sum()
    }

    fn components(&self) -> [&str; 3] {
        [&self.collection, &self.partition, &self.sort]
    }

    /// Reads what [`Key::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Key> {
        let (collection, rest) = decode_component(bytes)?;
        let (partition, rest) = decode_component(rest)?;
        let (sort, rest) = decode_component(rest)?;
        rest.is_empty().then_some(Key { collection, partition, sort })
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '/');
        let mut next = || parts.next().unwrap_or_default();
        Key::new(next(), next(), next())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.partition)?;
        if self.sort.is_empty() { Ok(()) } else { write!(f, "/{}", self.sort) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Records of one collection and partition with `from <= sort < to`; no `to` means to the end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct KeyRange {
    /// The collection.
    pub collection: String,
    /// The partition.
    pub partition: String,
    /// First sort value inside.
    pub from: String,
    /// First sort value outside, if there is one.
    pub to: Option<String>,
}

impl KeyRange {
    /// The whole of a partition in one collection.
    pub fn partition(collection: &str, partition: &str) -> KeyRange {
        KeyRange {
            collection: collection.into(),
            partition: partition.into(),
            from: String::new(),
            to: None,
        }
    }

    /// One record alone.
    pub fn only(key: &Key) -> KeyRange {
        let Key { collection, partition, sort } = key.clone();
        let to = Some([sort.as_str(), "\0"].concat());
        KeyRange { collection, partition, from: sort, to }
    }

    /// Whether a client may name it: as a key, and with bounds no longer than a sort value and the
    /// NUL that stands for "just after".
    pub fn check(&self) -> Result<(), KeyError> {
        Key::new(&self.collection, &self.partition, "")?;
        let longest = self.to.as_ref().map_or(0, String::len).max(self.from.len());
        if longest > COMPONENT_BYTES_MAX + 1 {
            let key = [self.collection.as_str(), "/", self.partition.as_str()].concat();
            return Err(KeyError::Long { key, component: "sort".into(), bytes: longest as u64 });
        }
        Ok(())
    }

    /// Encoded bounds: the first inside and the first outside.
    pub fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let mut prefix = Vec::new();
        encode_component(&self.collection, &mut prefix);
        encode_component(&self.partition, &mut prefix);
        let mut from = prefix.clone();
        encode_component(&self.from, &mut from);
        let mut to = prefix;
        match &self.to {
            Some(sort) => encode_component(sort, &mut to),
            // Above every escaped component: no UTF-8 text holds FF.
            None => to.push(0xFF),
        }
        (from, to)
    }

    /// Whether an encoded key lies inside.
    pub fn contains(&self, encoded: &[u8]) -> bool {
        let (from, to) = self.bounds();
        from.as_slice() <= encoded && encoded < to.as_slice()
    }
}

impl fmt::Display for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.as_deref().unwrap_or("");
        write!(f, "{}/{}/[{}..{})", self.collection, self.partition, self.from, to)
    }
}

fn encode_component(component: &str, bytes: &mut Vec<u8>) {
    for &byte in component.as_bytes() {
        bytes.push(byte);
        if byte == 0 {
            bytes.push(0xFF);
        }
    }
    bytes.extend_from_slice(&[0, 1]);
}

fn decode_component(bytes: &[u8]) -> Option<(String, &[u8])> {
    let mut component = Vec::new();
    let mut at = 0;
    loop {
        match (*bytes.get(at)?, bytes.get(at + 1)) {
            (0, Some(0xFF)) => {
                component.push(0);
                at += 2;
            }
            (0, Some(1)) => return Some((String::from_utf8(component).ok()?, &bytes[at + 2..])),
            (0, _) => return None,
            (byte, _) => {
                component.push(byte);
                at += 1;
            }
        }
    }
}
