//! The durable queue: transactions that nobody waits for.
//!
//! A ticket is a record in the home group of its transaction. The transaction that resolves it
//! expects the ticket as it was seen and deletes it, beside its own deltas: so it happens once,
//! whoever leads, and nothing here has to remember anything. A second attempt of the same ticket
//! loses its vote to the first.
//!
//! Lost: an entry kind and a table of their own in the group's state (votes, recovery, snapshots
//! and receipts would all have to know it).

mod counts;
mod dispatch;
mod service;
mod ticket;

pub(crate) use counts::Counts;
pub(crate) use dispatch::start;

/// Between two looks of a leader at what waits.
const LOOK_AGAIN_MS: u64 = 50;
/// Of what waits, the oldest so many are looked at; they go in order of priority.
const LOOKED_MAX: u64 = 1_000;
/// Tickets of one group that are under way at once.
const RUNNING_MAX: usize = 32;
/// What has waited for so long goes before all others.
const AGED_MS: u64 = 60_000;
/// Pauses between two attempts of a ticket that conflicts: the first, and the longest.
const PAUSE_MS: [u64; 2] = [10, 1_000];
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
