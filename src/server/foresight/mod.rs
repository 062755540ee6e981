//! What this node foresees of running streams: forecasts, warnings, and verdicts at the seal.
//!
//! `guide` is a stream's side: it notes the steps, asks for forecasts and hands the whole over at
//! the seal. `learner` is the other side: one thread that owns all that is learnt (`study`, with
//! `classes` and `judge`) and is reached over bounded channels alone. `watch` looks at what a
//! stream read. `anomalies` keeps what was strange. `kinds` gives steps their numbers and names.
//!
//! Invariants: a stream never waits for the learner before its outcome, and then for a moment that
//! is bounded; what finds a channel full is left out and counted. Learning takes a fixed share of
//! one core (`learn_share_percent`). Nothing here decides whether a transaction commits: it ends a
//! stream early only where the client asked for that, and before its seal.

mod anomalies;
mod classes;
pub(crate) mod convert;
mod counters;
mod guide;
mod judge;
mod kinds;
mod learner;
mod study;
mod walk;
mod watch;

pub(crate) use anomalies::{Anomalies, Strange, WATCHERS_MAX as ANOMALY_WATCHERS_MAX};
pub(crate) use guide::{Guide, News};
pub(crate) use learner::Foresight;

#[cfg(test)]
mod study_test;
