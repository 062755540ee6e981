//! Request ids: exactly once for callers, over retries through any node.
//!
//! An attempt also writes, expecting absence, the record (principal, id) → (transaction id, request
//! digest) in the group that the id's route key hashes to, which thereby is a participant. Two
//! attempts of one request therefore conflict on one key like any two writers, and at most one
//! commits. The id holds its mint time: past the time-to-live it is refused by the replicated
//! clock, so that the record can be collected without a late attempt slipping through.

use crate::{
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    key::Key,
};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// The collection that request records live in; clients cannot name it.
pub const COLLECTION: &str = "$request";

/// A caller's name for one intended effect.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct RequestId {
    /// Who asks.
    pub principal: String,
    /// The caller's own id, unique for the principal.
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// A partition; its group keeps the record.
    pub route: String,
    /// When the caller minted the id.
    pub mint: Timestamp,
}

impl RequestId {
    /// The record that the id stands for.
    pub fn key(&self) -> Key {
        let name = Hasher::new("vatic/request/v1")
            .bytes(self.principal.as_bytes())
            .bytes(&self.id)
            .u64(self.mint.0)
            .finish();
        Key { collection: COLLECTION.into(), partition: self.route.clone(), sort: name.to_hex() }
    }
}

/// A request id in a transaction's body.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The id.
    pub request: RequestId,
    /// The participant that keeps its record.
    pub group: GroupId,
    /// Digest of what was asked, the same for every attempt; zero where the caller streams and
    /// may rightly ask for something else after a conflict.
    pub content: Hash,
}

/// What the request record says of the committed attempt.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Held {
    /// The attempt.
    pub tid: Tid,
    /// Digest of what was asked.
    pub content: Hash,
}
