//! vatic-models: the protocol, checked exhaustively in small worlds.
//!
//! The models run the core's own votes, decisions, recovery, forgetting and reads; what they add is
//! only what may happen next and what must hold.

pub mod catalogue;
pub mod check;
pub mod commit;
pub mod digest;
pub mod dispatch;
pub mod explore;
pub mod lane;
pub mod memo;
pub mod mutants;
pub mod narrate;
pub mod options;
pub mod output;
pub mod paths;
pub mod premise;
pub mod ring;
pub mod shared;

#[cfg(test)]
mod catalogue_test;
#[cfg(test)]
mod mutants_test;
#[cfg(test)]
mod paths_test;
