//! What vatic learns from its own history.
//!
//! Nothing in here decides whether a transaction commits: it says what to expect. All of it runs
//! off the path that applies entries, and may use floats. What is evaluated there, or on the way of
//! every mutation, is integers and lies in the core.

pub mod conflict;
pub mod forecast;
