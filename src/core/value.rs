//! Typed values of record fields.
//!
//! Floats are kept as bits: the core compares and copies them, and never computes with them, so
//! every replica agrees on them to the bit. Lists hold scalars only: input cannot nest, so
//! decoding it cannot exhaust the stack.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A value that is not a list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A signed 64-bit integer; the only type that `add` takes.
    I64(i64),
    /// An IEEE 754 double by its bits.
    F64(u64),
    /// UTF-8 text.
    String(String),
    /// Arbitrary bytes.
    Bytes(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// One field's value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Value {
    /// A single value.
    One(Scalar),
    /// A list, which `append` extends and `union` treats as a sorted set.
    List(Vec<Scalar>),
}

impl Value {
    /// The type, for errors.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::One(Scalar::Bool(_)) => ValueKind::Bool,
            Value::One(Scalar::I64(_)) => ValueKind::I64,
            Value::One(Scalar::F64(_)) => ValueKind::F64,
            Value::One(Scalar::String(_)) => ValueKind::String,
            Value::One(Scalar::Bytes(_)) => ValueKind::Bytes,
            Value::List(_) => ValueKind::List,
        }
    }

    /// What it counts against a record's size limit, in bytes.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Value::One(scalar) => scalar.size_bytes(),
            Value::List(values) => values.iter().map(|value| 1 + value.size_bytes()).sum(),
        }
    }

    /// The integer inside, if it is one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::One(Scalar::I64(value)) => Some(*value),
            _ => None,
        }
    }
}

impl Scalar {
    /// What it counts against a record's size limit, in bytes.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Scalar::Bool(_) => 1,
            Scalar::I64(_) | Scalar::F64(_) => 8,
            Scalar::String(text) => text.len() as u64,
            Scalar::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::I64(value) => write!(f, "{value}"),
            Scalar::F64(bits) => write!(f, "double {bits:#018x}"),
            Scalar::String(text) => write!(f, "{text:?}"),
            Scalar::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::One(scalar) => fmt::Display::fmt(scalar, f),
            Value::List(values) => {
                let separators = core::iter::once("").chain(core::iter::repeat(", "));
                f.write_str("[")?;
                for (value, separator) in values.iter().zip(separators) {
                    write!(f, "{separator}{value}")?;
                }
                f.write_str("]")
            }
        }
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::One(Scalar::I64(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::One(Scalar::String(value.into()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::One(Scalar::Bool(value))
    }
}

/// The type of a [`Value`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ValueKind {
    Bool,
    I64,
    F64,
    String,
    Bytes,
    List,
}

/// A record's fields by name.
pub type Fields = BTreeMap<String, Value>;

/// What a record counts against the size limit, in bytes.
pub fn size_bytes(fields: &Fields) -> u64 {
    fields.iter().map(|(name, value)| name.len() as u64 + 2 + value.size_bytes()).sum()
}
