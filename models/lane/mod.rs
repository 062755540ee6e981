//! The key lane: turns with hot records, given in order, and given up by all that can go wrong.
//!
//! [`model`] says what is abstracted away and why.

pub mod model;
pub mod property;
pub mod scenarios;

mod words;
