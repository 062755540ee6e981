//! What stands in for the generated code where simulated code is compiled: the messages are the
//! generated ones, and the one service between nodes goes over simulated pipes, unencoded.

pub mod peer;
