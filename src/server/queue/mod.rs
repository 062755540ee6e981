//! The durable queue: transactions that nobody waits for.
//!
//! What a ticket is, and why it happens once, is in `vatic_core::ticket`; which of them are begun
//! when, in `vatic_core::dispatch`. Here are the clock, the tasks and the services.
//!
//! Lost: an entry kind and a table of their own in the group's state (votes, recovery, snapshots
//! and receipts would all have to know it).

mod counts;
mod dispatch;
mod service;
mod shadow;

pub(crate) use counts::Counts;
pub(crate) use dispatch::start;
pub(crate) use shadow::StagingAreas;

/// Between two looks of a leader at what waits.
const LOOK_AGAIN_MS: u64 = 50;
/// Of what waits, the oldest so many are looked at; they go in order of priority.
const LOOKED_MAX: u64 = 1_000;
/// One attempt.
const ATTEMPT_MS: u64 = 10_000;
/// A resolved ticket can be asked for.
const RESOLVED_KEPT_MS: u64 = 900_000;
/// Between two looks at what is no longer kept.
const SWEEP_MS: u64 = 10_000;
/// How old a leader's knowledge of a pause may be.
const PAUSED_KNOWN_MS: u64 = 250;
/// How old a gateway's knowledge may be of how many tickets a group has.
const COUNT_KNOWN_MS: u64 = 500;
/// How long it may take to ask.
const PAUSED_ASKED_MS: u64 = 2_000;
