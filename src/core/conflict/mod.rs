//! How likely a transaction is to conflict, in integers.
//!
//! Contention keeps what is known of the present: which records and areas are written how often,
//! who is in flight on them, how often whom conflicted. Of a mutation it makes about thirty numbers
//! (features), and a model, fitted elsewhere, makes a probability of those. Nothing here decides
//! whether a transaction commits: the score orders queues and chooses lanes.
//!
//! Invariants: no floats, no clock (time comes in as microseconds since 1970), memory bounded by
//! [`Limits`], and the same calls give the same numbers on every machine.

pub mod fixed;

mod claims;
mod contention;
mod factors;
mod features;
mod flight;
mod hotness;
mod limits;
mod mutation;
mod rates;
mod score;
mod tempo;

pub use claims::{Advice, Ask, Ballot, By, Claims, Course, EXPLORED_PPM, Known, Label, Verdict};
pub use contention::{Contention, Landing};
pub use factors::{Factors, RANK};
pub use features::{FEATURES, Feature, Features, Group};
pub use limits::Limits;
pub use mutation::{Mutation, Touch};
pub use score::{Calibration, Model, Term};

#[cfg(test)]
mod claims_test;
#[cfg(test)]
mod contention_test;
#[cfg(test)]
mod hotness_test;
#[cfg(test)]
mod score_test;
