//! Which pairs of operations on one record commute, merge or conflict: a closed table.
//!
//! It says what a resolver may do with two concurrent operations. `Commutes` means that both orders
//! give the same record; `Merges` means that the later one can be laid over the earlier one without
//! losing either; `Conflicts` means that one of them must start again.
//! Source of the idea: operation-based replicated data types (Shapiro et al., 2011).

use crate::delta::Op;

/// How two operations on one record get along.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relation {
    /// Both orders give the same record.
    Commutes,
    /// In one order, neither is lost.
    Merges,
    /// One must start again.
    Conflicts,
}

/// The table. Symmetric: `relation(a, b) == relation(b, a)`.
pub fn relation(a: &Op, b: &Op) -> Relation {
    use Relation::{Commutes, Conflicts, Merges};
    match (a, b) {
        (Op::Expect(_), Op::Expect(_)) | (Op::Delete, Op::Delete) => Commutes,
        // An expectation is a read: whatever writes beside it can change its answer.
        (Op::Expect(_), _) | (_, Op::Expect(_)) => Conflicts,
        // A whole-record write loses what the other did.
        (Op::Put(_) | Op::Delete, _) | (_, Op::Put(_) | Op::Delete) => Conflicts,
        _ if !overlap(a, b) => Commutes,
        (Op::Add { .. }, Op::Add { .. }) | (Op::Union { .. }, Op::Union { .. }) => Commutes,
        (Op::RemoveField(_), Op::RemoveField(_)) => Commutes,
        (Op::Append { .. }, Op::Append { .. }) => Merges,
        _ => Conflicts,
    }
}

fn overlap(a: &Op, b: &Op) -> bool {
    let fields = b.fields();
    a.fields().iter().any(|field| fields.contains(field))
}
