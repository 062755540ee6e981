//! What stands in for openraft's tokio runtime where simulated code is compiled.

pub use vatic_stand_in_tokio::raft_runtime::TokioRuntime;
