//! Environments: opening one, its tables, its transactions.

use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

use crate::Result;
use crate::database::Database;
use crate::image::{self, Disk, Table};
use crate::transaction::{RoTxn, RwTxn, WithoutTls};

/// How to open an environment. Sizes are taken and mean nothing.
#[derive(Default)]
pub struct EnvOpenOptions(());

impl EnvOpenOptions {
    pub fn new() -> Self {
        EnvOpenOptions::default()
    }

    pub fn read_txn_without_tls(self) -> Self {
        self
    }

    pub fn map_size(&mut self, _: usize) -> &mut Self {
        self
    }

    pub fn max_readers(&mut self, _: u32) -> &mut Self {
        self
    }

    pub fn max_dbs(&mut self, _: u32) -> &mut Self {
        self
    }

    /// Opens what is on the disk of this path.
    ///
    /// # Safety
    /// None is needed: it is unsafe only as LMDB's is.
    pub unsafe fn open(&self, path: &Path) -> Result<Env<WithoutTls>> {
        Ok(Env { disk: image::disk(path), kind: PhantomData })
    }
}

#[derive(Clone)]
pub struct Env<T> {
    disk: Arc<Disk>,
    kind: PhantomData<T>,
}

/// What a closure that creates tables decides.
pub enum CommitOrAbort<C, A> {
    Commit(C),
    Abort(A),
}

impl<C, A> CommitOrAbort<C, A> {
    /// # Panics
    /// If it was aborted.
    pub fn unwrap_commit(self) -> C {
        match self {
            CommitOrAbort::Commit(committed) => committed,
            CommitOrAbort::Abort(_) => panic!("it was aborted"),
        }
    }
}

/// Creates tables.
pub struct Opener(());

impl Opener {
    /// The table of this name, made if there is none.
    pub fn create_database<K, V>(
        &self,
        txn: &mut RwTxn<'_>,
        name: Option<&str>,
    ) -> Result<Database<'static, K, V>> {
        let (name, image) = (name.unwrap_or_default(), txn.image());
        let known = image.names.iter().position(|known| known == name);
        let table = known.unwrap_or_else(|| {
            image.names.push(name.to_owned());
            image.tables.push(Table::new());
            image.tables.len() - 1
        });
        Ok(Database::at(table))
    }
}

impl Env<WithoutTls> {
    pub fn write_txn(&self) -> Result<RwTxn<'_>> {
        Ok(RwTxn::begin(&self.disk))
    }

    pub fn static_read_txn(self) -> Result<RoTxn<'static, WithoutTls>> {
        Ok(RoTxn::of(self.disk.image().clone()))
    }

    pub fn create_databases_and_commit<C, A>(
        &self,
        mut txn: RwTxn<'_>,
        create: impl FnOnce(&Opener, &mut RwTxn<'_>) -> Result<CommitOrAbort<C, A>>,
    ) -> Result<CommitOrAbort<C, A>> {
        let created = create(&Opener(()), &mut txn)?;
        if matches!(created, CommitOrAbort::Commit(_)) {
            txn.commit()?;
        }
        Ok(created)
    }
}
