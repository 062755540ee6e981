//! vatic-consensus: many Raft groups on one node, over one log, one store and one transport.
//!
//! Why a crate of its own: openraft's types stop here. The server sees [`Node`], [`GroupHandle`]
//! and the [`Machine`] trait, and could not tell which Raft runs below.
//!
//! Invariants of the whole: a reply to a proposal means that its entry is committed and applied
//! here; an entry is counted in a quorum only after its fsync; the state on disk never runs ahead
//! of the log on disk; a storage failure ends the process; a replica that lost its disk, or whose
//! state differs, comes back under another Raft id or not at all.

mod batch;
mod change;
mod codec;
mod entry;
mod error;
mod fatal;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod group;
mod heard;
mod limits;
mod log_bound;
mod log_store;
mod machine;
mod metrics;
mod node;
mod notes;
mod opening;
mod proposer;
mod raft_config;
mod reader;
mod retire;
mod round_trip;
mod seat;
mod seeded;
mod snapshot;
mod standing;
mod state_machine;
mod status;
mod transport;
mod types;

pub use error::{
    ChangeError, CreateError, ProposeError, ReadError, RebuildError, ShutdownError, StartError,
    TransferError,
};
pub use fatal::Fatal;
pub use group::{Applied, GroupHandle};
pub use limits::Limits;
pub use machine::Machine;
pub use metrics::Times;
pub use node::{Config, Member, Node};
pub use proposer::Rank;
#[cfg(feature = "mutants")]
pub use seeded::{Bug, plant};
pub use standing::Standing;
pub use status::{LeaderHint, Leadership, MemberStatus, Replacing, ReplacingStage, Status};
#[cfg(any(test, feature = "faults"))]
pub use transport::faults::DropHook;
pub use types::RaftId;

#[cfg(test)]
mod cluster_test;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod lost_disk_test;
#[cfg(test)]
mod replace_test;
#[cfg(test)]
mod snapshot_test;
#[cfg(test)]
mod storage_suite_test;
#[cfg(test)]
mod testbed;
#[cfg(test)]
mod testbed_load;
