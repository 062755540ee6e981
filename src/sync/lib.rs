//! vatic-sync: what threads of a node share, and that is more than one value under one lock.
//!
//! Why a crate: each of these is small enough that loom runs through every order in which its
//! threads can interleave, and every value that a load may return. It does so with this very code:
//! [`shim`] names `std::sync` in a node and `loom` under `--cfg vatic_loom`, and is the only file
//! here that names either.
//!
//! What is not here, and why. A value behind one lock is std's and needs no model. Channels,
//! watches, notifications and bounded places are tokio's. `std::sync::Arc` may be named anywhere.
//! Atomics and condition variables are named here alone (a source rule holds that).
//!
//! Each model has a twin that is red on purpose: [`fault`] breaks the one line that the model is
//! about, and loom must find the interleaving that shows it.
//!
//! ```text
//! RUSTFLAGS="--cfg vatic_loom" cargo test -p vatic-sync --target-dir target/loom --release
//! ```

mod claim;
mod current;
mod door;
mod fault;
mod flights;
mod gate;
mod handoff;
mod marker;
mod shim;
mod sparse;

pub use claim::{Claim, Claimed};
pub use current::Current;
pub use door::{Door, Shut};
#[cfg(vatic_loom)]
pub use fault::{Fault, with_fault};
pub use flights::Flights;
pub use gate::Gate;
pub use handoff::{Handoff, Inbox, Turn};
pub use marker::{Flag, Level};
pub use shim::{Arc, Mutex, MutexGuard};
pub use sparse::Sparse;
