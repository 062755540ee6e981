//! The table of conflict-resolution functions, against what the operations do.

use crate::{
    delta::{Expect, Op},
    id::Timestamp,
    limits::Limits,
    resolution::{Relation, changes, rebases, relation},
    strategies_test::{fields, image, op},
    value::{Fields, Scalar, Value},
};
use alloc::{string::String, vec, vec::Vec};
use proptest::{collection, prelude::*};

const AT: Timestamp = Timestamp(7);

fn apply(op: &Op, image: Option<Fields>) -> Option<Option<Fields>> {
    op.apply(AT, image, &Limits::production()).ok()
}

/// The record after both, in this order; `None` where one does not apply.
fn both(first: &Op, second: &Op, image: Option<Fields>) -> Option<Option<Fields>> {
    apply(second, apply(first, image)?)
}

fn writes() -> impl Strategy<Value = Op> {
    op().prop_filter("an operation that writes", Op::writes)
}

proptest! {
    #[test]
    fn what_commutes_gives_the_same_record_in_either_order(
        image in image(), mine in writes(), theirs in writes(),
    ) {
        if relation(&mine, &theirs) == Relation::Commutes {
            prop_assert_eq!(relation(&theirs, &mine), Relation::Commutes);
            let (one, other) = (both(&mine, &theirs, image.clone()), both(&theirs, &mine, image));
            // Where only one order overflows or is too large there is nothing to compare.
            if let (Some(one), Some(other)) = (one, other) {
                prop_assert_eq!(one, other);
            }
        }
    }

    #[test]
    fn what_merges_takes_effect_in_full(image in image(), mine in writes(), theirs in writes()) {
        let (Op::Append { field, values } | Op::Union { field, values }) = &mine else {
            return Ok(());
        };
        if relation(&mine, &theirs) == Relation::Merges
            && let Some(Some(after)) = both(&theirs, &mine, image)
        {
            let Some(Value::List(list)) = after.get(field) else { panic!("{after:?}") };
            let (Op::Append { values: seen, .. } | Op::Union { values: seen, .. }) = &theirs else {
                panic!("{theirs:?} merges")
            };
            prop_assert!(values.iter().chain(seen).all(|value| list.contains(value)), "{list:?}");
        }
    }

    #[test]
    fn changes_make_the_newer_version_of_the_older(older in image(), newer in image()) {
        let made = changes(older.as_ref(), newer.as_ref())
            .iter()
            .try_fold(older, |image, change| apply(change, image));
        let made = made.expect("they apply");
        prop_assert_eq!(made.unwrap_or_default(), newer.unwrap_or_default());
    }

    #[test]
    fn what_is_moved_leaves_the_changes_of_others(
        older in fields(), newer in fields(), mine in collection::vec(writes(), 1..4),
    ) {
        let changed = changes(Some(&older), Some(&newer));
        let conflicts = |mine: &Op, theirs: &Op| relation(mine, theirs) == Relation::Conflicts;
        let any = mine.iter().any(|mine| changed.iter().any(|theirs| conflicts(mine, theirs)));
        prop_assert_eq!(rebases(&mine, Some(&older), Some(&newer)), !any, "the table says so");
        if any {
            return Ok(());
        }
        let named: Vec<&str> = mine.iter().flat_map(Op::fields).collect();
        let after = mine.iter().try_fold(Some(newer.clone()), |image, op| apply(op, image));
        if let (Some(after), false) = (after, changed.is_empty()) {
            let after = after.expect("nothing that deletes is moved over changes");
            for field in changed.iter().flat_map(Op::fields).filter(|it| !named.contains(it)) {
                prop_assert_eq!(after.get(field), newer.get(field));
            }
        }
    }
}

#[test]
fn table_is_what_it_is() {
    use Relation::{Commutes, Conflicts, Merges};
    let (a, b) = (|| String::from("a"), || String::from("b"));
    let set = |field: String| Op::Merge(Fields::from([(field, Value::from(1))]));
    let add = |field| Op::Add { field, by: 1 };
    let append = |field| Op::Append { field, values: vec![Scalar::I64(1)] };
    let union = |field| Op::Union { field, values: vec![Scalar::I64(1)] };
    let version = Op::Expect(Expect::Version(AT));
    let field = Op::Expect(Expect::Field { field: a(), value: None });
    let put = Op::Put(Fields::new());
    for (mine, theirs, expected) in [
        (add(a()), add(a()), Commutes),
        (add(a()), set(a()), Conflicts),
        (set(a()), add(a()), Conflicts),
        (set(a()), set(a()), Conflicts),
        (set(a()), set(b()), Commutes),
        (add(a()), Op::RemoveField(a()), Conflicts),
        (append(a()), append(a()), Merges),
        (append(a()), union(a()), Merges),
        (union(a()), append(a()), Merges),
        (union(a()), union(a()), Commutes),
        (union(a()), add(b()), Commutes),
        (put.clone(), add(a()), Conflicts),
        (add(a()), put, Conflicts),
        (Op::Delete, add(a()), Conflicts),
        (add(a()), Op::Delete, Conflicts),
        (Op::Delete, Op::Delete, Commutes),
        (version, add(a()), Conflicts),
        (field, add(a()), Merges),
    ] {
        assert_eq!(relation(&mine, &theirs), expected, "{mine:?} after {theirs:?}");
    }
}
