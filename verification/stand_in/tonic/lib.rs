//! What stands in for tonic where simulated code is compiled: streams of messages over simulated
//! pipes, with tonic's own statuses. Settings of connections are taken and mean nothing.

pub mod service;
mod streaming;
pub mod transport;

pub use streaming::Streaming;
pub use tonic_itself::{Code, Request, Response, Status, async_trait};
