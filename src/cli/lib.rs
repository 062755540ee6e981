//! The command line of vatic.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are in [`exit`]; what a flag leaves
//! open is taken from `VATIC_*`, then from a TOML file, then from the defaults.

mod agreement;
mod anomalies;
mod args;
mod bench;
mod cluster_processes;
mod conflicts;
mod demo;
mod dev;
mod dispatch;
mod exit;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod json;
mod keys;
mod logging;
mod notices;
mod output;
mod policy;
mod queue;
mod receipt_file;
mod records;
mod replay;
mod script;
mod settings;
mod start;
mod status;
mod txn;
mod verify;

pub use dispatch::run;
