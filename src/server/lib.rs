//! vatic-server: one node, from its sockets to its disk.
//!
//! The pure core decides; this crate carries its decisions out. A client's call enters at the
//! gateway of any node (`stream`, `submit`, `records`, `pipeline`), becomes a sealed body, and is
//! handed to the leader of its home group, where a driver runs the core's coordinator (where one
//! vote decides, `quick` proposes it); votes and decisions are commands in the participants' Raft
//! logs, applied by `machine`. What lies around finds its end by `sweep`. What `foresight` says of
//! a running stream is advice.
//!
//! Architecture invariants:
//! - Nothing here decides whether a transaction commits: all rules are in vatic-core.
//! - A node forwards a call at most once: to the leader, which answers or names another.
//! - Generated types stop at `convert.rs`, and every `tonic::Status` is made in `status.rs`.

mod anomaly_service;
mod api;
mod attest;
mod bootstrap;
mod cluster;
mod cluster_service;
mod compare;
mod config;
mod conflict_service;
mod conflict_watch;
mod conflicts;
mod convert;
mod diary;
mod divergence;
mod drive;
mod explain;
mod foresight;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod held;
mod identity;
mod lanes;
mod limits;
mod load;
mod local;
mod machine;
mod mechanisms;
mod node;
mod operation;
mod outcome;
mod oversize;
mod page;
mod peek;
mod peer;
mod peer_client;
mod peer_service;
mod pipeline;
mod placement;
mod policy_service;
mod queue;
mod quick;
mod rebuild;
mod receipt;
mod records;
mod rollback;
mod room;
mod scrub;
mod serve_read;
mod signer;
mod stage;
mod status;
mod strategy;
mod stream;
mod submit;
mod sweep;
mod telemetry;
mod time;

pub use config::{Config, ConfigError, Member};
pub use limits::Limits;
pub use mechanisms::Mechanism;
pub use node::{Server, ServerError, run};
