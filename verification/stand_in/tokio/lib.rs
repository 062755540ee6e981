//! What stands in for tokio where simulated code is compiled: tokio itself, on one thread and in
//! virtual time, without what would make two runs of one seed differ.
//!
//! Tasks belong to a [`process::Process`], which a simulated crash ends with all of them. Blocking
//! work runs where it is asked for. A watch wakes its waiters in the order in which they came
//! (tokio's own picks at random). Sockets are queues in memory, which the simulation may tear.

pub mod chance;
pub mod net;
pub mod process;
pub mod raft_runtime;
pub mod sync;
pub mod task;
pub mod wire;

pub use process::spawn;
pub use tokio_itself::{join, pin, runtime, select, time, try_join};
