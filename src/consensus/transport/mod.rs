//! Raft traffic between nodes: per peer one connection, on it one long-lived stream a lane.
//!
//! ```text
//!  openraft ─► Link (one group, one target) ─► Lane queue ─► Dialer ═ stream ═► serve_lane
//!     ▲                                                                            │
//!     └── reply, matched by sequence ◄── Dialer ◄═ stream ═ replies ◄── replica ◄──┘
//! ```
//!
//! Why our own: a connection a group would cost hundreds of streams between two nodes, and one
//! stream for everything would let a snapshot delay a vote. So all groups share a lane, what is
//! ready together travels together, and what must not wait for bulk has a lane of its own:
//! control (votes, heartbeats, leader transfer), append, snapshot.
//!
//! Invariants: the appends of one pipeline are handed to Raft in the order in which they were
//! sent; every request is answered, failed or past its deadline, never waiting for ever; queues
//! are bounded, and a full one is an unreachable peer, so that Raft backs off.

pub(crate) mod addresses;
pub(crate) mod append;
#[cfg(test)]
mod append_test;
pub(crate) mod dialer;
pub(crate) mod faults;
pub(crate) mod introduce;
pub(crate) mod lane;
pub(crate) mod link;
pub(crate) mod peers;
pub(crate) mod receive;
pub(crate) mod registry;
pub(crate) mod serve;
pub(crate) mod service;
pub(crate) mod session;
pub(crate) mod snapshot_send;
