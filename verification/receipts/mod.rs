//! Receipts under attack: real ones, from groups that replicas signed for, are changed in every way
//! that bytes and parts can be, and none may verify; and vectors for other implementations.

mod forge;
mod sample;
mod vectors;

pub use forge::{Attack, forge, forge_against};
pub use vectors::{FILE, vectors};
