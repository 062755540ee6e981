//! Data at rest that is not what was written: which database, whose, under which key.

use std::fmt;

use crate::id::ReplicaId;
use crate::layout::{PREFIX_BYTES, replica_of};

/// A value whose checksum does not fit it and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The database inside the environment, or `"snapshot"` for a snapshot file.
    pub database: &'static str,
    /// `None` where the key itself says nothing that can be believed, or belongs to no replica.
    pub replica: Option<ReplicaId>,
    /// The key as the database has it, without the prefix that names the replica. Empty where not
    /// one value is meant.
    pub key: Vec<u8>,
    pub what: String,
}

impl Damage {
    /// A value of `database` under its whole `key`.
    pub(crate) fn of_value(database: &'static str, key: &[u8]) -> Damage {
        let (prefix, rest) = match database {
            "state" => key.split_at(key.len().min(PREFIX_BYTES)),
            "replicas" | "garbage" => (key, &[][..]),
            _ => (&[][..], key),
        };
        let replica = prefix.get(..8).and_then(replica_of);
        Damage { database, replica, key: rest.to_vec(), what: "checksum".into() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged data in database {:?}", self.database)?;
        if let Some(ReplicaId { group, generation }) = self.replica {
            write!(f, ", replica of group {group}, generation {generation}")?;
        }
        if !self.key.is_empty() {
            write!(f, ", key ")?;
            self.key.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        write!(f, ": {}", self.what)
    }
}

impl std::error::Error for Damage {}
