//! What operations make of records.

use crate::{
    delta::{Op, Rejection},
    id::Timestamp,
    limits::Limits,
    strategies_test::{fields, image, op, scalar},
    value::{self, Fields, Value},
};
use alloc::vec;
use proptest::{collection, prelude::*};

const AT: Timestamp = Timestamp(7);

fn wide() -> Limits {
    Limits::production()
}

fn only(field: &str, value: impl Into<Value>) -> Fields {
    Fields::from([(field.into(), value.into())])
}

proptest! {
    #[test]
    fn put_leaves_nothing_of_what_was_there(image in image(), fields in fields()) {
        prop_assert_eq!(Op::Put(fields.clone()).apply(AT, image, &wide()), Ok(Some(fields)));
    }

    #[test]
    fn merge_keeps_what_it_does_not_name(image in image(), changes in fields()) {
        let after = Op::Merge(changes.clone()).apply(AT, image.clone(), &wide());
        let mut expected = image.unwrap_or_default();
        expected.extend(changes);
        prop_assert_eq!(after, Ok(Some(expected)));
    }

    #[test]
    fn additions_add_up_or_overflow_by_name(a in any::<i64>(), b in any::<i64>()) {
        let op = Op::Add { field: "a".into(), by: b };
        let after = op.apply(AT, Some(only("a", a)), &wide());
        let expected = match a.checked_add(b) {
            Some(sum) => Ok(Some(only("a", sum))),
            None => Err(Rejection::Overflow { field: "a".into(), value: a, by: b }),
        };
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn union_is_a_sorted_set_and_adds_nothing_twice(
        values in collection::vec(scalar(), 0..6)
    ) {
        let op = Op::Union { field: "a".into(), values: values.clone() };
        let once = op.apply(AT, None, &wide()).expect("a list");
        let twice = op.apply(AT, once.clone(), &wide()).expect("a list");
        prop_assert_eq!(&once, &twice);
        let Some(Value::List(list)) = once.and_then(|mut fields| fields.remove("a")) else {
            panic!("a list")
        };
        prop_assert!(list.windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(values.iter().all(|value| list.contains(value)));
    }

    #[test]
    fn append_keeps_order_and_repeats(
        first in collection::vec(scalar(), 0..4), then in collection::vec(scalar(), 0..4)
    ) {
        let append = |values| Op::Append { field: "a".into(), values };
        let after = append(first.clone()).apply(AT, None, &wide()).expect("a list");
        let after = append(then.clone()).apply(AT, after, &wide()).expect("a list");
        let expected = Value::List([first, then].concat());
        prop_assert_eq!(after, Some(Fields::from([("a".into(), expected)])));
    }

    #[test]
    fn expectations_change_nothing(image in image(), op in op()) {
        if let (Op::Expect(_), Ok(after)) = (&op, op.apply(AT, image.clone(), &wide())) {
            prop_assert_eq!(after, image);
        }
    }

    #[test]
    fn whatever_applies_is_within_the_limits(image in image(), op in op()) {
        let limits = Limits::simulation();
        if let (true, Ok(Some(after))) = (op.writes(), op.apply(AT, image, &limits)) {
            prop_assert!(value::size_bytes(&after) <= limits.record_bytes_max);
        }
    }
}

#[test]
fn record_past_the_limit_is_rejected_with_both_sizes() {
    let limits = Limits { record_bytes_max: 10, ..Limits::simulation() };
    let rejected = Op::Put(only("a", "eight by")).apply(AT, None, &limits);
    assert_eq!(rejected, Err(Rejection::RecordSize { bytes: 11, limit: 10 }));
    let limits = Limits { field_name_bytes_max: 2, ..Limits::simulation() };
    let rejected = Op::Put(only("abc", true)).apply(AT, None, &limits);
    assert_eq!(rejected, Err(Rejection::FieldName { bytes: 3, limit: 2 }));
}

#[test]
fn addition_to_text_and_append_to_a_number_name_both_types() {
    let add = Op::Add { field: "a".into(), by: 1 };
    assert!(matches!(add.apply(AT, Some(only("a", "x")), &wide()), Err(Rejection::Type { .. })));
    let append = Op::Append { field: "a".into(), values: vec![] };
    assert!(matches!(append.apply(AT, Some(only("a", 1)), &wide()), Err(Rejection::Type { .. })));
}
