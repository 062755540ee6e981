//! The durable queue: tickets that happen once each, in order, whoever leads.
//!
//! [`model`] says what is abstracted away and why.

mod deltas;
pub mod model;
pub mod property;
pub mod scenarios;

mod words;
