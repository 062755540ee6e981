//! What collections ask for. Group 0 keeps it and every group's configuration repeats it, so that
//! votes are held to it.

use crate::{
    command::{Refusal, Reply},
    state::{Read, State},
    tables,
};
use alloc::{collections::BTreeMap, string::String};
use serde::{Deserialize, Serialize};

/// Most collections with a policy of their own: each read of a group decodes all of them.
pub const POLICIES_MAX: u64 = 256;

/// What a collection asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Policy {
    /// What a transaction that ended other than was forecast comes to.
    pub validation: Validation,
}

/// What an invalid verdict comes to.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub enum Validation {
    /// It is logged, and the transaction goes on.
    Observe,
    /// The transaction is tried out first.
    #[default]
    Resolve,
    /// The transaction is rolled back.
    Enforce,
}

/// The policies of all collections.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Policies {
    /// Counts the changes.
    pub version: u64,
    /// Where they are not the default, by collection.
    pub set: BTreeMap<String, Policy>,
}

impl Policies {
    /// A collection's policy.
    pub fn of(&self, collection: &str) -> Policy {
        self.set.get(collection).copied().unwrap_or_default()
    }

    /// Whether any collection enforces forecasts.
    pub fn enforce(&self) -> bool {
        self.set.values().any(|policy| policy.validation == Validation::Enforce)
    }
}

/// The policies in force, as group 0 keeps them.
pub fn policies(state: &impl Read) -> Policies {
    tables::load(state, &tables::meta("policies")).unwrap_or_default()
}

/// Sets a collection's policy; the default one takes no room.
pub(crate) fn set(state: &mut impl State, collection: &str, policy: Policy) -> Reply {
    let mut policies = policies(state);
    if policies.of(collection) == policy {
        return Reply::Done;
    }
    policies.set.remove(collection);
    if policy != Policy::default() {
        if policies.set.len() as u64 >= POLICIES_MAX {
            return Reply::Refused(Refusal::PoliciesFull { limit: POLICIES_MAX });
        }
        policies.set.insert(collection.into(), policy);
    }
    policies.version += 1;
    tables::save(state, tables::meta("policies"), &policies);
    Reply::Done
}
