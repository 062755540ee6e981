//! What the nodes of one cluster say to each other.

pub mod v1;
