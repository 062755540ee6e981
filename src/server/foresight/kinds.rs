//! What steps are called: numbers for the forecasters, names for people.
//!
//! A step's number is drawn from a digest of its name, so that the table of names may be forgotten
//! at any time: the same step gets the same number again, on every node.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
};
use vatic_core::{
    codec,
    course::{self, COURSE_BYTES_MAX},
    delta::Delta,
    footprint::{Footprint, Token},
    hash::Hasher,
};
use vatic_learn::forecast::Symbol;

/// Kinds of steps that are remembered; one more, and all are forgotten.
const KINDS_MAX: usize = 1_024;
/// Fields of a step that its name has; more are counted all the same.
const FIELDS_NAMED: usize = 8;
/// The one operation that writes nothing.
const EXPECT: &str = "expect";

/// What steps with the same collection, operation and fields have in common.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) symbol: Symbol,
    /// Such as `put order(owner, total)`.
    pub(crate) name: String,
    /// What it counts as, each with a name such as `put order(total)`.
    pub(crate) tokens: Vec<(String, Token)>,
    /// What one such step adds.
    pub(crate) footprint: Arc<Footprint>,
    /// The collection that it writes in, if it writes.
    pub(crate) writes: Option<Arc<str>>,
    /// As courses have it; `None` where it is too large for any.
    pub(crate) shared: Option<course::Kind>,
}

/// The kinds that came by lately.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    /// Drawn at random at each start, so that nobody can make two kinds fall together.
    hash: RandomState,
    known: Mutex<HashMap<u64, Arc<Kind>>>,
}

impl Kinds {
    /// The kind of a delta.
    pub(crate) fn of(&self, delta: &Delta) -> Arc<Kind> {
        self.find(&delta.key.collection, delta.op.name(), &delta.op.fields())
    }

    /// The same of a course.
    pub(crate) fn of_course(&self, kind: &course::Kind) -> Arc<Kind> {
        let fields: Vec<&str> = kind.fields.iter().map(String::as_str).collect();
        self.find(&kind.collection, &kind.operation, &fields)
    }

    fn find(&self, collection: &str, op: &str, fields: &[&str]) -> Arc<Kind> {
        let place = self.hash.hash_one((collection, op, fields));
        let mut known = self.known.lock().expect("no holder panics");
        if let Some(kind) = known.get(&place) {
            return kind.clone();
        }
        if known.len() >= KINDS_MAX {
            known.clear();
        }
        let kind = Arc::new(Kind::of(collection, op, fields));
        known.insert(place, kind.clone());
        kind
    }
}

impl Kind {
    fn of(collection: &str, op: &str, fields: &[&str]) -> Kind {
        let hasher = Hasher::new("kind").bytes(collection.as_bytes()).bytes(op.as_bytes());
        let hasher = fields.iter().fold(hasher, |hasher, field| hasher.bytes(field.as_bytes()));
        let [a, b, c, d, ..] = hasher.finish().0;
        let mut footprint = Footprint::default();
        footprint.add_operation(collection, op, fields);
        let named = |field: &&str| {
            let token = Token::operation(collection, op, Some(*field));
            (format!("{op} {collection}({field})"), token)
        };
        let mut tokens: Vec<_> = fields.iter().take(FIELDS_NAMED).map(named).collect();
        if fields.is_empty() {
            tokens.push((format!("{op} {collection}"), Token::operation(collection, op, None)));
        }
        Kind {
            symbol: Symbol(u32::from_be_bytes([a, b, c, d])),
            name: name(collection, op, fields),
            tokens,
            footprint: Arc::new(footprint),
            writes: (op != EXPECT).then(|| collection.into()),
            shared: shared(collection, op, fields),
        }
    }
}

fn shared(collection: &str, op: &str, fields: &[&str]) -> Option<course::Kind> {
    // Before they are copied: there may be very many.
    let fits = codec::encoded_bytes(&(collection, op, fields)) <= COURSE_BYTES_MAX;
    fits.then(|| course::Kind {
        collection: collection.into(),
        operation: op.into(),
        fields: fields.iter().map(|field| (*field).into()).collect(),
    })
}

fn name(collection: &str, op: &str, fields: &[&str]) -> String {
    let some = fields[..fields.len().min(FIELDS_NAMED)].join(", ");
    match fields.len() {
        0 => format!("{op} {collection}"),
        all if all > FIELDS_NAMED => format!("{op} {collection}({some}, ...)"),
        _ => format!("{op} {collection}({some})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_core::{
        delta::{Expect, Op},
        key::Key,
    };

    fn add(collection: &str, partition: &str, field: &str) -> Delta {
        let key = Key::new(collection, partition, "").unwrap();
        Delta { key, op: Op::Add { field: field.into(), by: 1 } }
    }

    #[test]
    fn kind_is_told_by_collection_operation_and_field_and_survives_forgetting() {
        let kinds = Kinds::default();
        let one = kinds.of(&add("account", "ada", "balance"));
        assert_eq!(one.name, "add account(balance)");
        assert_eq!(one.symbol, kinds.of(&add("account", "bob", "balance")).symbol);
        for other in [add("account", "ada", "fee"), add("savings", "ada", "balance")] {
            assert_ne!(one.symbol, kinds.of(&other).symbol);
        }
        for at in 0..2 * KINDS_MAX {
            kinds.of(&add("account", "ada", &format!("f{at}")));
        }
        assert!(kinds.known.lock().unwrap().len() <= KINDS_MAX);
        assert_eq!(one.symbol, kinds.of(&add("account", "ada", "balance")).symbol);
    }

    #[test]
    fn kind_writes_where_its_operation_does() {
        let kinds = Kinds::default();
        let key = add("account", "ada", "balance").key;
        let ops = [
            Op::Put(Default::default()),
            Op::Merge(Default::default()),
            Op::Add { field: "n".into(), by: 1 },
            Op::RemoveField("n".into()),
            Op::Delete,
            Op::Expect(Expect::Absent),
        ];
        for op in ops {
            let delta = Delta { key: key.clone(), op };
            let writes = kinds.of(&delta).writes.clone();
            assert_eq!(writes.as_deref(), delta.op.writes().then_some("account"), "{delta:?}");
        }
    }
}
