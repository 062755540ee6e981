//! One attempt at a streamed transaction, as the closure of [`Client::run`] sees it.
//!
//! The stream opens at the first record touched: its partition names the home group and the route
//! of the request id, so that a transaction in one group stays one entry. Writes go out without
//! waiting; reads wait for their answer. Every acknowledgement is checked against the digest
//! chain recomputed from what was sent.
//!
//! Invariant: once an outcome has arrived nothing more is sent, and every later call ends with it.
//!
//! [`Client::run`]: crate::Client::run

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use vatic_core::codec;
use vatic_core::delta::{Delta, Expect, Op};
use vatic_core::id::Tid;
use vatic_core::key::{Key, KeyRange};
use vatic_core::value::{Fields, Scalar};

use crate::attempt::Attempt;
use crate::error::ClientError;
use crate::foresight::Notice;
use crate::reads::Record;

/// A handle on a transaction in progress. Clones are the same transaction.
#[derive(Debug, Clone)]
pub struct Transaction {
    attempt: Arc<Mutex<Attempt>>,
}

impl Transaction {
    pub(crate) fn new(attempt: Attempt) -> Self {
        Transaction { attempt: Arc::new(Mutex::new(attempt)) }
    }

    pub(crate) async fn lock(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().await
    }

    /// The attempt's id, once the cluster gave it one.
    pub async fn id(&self) -> Option<Tid> {
        self.lock().await.tid()
    }

    /// One record with this transaction's own writes; `None` where it is absent. What was read must
    /// still be so at the commit.
    pub async fn read(&self, key: &Key) -> Result<Option<Record>, ClientError> {
        let found = self.read_many(std::slice::from_ref(key)).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// Several records in one round trip, in the order of the keys.
    pub async fn read_many(&self, keys: &[Key]) -> Result<Vec<Option<Record>>, ClientError> {
        self.lock().await.read_many(keys).await
    }

    /// A range with this transaction's own writes. The whole range, or as far as `limit` (0: none)
    /// let it go, must still hold the same at the commit.
    pub async fn scan(&self, range: &KeyRange, limit: u32) -> Result<Vec<Record>, ClientError> {
        self.lock().await.scan(range, limit).await
    }

    /// Replaces the whole record.
    pub async fn put(&self, key: &Key, fields: Fields) -> Result<(), ClientError> {
        self.write(key, Op::Put(fields)).await
    }

    /// Sets some fields, keeps the others.
    pub async fn merge(&self, key: &Key, fields: Fields) -> Result<(), ClientError> {
        self.write(key, Op::Merge(fields)).await
    }

    /// Adds to an integer field.
    pub async fn add(&self, key: &Key, field: &str, by: i64) -> Result<(), ClientError> {
        self.write(key, Op::Add { field: field.to_owned(), by }).await
    }

    /// Extends a list.
    pub async fn append(
        &self,
        key: &Key,
        field: &str,
        values: Vec<Scalar>,
    ) -> Result<(), ClientError> {
        self.write(key, Op::Append { field: field.to_owned(), values }).await
    }

    /// Adds to a list that is a set.
    pub async fn union(
        &self,
        key: &Key,
        field: &str,
        values: Vec<Scalar>,
    ) -> Result<(), ClientError> {
        self.write(key, Op::Union { field: field.to_owned(), values }).await
    }

    /// Removes one field.
    pub async fn remove_field(&self, key: &Key, field: &str) -> Result<(), ClientError> {
        self.write(key, Op::RemoveField(field.to_owned())).await
    }

    /// Removes the record.
    pub async fn delete(&self, key: &Key) -> Result<(), ClientError> {
        self.write(key, Op::Delete).await
    }

    /// Rolls back at the commit unless this holds then.
    pub async fn expect(&self, key: &Key, expect: Expect) -> Result<(), ClientError> {
        self.write(key, Op::Expect(expect)).await
    }

    /// The next forecast or warning ([`Runner::foresee`] asks for them), waited for no longer than
    /// `within`; `None` where none comes. Nothing comes before the first record is touched. Other
    /// calls on this transaction wait meanwhile. Errors where the transaction ends, such as
    /// `RolledBack` for one that asked to be aborted early.
    ///
    /// [`Runner::foresee`]: crate::Runner::foresee
    pub async fn next_notice(&self, within: Duration) -> Result<Option<Notice>, ClientError> {
        self.lock().await.next_notice(within).await
    }

    /// Any delta.
    pub async fn apply(&self, delta: &Delta) -> Result<(), ClientError> {
        delta.key.check()?;
        self.lock().await.write(delta, codec::encode(delta)).await
    }

    async fn write(&self, key: &Key, op: Op) -> Result<(), ClientError> {
        self.apply(&Delta { key: key.clone(), op }).await
    }
}

/// Answers to reads that were sent together, by their id.
pub(crate) type Answers<T> = BTreeMap<u64, T>;
