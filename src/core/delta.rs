//! Deltas: one operation on one record, and what it makes of the record.
//!
//! Applying a delta is total and deterministic: it yields the next image or a [`Rejection`] that
//! names the field, the type or the bound at fault. The bytes of a delta are made once, by whoever
//! sends it, and are hashed and stored as they came.

use crate::{
    id::Timestamp,
    key::Key,
    limits::{LIST_ELEMENTS_MAX, Limits, QUOTE_BYTES_MAX, RECORD_FIELDS_MAX},
    value::{self, Fields, Scalar, Value, ValueKind},
};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One operation on one record.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Delta {
    /// The record.
    pub key: Key,
    /// What to do with it.
    pub op: Op,
}

/// The operations. Missing records and fields count as empty: `add` starts from 0, lists from `[]`.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Op {
    /// Replace the whole record.
    Put(Fields),
    /// Set some fields, keep the others.
    Merge(Fields),
    /// Add to an integer field.
    Add {
        /// The field.
        field: String,
        /// The amount.
        by: i64,
    },
    /// Extend a list.
    Append {
        /// The field.
        field: String,
        /// What to add at the end.
        values: Vec<Scalar>,
    },
    /// Add to a list that is a set: sorted, without repeats.
    Union {
        /// The field.
        field: String,
        /// The members to add.
        values: Vec<Scalar>,
    },
    /// Remove one field.
    RemoveField(String),
    /// Remove the record.
    Delete,
    /// Change nothing; roll back unless this holds.
    Expect(Expect),
}

/// A condition on a record.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Expect {
    /// The committed version is this one; 0 means absent.
    Version(Timestamp),
    /// The field has this value, this transaction's own earlier deltas included.
    Field {
        /// The field.
        field: String,
        /// Its value; `None` means that the field is absent.
        value: Option<Value>,
    },
    /// The record is absent.
    Absent,
    /// The record is there.
    Present,
}

/// Why a delta does not apply. Deterministic: every replica gives the same one.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// The field has another type than the operation needs.
    #[error("field {field:?} is {found:?}, the operation needs {needed:?}")]
    Type {
        /// The field.
        field: String,
        /// Its type.
        found: ValueKind,
        /// The type that the operation needs.
        needed: ValueKind,
    },
    /// An addition left the range of i64.
    #[error("field {field:?}: {value} + {by} overflows a 64-bit integer")]
    Overflow {
        /// The field.
        field: String,
        /// What it holds.
        value: i64,
        /// What was to be added.
        by: i64,
    },
    /// An expectation did not hold.
    #[error("expectation failed: {what}")]
    Expectation {
        /// What was expected and what was found.
        what: String,
    },
    /// The record would be larger than the limit.
    #[error("record would have {bytes} bytes, record_bytes_max is {limit}")]
    RecordSize {
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The record would have more fields than the limit.
    #[error("record would have {fields} fields, record_fields_max is {limit}")]
    RecordFields {
        /// How many.
        fields: u64,
        /// The limit.
        limit: u64,
    },
    /// A list would have more elements than the limit.
    #[error("a list would have {elements} elements, list_elements_max is {limit}")]
    ListElements {
        /// How many.
        elements: u64,
        /// The limit.
        limit: u64,
    },
    /// A field's name is longer than the limit.
    #[error("field name has {bytes} bytes, field_name_bytes_max is {limit}")]
    FieldName {
        /// Its length.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
}

impl Op {
    /// The operation's name, as errors and tokens use it.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Put(_) => "put",
            Op::Merge(_) => "merge",
            Op::Add { .. } => "add",
            Op::Append { .. } => "append",
            Op::Union { .. } => "union",
            Op::RemoveField(_) => "remove_field",
            Op::Delete => "delete",
            Op::Expect(_) => "expect",
        }
    }

    /// Whether it can change the record.
    pub fn writes(&self) -> bool {
        !matches!(self, Op::Expect(_))
    }

    /// The fields that it names; empty where it is about the whole record.
    pub fn fields(&self) -> Vec<&str> {
        match self {
            Op::Put(fields) | Op::Merge(fields) => fields.keys().map(String::as_str).collect(),
            Op::Add { field, .. }
            | Op::Append { field, .. }
            | Op::Union { field, .. }
            | Op::RemoveField(field)
            | Op::Expect(Expect::Field { field, .. }) => alloc::vec![field.as_str()],
            Op::Delete | Op::Expect(_) => Vec::new(),
        }
    }

    /// The record after this operation. `version` is the committed one, `image` what this
    /// transaction has made of it so far; `None` means absent.
    pub fn apply(
        &self,
        version: Timestamp,
        image: Option<Fields>,
        limits: &Limits,
    ) -> Result<Option<Fields>, Rejection> {
        let next = match self {
            Op::Put(fields) => Some(fields.clone()),
            Op::Merge(changes) => {
                let mut fields = image.unwrap_or_default();
                fields.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
                Some(fields)
            }
            Op::Add { field, by } => Some(add(image.unwrap_or_default(), field, *by)?),
            Op::Append { field, values } => {
                Some(extend(image.unwrap_or_default(), field, values, false)?)
            }
            Op::Union { field, values } => {
                Some(extend(image.unwrap_or_default(), field, values, true)?)
            }
            Op::RemoveField(field) => image.map(|mut fields| {
                fields.remove(field);
                fields
            }),
            Op::Delete => None,
            Op::Expect(expect) => {
                expect.check(version, image.as_ref())?;
                return Ok(image);
            }
        };
        check_size(next.as_ref(), limits)?;
        Ok(next)
    }
}

impl Op {
    /// As [`Op::apply`], where the operation is not needed afterwards.
    pub(crate) fn into_image(
        self,
        version: Timestamp,
        image: Option<Fields>,
        limits: &Limits,
    ) -> Result<Option<Fields>, Rejection> {
        let Op::Put(fields) = self else { return self.apply(version, image, limits) };
        check_size(Some(&fields), limits)?;
        Ok(Some(fields))
    }
}

impl Expect {
    fn check(&self, version: Timestamp, image: Option<&Fields>) -> Result<(), Rejection> {
        let failed = |what| Err(Rejection::Expectation { what });
        match self {
            Expect::Version(expected) if *expected != version => {
                failed(alloc::format!("version {expected} was expected, {version} was found"))
            }
            Expect::Field { field, value } => {
                let found = image.and_then(|fields| fields.get(field));
                if found == value.as_ref() {
                    return Ok(());
                }
                let text = |value: Option<&Value>| {
                    value.map_or_else(|| "absent".into(), |value| alloc::format!("{value}"))
                };
                let (found, expected) = (quote(text(found)), quote(text(value.as_ref())));
                let field = quote(field.clone());
                failed(alloc::format!("field {field:?} is {found}, {expected} was expected"))
            }
            Expect::Absent if image.is_some() => failed("absence was expected".into()),
            Expect::Present if image.is_none() => failed("presence was expected".into()),
            _ => Ok(()),
        }
    }
}

fn add(mut fields: Fields, field: &str, by: i64) -> Result<Fields, Rejection> {
    let value = match fields.get(field) {
        None => 0,
        Some(Value::One(Scalar::I64(value))) => *value,
        Some(other) => return Err(mismatch(field, other, ValueKind::I64)),
    };
    let sum = value.checked_add(by).ok_or_else(|| Rejection::Overflow {
        field: quote(field.into()),
        value,
        by,
    })?;
    fields.insert(field.into(), Value::from(sum));
    Ok(fields)
}

fn extend(
    mut fields: Fields,
    field: &str,
    values: &[Scalar],
    as_set: bool,
) -> Result<Fields, Rejection> {
    let mut list = match fields.remove(field) {
        None => Vec::new(),
        Some(Value::List(list)) => list,
        Some(other) => return Err(mismatch(field, &other, ValueKind::List)),
    };
    list.extend_from_slice(values);
    if as_set {
        list.sort();
        list.dedup();
    }
    fields.insert(field.into(), Value::List(list));
    Ok(fields)
}

fn mismatch(field: &str, found: &Value, needed: ValueKind) -> Rejection {
    Rejection::Type { field: quote(field.into()), found: found.kind(), needed }
}

/// The start of a text that a cause quotes.
fn quote(mut text: String) -> String {
    if text.len() > QUOTE_BYTES_MAX {
        let end = (0..=QUOTE_BYTES_MAX).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push_str("...");
    }
    text
}

fn check_counts(fields: &Fields) -> Result<(), Rejection> {
    let count = fields.len() as u64;
    if count > RECORD_FIELDS_MAX {
        return Err(Rejection::RecordFields { fields: count, limit: RECORD_FIELDS_MAX });
    }
    let lists = fields.values().filter_map(|value| match value {
        Value::List(values) => Some(values.len() as u64),
        Value::One(_) => None,
    });
    match lists.max() {
        Some(elements) if elements > LIST_ELEMENTS_MAX => {
            Err(Rejection::ListElements { elements, limit: LIST_ELEMENTS_MAX })
        }
        _ => Ok(()),
    }
}

fn check_size(image: Option<&Fields>, limits: &Limits) -> Result<(), Rejection> {
    let Some(fields) = image else { return Ok(()) };
    check_counts(fields)?;
    let bytes = value::size_bytes(fields);
    if bytes > limits.record_bytes_max {
        return Err(Rejection::RecordSize { bytes, limit: limits.record_bytes_max });
    }
    let longest = fields.keys().map(|name| name.len() as u64).max().unwrap_or(0);
    if longest > limits.field_name_bytes_max {
        let limit = limits.field_name_bytes_max;
        return Err(Rejection::FieldName { bytes: longest, limit });
    }
    Ok(())
}
