//! Short names for wire values.

use std::collections::HashMap;

use vatic_client::Record;
use vatic_core::key::Key;
use vatic_core::value::{Fields, Scalar, Value};
use vatic_proto::v1::{self, delta::Operation, value::Kind};

/// A record's name on the wire.
pub fn key(collection: &str, partition: &str, sort: &str) -> v1::Key {
    v1::Key { collection: collection.into(), partition: partition.into(), sort: sort.into() }
}

/// The same in the core's type.
pub fn core_key(key: &v1::Key) -> Key {
    Key::new(&key.collection, &key.partition, &key.sort).expect("a sound key")
}

/// A whole number on the wire.
pub fn int(value: i64) -> v1::Value {
    v1::Value { kind: Some(Kind::IntValue(value)) }
}

/// A text on the wire.
pub fn text(value: impl Into<String>) -> v1::Value {
    v1::Value { kind: Some(Kind::StringValue(value.into())) }
}

/// Replaces a record by one with a single field, `value`.
pub fn put(key: &v1::Key, value: v1::Value) -> v1::Delta {
    let fields =
        v1::Fields { fields: HashMap::from([("value".into(), value)]).into_iter().collect() };
    operation(key, Operation::Put(fields))
}

/// Adds to the field `value`.
pub fn add(key: &v1::Key, amount: i64) -> v1::Delta {
    operation(key, Operation::Add(v1::AddOperation { field: "value".into(), amount }))
}

/// Rolls back unless the record has this version.
pub fn expect_version(key: &v1::Key, version: u64) -> v1::Delta {
    let condition = Some(v1::expect_operation::Condition::Version(version));
    operation(key, Operation::Expect(v1::ExpectOperation { condition }))
}

/// Rolls back unless there is no record.
pub fn expect_absent(key: &v1::Key) -> v1::Delta {
    let condition = Some(v1::expect_operation::Condition::Absent(true));
    operation(key, Operation::Expect(v1::ExpectOperation { condition }))
}

/// Any operation on a record.
pub fn operation(key: &v1::Key, operation: Operation) -> v1::Delta {
    v1::Delta { key: Some(key.clone()), operation: Some(operation) }
}

/// Numbers transitions from 1.
pub fn transitions(deltas: Vec<v1::Delta>) -> Vec<v1::Transition> {
    let numbered = (1..).zip(deltas);
    numbered.map(|(seq, delta)| transition(seq, delta)).collect()
}

/// One transition, its digest left to the gateway.
pub fn transition(seq: u64, delta: v1::Delta) -> v1::Transition {
    v1::Transition { seq, body: Some(v1::transition::Body::Delta(delta)), digest: None }
}

/// Fields with a single number, `value`.
pub fn fields(value: i64) -> Fields {
    Fields::from([("value".to_owned(), Value::from(value))])
}

/// The number in the field `value` of a record that a client read; 0 where it is absent.
pub fn number(record: Option<&Record>) -> i64 {
    match record.and_then(|record| record.fields.get("value")) {
        Some(Value::One(Scalar::I64(number))) => *number,
        None => 0,
        other => panic!("{other:?} is no whole number"),
    }
}

/// The number in the field `value` of a record on the wire; `None` where the record is absent.
pub fn wire_number(read: &v1::RecordRead) -> Option<i64> {
    match read.record.as_ref()?.fields.get("value")?.kind {
        Some(Kind::IntValue(number)) => Some(number),
        ref other => panic!("{other:?} is no whole number"),
    }
}
