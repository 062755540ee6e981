//! vatic-core: the protocol as pure code.
//!
//! What commits, rolls back, reads and forgets is decided here and nowhere else. The server, the
//! stateright models and the simulator run these very functions, so that what is checked is what
//! runs. There is no clock, no randomness, no I/O and no float arithmetic in this crate: time,
//! seeds and the answers of other groups come in as data.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod aggregate;
pub mod algebra;
pub mod anomaly;
pub mod body;
pub mod chain;
pub mod checkpoint;
pub mod codec;
pub mod command;
pub mod conflict;
pub mod coordinator;
pub mod course;
pub mod delta;
pub mod diary;
pub mod dispatch;
pub mod disturbed;
pub mod draft;
pub mod estimate;
pub mod expected;
pub mod finding;
pub mod footprint;
pub mod forget;
#[cfg(feature = "fuzz")]
pub mod fuzz;
pub mod group;
pub mod hash;
pub mod history;
pub mod id;
pub mod invariant;
pub mod key;
pub mod lane;
pub mod limits;
pub mod load;
pub mod memory;
pub mod merkle;
pub mod meta;
pub mod multiread;
pub mod policy;
pub mod precedence;
pub mod quota;
pub mod read;
pub mod receipt;
pub mod request;
pub mod resolution;
pub mod ring;
pub mod rules;
pub mod shadow;
pub mod shelf;
pub mod sign;
pub mod state;
pub mod strategy;
pub mod ticket;
pub mod tolerance;
pub mod value;
pub mod verdict;

mod basis;
mod census;
mod decide;
mod form;
mod garbage;
mod install;
mod lock;
mod numbered;
mod recorded;
mod tables;
mod vote;

#[cfg(test)]
mod adoption_test;
#[cfg(test)]
mod algebra_test;
#[cfg(test)]
mod anomaly_test;
#[cfg(test)]
mod basis_test;
#[cfg(test)]
mod chain_test;
#[cfg(test)]
mod checkpoint_test;
#[cfg(test)]
mod codec_test;
#[cfg(test)]
mod coordinator_test;
#[cfg(test)]
mod course_test;
#[cfg(test)]
mod delta_test;
#[cfg(test)]
mod diary_test;
#[cfg(test)]
mod dispatch_test;
#[cfg(test)]
mod disturbed_test;
#[cfg(test)]
mod draft_test;
#[cfg(test)]
mod estimate_test;
#[cfg(test)]
mod finding_test;
#[cfg(test)]
mod fixture_test;
#[cfg(test)]
mod footprint_test;
#[cfg(test)]
mod garbage_test;
#[cfg(test)]
mod history_test;
#[cfg(test)]
mod key_test;
#[cfg(test)]
mod lane_test;
#[cfg(test)]
mod merkle_test;
#[cfg(test)]
mod multiread_test;
#[cfg(test)]
mod protocol_test;
#[cfg(test)]
mod quota_test;
#[cfg(test)]
mod receipt_test;
#[cfg(test)]
mod recovery_test;
#[cfg(test)]
mod resolution_test;
#[cfg(test)]
mod ring_test;
#[cfg(test)]
mod shadow_test;
#[cfg(test)]
mod shelf_test;
#[cfg(test)]
mod stale_test;
#[cfg(test)]
mod strategies_test;
#[cfg(test)]
mod ticket_test;
#[cfg(test)]
mod tolerance_test;
#[cfg(test)]
mod validation_test;
#[cfg(test)]
mod verdict_test;
