//! The digest chain and its aggregation: from what a client sends to the receipt that it keeps.
//!
//! [`model`] says what is abstracted away and why.

pub mod forge;
pub mod ledger;
pub mod model;
pub mod property;
pub mod scenarios;
pub mod stream;
pub mod world;

mod coordinate;
mod words;
