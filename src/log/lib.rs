//! vatic-log: the write-ahead log of a node, shared by every Raft group on it.
//!
//! One log for all groups, so that one `fdatasync` covers what many groups gathered meanwhile. The
//! path of a write: `replica` (the caller's handle) → `memory` (readable at once, queued) →
//! `writer` (one batch, one fsync) → `index` (where each frame lies) → the caller's `done`.
//! `recover` folds the same frames through the same `index`. `log` is the thread that drives the
//! writer; a simulation drives it by hand instead. `drill` (with the simulated disk) cuts the power
//! at every operation and compares with a model; `examples/crash_drill` runs it for long.

mod disk;
#[cfg(any(test, feature = "sim"))]
mod drill;
mod error;
mod file_disk;
mod frame;
mod front;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod index;
mod limits;
mod log;
mod memory;
mod metrics;
#[cfg(any(test, feature = "sim"))]
mod random;
mod record;
mod recover;
mod replica;
mod salt;
mod scan;
mod seeded;
mod segment;
#[cfg(any(test, feature = "sim"))]
mod sim_disk;
mod spare;
mod writer;

#[cfg(test)]
mod bounded_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod fault_test;
#[cfg(test)]
mod file_test;
#[cfg(test)]
mod forged_test;
#[cfg(test)]
mod index_test;
#[cfg(test)]
mod recover_test;

pub use disk::{Disk, DiskFile};
#[cfg(any(test, feature = "sim"))]
pub use drill::{Drill, Summary, Violation};
pub use error::{DiskFull, OpenError, Refusal};
pub use file_disk::FileDisk;
pub use limits::Limits;
pub use log::{Fatal, Log, abort_process};
pub use record::{Entry, ReplicaId};
pub use replica::{ReplicaLog, ReplicaState};
#[cfg(feature = "mutants")]
pub use seeded::{Bug, plant};
#[cfg(any(test, feature = "sim"))]
pub use sim_disk::SimDisk;
pub use writer::{Step, Writer};
