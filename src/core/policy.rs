//! What collections ask for. Group 0 keeps it and every group's configuration repeats it, so that
//! votes are held to it.

use crate::{
    command::{Refusal, Reply},
    state::{Read, State},
    strategy::Strategy,
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
    /// What is done about conflicts, where a transaction does not say it and touches a record of
    /// this collection first.
    pub strategy: Strategy,
}

/// What of a policy to set; the rest stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Its validation.
    pub validation: Option<Validation>,
    /// Its strategy.
    pub strategy: Option<Strategy>,
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
    /// And kept aside as an anomaly, for people to look at.
    Quarantine,
}

/// The policies of all collections.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Policies {
    /// Counts the changes.
    pub version: u64,
    /// Where they are not the default, by collection.
    pub set: BTreeMap<String, Policy>,
}

impl Validation {
    /// All of them.
    pub const ALL: [Validation; 4] =
        [Validation::Observe, Validation::Resolve, Validation::Enforce, Validation::Quarantine];

    /// Whether it lets nothing through that strays.
    pub fn refuses(self) -> bool {
        matches!(self, Validation::Enforce | Validation::Quarantine)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Validation::Observe => "observe",
            Validation::Resolve => "resolve",
            Validation::Enforce => "enforce",
            Validation::Quarantine => "quarantine",
        }
    }
}

impl Policies {
    /// A collection's policy.
    pub fn of(&self, collection: &str) -> Policy {
        self.set.get(collection).copied().unwrap_or_default()
    }

    /// Whether any collection lets nothing through that strays.
    pub fn enforce(&self) -> bool {
        self.set.values().any(|policy| policy.validation.refuses())
    }
}

/// The policies in force, as group 0 keeps them.
pub fn policies(state: &impl Read) -> Policies {
    tables::load(state, &tables::meta("policies")).unwrap_or_default()
}

/// Changes a collection's policy; the default one takes no room.
pub(crate) fn set(state: &mut impl State, collection: &str, change: PolicyChange) -> Reply {
    let mut policies = policies(state);
    let present = policies.of(collection);
    let policy = Policy {
        validation: change.validation.unwrap_or(present.validation),
        strategy: change.strategy.unwrap_or(present.strategy),
    };
    if present == policy {
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
