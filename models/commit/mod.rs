//! The commit protocol: votes, decisions, recovery, forgetting and reads, by the core's own code.
//!
//! [`model`] says what is abstracted away and why.

pub mod client;
pub mod memo;
pub mod model;
pub mod plan;
pub mod premise;
pub mod projection;
pub mod property;
pub mod reader;
pub mod scenarios;
pub mod serial;
pub mod site;
pub mod witness;
pub mod world;

mod coordinate;
mod reduce;
mod stream;
mod wider;
pub(crate) mod words;

#[cfg(test)]
mod reduce_test;
#[cfg(test)]
mod serial_test;
