//! vatic-verification: the protocol under simulation, one seed at a time.
//!
//! At level 1 the core that the server runs is driven over a simulated log and network, with
//! virtual time and every misfortune that a seed can draw; at level 2 (`deployment`) the same world
//! runs on openraft, the server's consensus module, our log and our store. A history is judged by
//! checks that know nothing of the protocol's inside.
#![forbid(unsafe_code)]

mod conformance;
mod deployment;
mod event;
mod faults;
mod history;
mod hunt;
mod limits;
mod misfortune;
mod oracle;
mod parallel;
mod paths;
mod probe;
mod receipts;
mod regressions;
mod rng;
mod sabotage;
mod seeded;
mod shrink;
mod sim_state;
mod simulate;
mod swarm;
mod trace;
mod violation;
mod world;

pub use conformance::{Conformance, Diaries, Projections, conform, conform_all, play_diaries};
pub use faults::{Fault, Faults};
pub use hunt::{Broken, Catch, Hunts, ModelAsked, ask_models, hunt, hunt_all};
pub use misfortune::Family;
pub use paths::{InLmdb, InMemory, Shelf, Walked, walk, walk_all, walkable};
pub use probe::{Probe, Probes};
pub use receipts::{Attack, FILE, forge, forge_against, vectors};
pub use regressions::{REGRESSIONS, Regression};
pub use sabotage::{Level, Options, Sabotage};
pub use seeded::Seeded;
pub use shrink::shrink;
pub use simulate::{Batch, Run, again, arguments, run};
pub use violation::{Check, Violation};
