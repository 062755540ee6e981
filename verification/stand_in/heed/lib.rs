//! What stands in for heed where simulated code is compiled: LMDB's promises, kept in memory.
//!
//! A commit is atomic and durable on return, a read transaction stands still, and an environment
//! outlives whoever opens it: a simulated crash loses the transactions under way and nothing else.
//! The disk that it would be on is named by its path. Real files are for the tests of the store.

mod database;
mod environment;
mod image;
mod transaction;

pub use database::{Database, Stat};
pub use environment::{CommitOrAbort, Env, EnvOpenOptions, Opener};
pub use image::{digest, forget};
pub use transaction::{RoTxn, RwTxn, WithoutTls};

/// What can go wrong: in memory, nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

pub type Result<T> = std::result::Result<T, Error>;

/// Kinds of keys and values.
pub mod types {
    /// Bytes as they are.
    #[derive(Clone, Copy)]
    pub struct Bytes;
}
