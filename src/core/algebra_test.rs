//! The table of pairs says what is true of the operations themselves.

use crate::{
    algebra::{Relation, relation},
    delta::{Op, Rejection},
    id::Timestamp,
    limits::Limits,
    strategies_test::{image, op},
    value::Fields,
};
use proptest::prelude::*;

fn in_order(image: &Option<Fields>, ops: [&Op; 2]) -> Result<Option<Fields>, Rejection> {
    let limits = Limits::production();
    let apply = |image, op: &Op| op.apply(Timestamp(1), image, &limits);
    apply(apply(image.clone(), ops[0])?, ops[1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn relation_is_symmetric(a in op(), b in op()) {
        prop_assert_eq!(relation(&a, &b), relation(&b, &a));
    }

    /// Where only one order fits (an intermediate sum overflows), there are no two to compare.
    #[test]
    fn what_commutes_gives_the_same_record_in_both_orders(
        image in image(), a in op(), b in op()
    ) {
        if relation(&a, &b) == Relation::Commutes
            && let (Ok(one), Ok(other)) = (in_order(&image, [&a, &b]), in_order(&image, [&b, &a]))
        {
            prop_assert_eq!(one, other);
        }
    }

    #[test]
    fn what_merges_loses_nothing_in_either_order(image in image(), a in op(), b in op()) {
        let (Op::Append { field, values: first }, Op::Append { values: then, .. }) = (&a, &b) else {
            return Ok(());
        };
        if relation(&a, &b) != Relation::Merges {
            return Ok(());
        }
        if let Ok(Some(after)) = in_order(&image, [&a, &b]) {
            let crate::value::Value::List(list) = &after[field] else { panic!("a list") };
            prop_assert!(first.iter().chain(then).all(|value| list.contains(value)));
        }
    }
}

/// A table that called everything commuting would be found out by the property above.
#[test]
fn pairs_that_do_not_commute_exist_and_are_not_called_so() {
    let image = Some(Fields::from([("a".into(), 1.into())]));
    let put = |n: i64| Op::Put(Fields::from([("a".into(), n.into())]));
    let add = Op::Add { field: "a".into(), by: 1 };
    for (a, b) in [(put(5), put(6)), (put(5), add.clone()), (Op::Delete, add)] {
        assert_ne!(in_order(&image, [&a, &b]), in_order(&image, [&b, &a]));
        assert_eq!(relation(&a, &b), Relation::Conflicts);
    }
}
