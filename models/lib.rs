//! vatic-models: the commit protocol, checked exhaustively in small worlds.
//!
//! The models run the core's own votes, decisions, recovery, forgetting and reads; what they add is
//! only what may happen next and what must hold. [`model`] says what is abstracted away and why.

pub mod check;
pub mod client;
pub mod memo;
pub mod model;
pub mod mutants;
pub mod output;
pub mod plan;
pub mod property;
pub mod reader;
pub mod scenarios;
pub mod serial;
pub mod shared;
pub mod site;
pub mod witness;
pub mod world;

mod coordinate;
mod step_text;

#[cfg(test)]
mod mutants_test;
#[cfg(test)]
mod scenarios_test;
#[cfg(test)]
mod serial_test;
