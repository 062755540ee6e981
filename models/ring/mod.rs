//! Ring epochs, and which group owns a record while groups differ in them.
//!
//! [`model`] says what is abstracted away and why.

pub mod model;
pub mod property;
pub mod scenarios;

mod words;
