//! vatic-models: the protocol, checked exhaustively in small worlds.
//!
//! The models run the core's own votes, decisions, recovery, forgetting and reads; what they add is
//! only what may happen next and what must hold.

pub mod check;
pub mod commit;
pub mod mutants;
pub mod output;
pub mod shared;

#[cfg(test)]
mod mutants_test;
