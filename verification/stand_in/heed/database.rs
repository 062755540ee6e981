//! A table: reading and writing it through a transaction.

use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};

use crate::Result;
use crate::image::Table;
use crate::transaction::{RoTxn, RwTxn, WithoutTls};

type Txn<'e> = RoTxn<'e, WithoutTls>;
type Item<'t> = Result<(&'t [u8], &'t [u8])>;

/// Names a table of an environment.
pub struct Database<'e, K, V> {
    table: usize,
    environment: PhantomData<&'e ()>,
    kinds: PhantomData<fn() -> (K, V)>,
}

impl<K, V> Clone for Database<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, V> Copy for Database<'_, K, V> {}

/// Pages that a table would take.
pub struct Stat {
    pub page_size: u32,
    pub branch_pages: usize,
    pub leaf_pages: usize,
    pub overflow_pages: usize,
}

const PAGE_BYTES: u32 = 4096;
const ENTRIES_IN_A_PAGE: usize = 32;

impl<K, V> Database<'_, K, V> {
    pub(crate) fn at(table: usize) -> Self {
        Database { table, environment: PhantomData, kinds: PhantomData }
    }

    fn of<'t>(&self, txn: &'t Txn<'_>) -> &'t Table {
        &txn.image.tables[self.table]
    }

    pub fn get<'t>(&self, txn: &'t Txn<'_>, key: &[u8]) -> Result<Option<&'t [u8]>> {
        Ok(self.of(txn).get(key).map(AsRef::as_ref))
    }

    /// The last entry before `key`.
    pub fn get_lower_than<'t>(
        &self,
        txn: &'t Txn<'_>,
        key: &[u8],
    ) -> Result<Option<(&'t [u8], &'t [u8])>> {
        let below = (Bound::Unbounded, Bound::Excluded(key));
        let last = self.of(txn).range::<_, [u8]>(below).next_back();
        Ok(last.map(|(key, value)| (key.as_ref(), value.as_ref())))
    }

    pub fn range<'t>(
        &self,
        txn: &'t Txn<'_>,
        bounds: &(Bound<&[u8]>, Bound<&[u8]>),
    ) -> Result<impl Iterator<Item = Item<'t>> + use<'t, K, V>> {
        let entries = self.of(txn).range::<_, [u8]>((bounds.start_bound(), bounds.end_bound()));
        Ok(entries.map(|(key, value)| Ok((key.as_ref(), value.as_ref()))))
    }

    pub fn iter<'t>(
        &self,
        txn: &'t Txn<'_>,
    ) -> Result<impl Iterator<Item = Item<'t>> + use<'t, K, V>> {
        Ok(self.of(txn).iter().map(|(key, value)| Ok((key.as_ref(), value.as_ref()))))
    }

    pub fn len(&self, txn: &Txn<'_>) -> Result<u64> {
        Ok(self.of(txn).len() as u64)
    }

    pub fn is_empty(&self, txn: &Txn<'_>) -> Result<bool> {
        Ok(self.of(txn).is_empty())
    }

    pub fn stat(&self, txn: &Txn<'_>) -> Result<Stat> {
        let leaf_pages = self.of(txn).len().div_ceil(ENTRIES_IN_A_PAGE);
        Ok(Stat { page_size: PAGE_BYTES, branch_pages: 0, leaf_pages, overflow_pages: 0 })
    }

    pub fn put(&self, txn: &mut RwTxn<'_>, key: &[u8], value: &[u8]) -> Result<()> {
        txn.image().tables[self.table].insert(key.into(), value.into());
        Ok(())
    }

    /// Whether there was one.
    pub fn delete(&self, txn: &mut RwTxn<'_>, key: &[u8]) -> Result<bool> {
        Ok(txn.image().tables[self.table].remove(key).is_some())
    }
}
