//! What a server may not leave out, and what arrives as it was.

use bytes::Bytes;
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::value::{Scalar, Value};
use vatic_proto::v1;

use crate::convert;
use crate::outcome::{Cause, Outcome};

fn wire(kind: v1::value::Kind) -> v1::Value {
    v1::Value { kind: Some(kind) }
}

fn record(value: v1::Value) -> v1::Record {
    let key = v1::Key { collection: "c".into(), partition: "p".into(), sort: "s".into() };
    v1::Record { key: Some(key), fields: [("f".to_owned(), value)].into(), version: 9 }
}

#[test]
fn record_arrives_with_its_types() {
    let values = vec![wire(v1::value::Kind::IntValue(-1)), wire(v1::value::Kind::BoolValue(true))];
    let list = wire(v1::value::Kind::ListValue(v1::ListValue { values }));
    let found = convert::record_in(record(list)).unwrap();
    assert_eq!(found.key.to_string(), "c/p/s");
    assert_eq!(found.version, Timestamp(9));
    assert_eq!(found.fields["f"], Value::List(vec![Scalar::I64(-1), Scalar::Bool(true)]));
}

#[test]
fn double_keeps_its_bits() {
    let found = convert::record_in(record(wire(v1::value::Kind::DoubleValue(-0.0)))).unwrap();
    assert_eq!(found.fields["f"], Value::One(Scalar::F64((-0.0f64).to_bits())));
}

#[test]
fn value_without_kind_and_list_in_list_are_malformed() {
    assert!(convert::record_in(record(v1::Value { kind: None })).is_err());
    let inner = wire(v1::value::Kind::ListValue(v1::ListValue { values: vec![] }));
    let outer = wire(v1::value::Kind::ListValue(v1::ListValue { values: vec![inner] }));
    assert!(convert::record_in(record(outer)).is_err());
}

#[test]
fn commit_without_receipt_is_malformed() {
    let tid = Tid { mint: Timestamp(1), home: GroupId(1), nonce: 1 };
    let outcome = v1::Outcome {
        state: v1::outcome::State::Committed.into(),
        transaction_id: Bytes::copy_from_slice(&tid.to_bytes()),
        ..Default::default()
    };
    assert!(convert::outcome_in(outcome, vec![]).is_err());
    assert!(convert::outcome_in(v1::Outcome::default(), vec![]).is_err());
}

#[test]
fn every_cause_of_the_wire_has_its_own_name() {
    let mut names: Vec<&str> = (0..=16)
        .map(|number| {
            let rollback = v1::Rollback { cause: number, ..v1::Rollback::default() };
            let outcome = v1::Outcome {
                state: v1::outcome::State::RolledBack.into(),
                rollback: Some(rollback),
                ..Default::default()
            };
            match convert::outcome_in(outcome, vec![]).unwrap() {
                Outcome::RolledBack(rollback) => rollback.cause.name(),
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(names[0], Cause::Unspecified.name());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 17);
}
