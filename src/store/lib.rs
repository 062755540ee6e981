//! vatic-store: the replicated state of all groups of one node, in one LMDB environment.
//!
//! Commands apply to sorted copy-on-write maps in memory (the overlays); one thread writes them
//! behind into LMDB, in key order, about every second. So applying a command costs memory work,
//! and the durable commit is shared by everything that gathered meanwhile. What a crash loses is
//! replayed from the log, from the mark that the same LMDB transaction stored.
//!
//! Architecture invariants:
//! - A reader holds one published pair (overlays, LMDB transaction), never two taken apart.
//! - Only what the log has made durable on this node is flushed (the fence).
//! - One OS thread, the committer, writes to LMDB; every commit is durable (no NOSYNC, no
//!   WRITE_MAP).
//! - A damaged value stops the node, or the scrub finds it first. LMDB's own pages have no
//!   checksum: a key that rotted can hide its entry from a get (a scan meets it, the scrub names
//!   it), and a page that no longer lists an entry is only found by comparing replicas.
//! - On a full disk flushes wait, state stays in memory and in the log; a snapshot is neither made
//!   nor prepared for an install. Only the small commits that create, remove or flip a replica
//!   still stop the node.
//! - A snapshot file is a copy: one that rotted is deleted, and the replica is none the worse.
//! - heed types do not leave `lmdb.rs`.

mod cell;
mod committer;
mod damage;
mod error;
mod fatal;
#[cfg(test)]
mod fixture;
mod flush;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod id;
mod install;
mod job;
mod layout;
mod limits;
mod lmdb;
mod merge;
mod metrics;
mod overlay;
mod probe;
mod published;
mod replica;
mod room;
mod scrub;
mod seeded;
mod snapshot;
mod snapshot_file;
mod store;
mod view;
mod writer;

#[cfg(test)]
mod boundary_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod damage_test;
#[cfg(test)]
mod full_test;
#[cfg(test)]
mod install_test;
#[cfg(test)]
mod property_test;
#[cfg(test)]
mod store_test;
#[cfg(test)]
mod stress_test;

pub use damage::Damage;
pub use error::{InstallError, OpenError, SnapshotError};
pub use fatal::FatalAction;
pub use id::{Mark, ReplicaId};
pub use install::Prepared;
pub use job::Flushed;
pub use layout::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
pub use limits::Limits;
pub use probe::Probe;
pub use replica::Replica;
pub use room::Usage;
pub use scrub::{Scrub, ScrubReport};
#[cfg(feature = "mutants")]
pub use seeded::{Bug, plant};
pub use snapshot_file::SnapshotFile;
pub use store::Store;
pub use view::{Digest, View};
pub use writer::Writer;
