//! Conflict-resolution functions: a closed table of what two operations on one record are to each
//! other.
//!
//! What others did to a record is not kept as operations but as versions; [`changes`] says which
//! operations, field by field, make the newer version of the older one. That they were written in
//! another way does not matter: what counts is what they changed.

use crate::{
    delta::{Expect, Op},
    value::{Fields, Scalar, Value},
};
use alloc::{collections::BTreeMap, string::String, vec::Vec};

/// What an operation is to one that came before it unseen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Relation {
    /// Either order gives the same record.
    Commutes,
    /// Both take effect; in the order in which they commit.
    Merges,
    /// The later one would undo or contradict the earlier one.
    Conflicts,
}

/// What `mine` is to `theirs`, which is in the record already.
pub fn relation(mine: &Op, theirs: &Op) -> Relation {
    use Relation::{Commutes, Conflicts, Merges};
    match (mine, theirs) {
        (_, Op::Expect(_)) => Commutes,
        // Any other condition is looked at again by the vote, on what is there then.
        (Op::Expect(Expect::Version(_)), _) => Conflicts,
        (Op::Expect(_), _) => Merges,
        (Op::Delete, Op::Delete) => Commutes,
        (Op::Put(_) | Op::Delete, _) | (_, Op::Put(_) | Op::Delete) => Conflicts,
        (mine, theirs) if !share_a_field(mine, theirs) => Commutes,
        (mine, theirs) => on_one_field(mine, theirs),
    }
}

/// What two operations are to each other on a field that both name.
pub(crate) fn on_one_field(mine: &Op, theirs: &Op) -> Relation {
    use Relation::{Commutes, Conflicts, Merges};
    match (mine, theirs) {
        (Op::Add { .. }, Op::Add { .. })
        | (Op::Union { .. }, Op::Union { .. })
        | (Op::RemoveField(_), Op::RemoveField(_)) => Commutes,
        (Op::Append { .. } | Op::Union { .. }, Op::Append { .. } | Op::Union { .. }) => Merges,
        _ => Conflicts,
    }
}

/// Whether operations that were made for the older version of a record still mean the same on the
/// newer one: none of them conflicts with what changed. Each looks at the fields that it names
/// alone, since a vote may have very many of them.
pub fn rebases<'a>(
    mine: impl IntoIterator<Item = &'a Op>,
    older: Option<&Fields>,
    newer: Option<&Fields>,
) -> bool {
    let theirs = changes(older, newer);
    let Some(any) = theirs.first() else { return true };
    let named = theirs.iter().flat_map(|op| op.fields().into_iter().map(move |name| (name, op)));
    let by_field: BTreeMap<&str, &Op> = named.collect();
    mine.into_iter().all(|mine| match mine {
        Op::Put(_) | Op::Delete | Op::Expect(_) => relation(mine, any) != Relation::Conflicts,
        _ if matches!(any, Op::Delete) => false,
        _ => mine
            .fields()
            .into_iter()
            .filter_map(|name| by_field.get(name))
            .all(|theirs| on_one_field(mine, theirs) != Relation::Conflicts),
    })
}

/// The least operations, a field each, that make the newer version of the older one. A record that
/// is made counts as one that was empty.
pub fn changes(older: Option<&Fields>, newer: Option<&Fields>) -> Vec<Op> {
    let none = Fields::new();
    let (older, newer) = match (older, newer) {
        (Some(_), None) => return alloc::vec![Op::Delete],
        (older, newer) => (older.unwrap_or(&none), newer.unwrap_or(&none)),
    };
    let gone = older.keys().filter(|name| !newer.contains_key(*name));
    let mut changes: Vec<Op> = gone.map(|name| Op::RemoveField(name.clone())).collect();
    let there = newer.iter().filter(|(name, value)| older.get(*name) != Some(*value));
    changes.extend(there.map(|(name, value)| change(name, older.get(name), value)));
    changes
}

fn change(name: &str, older: Option<&Value>, newer: &Value) -> Op {
    let field = String::from(name);
    let set = || Op::Merge(Fields::from([(field.clone(), newer.clone())]));
    match (older, newer) {
        (None, Value::One(Scalar::I64(to))) => Op::Add { field, by: *to },
        (Some(Value::One(Scalar::I64(from))), Value::One(Scalar::I64(to))) => {
            to.checked_sub(*from).map_or_else(set, |by| Op::Add { field: field.clone(), by })
        }
        (None, Value::List(to)) => Op::Append { field, values: to.clone() },
        (Some(Value::List(from)), Value::List(to)) => match (to.strip_prefix(&from[..]), to) {
            (Some(values), _) => Op::Append { field, values: values.to_vec() },
            (None, to) if is_set(from, to) => Op::Union { field, values: to.clone() },
            _ => set(),
        },
        _ => set(),
    }
}

/// Whether a list is what a union with the other one makes of it.
fn is_set(from: &[Scalar], to: &[Scalar]) -> bool {
    let ascending = to.windows(2).all(|pair| pair[0] < pair[1]);
    ascending && from.iter().all(|one| to.binary_search(one).is_ok())
}

fn share_a_field(mine: &Op, theirs: &Op) -> bool {
    let theirs = theirs.fields();
    mine.fields().iter().any(|field| theirs.contains(field))
}
