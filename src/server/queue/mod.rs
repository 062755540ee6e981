//! The durable queue: transactions that nobody waits for.
//!
//! What a ticket is, and why it happens once, is in `vatic_core::ticket`; which of them are begun
//! when, in `vatic_core::dispatch`. Here are the clock, the tasks and the services.
//!
//! Lost: an entry kind and a table of their own in the group's state (votes, recovery, snapshots
//! and receipts would all have to know it).

mod counters;
mod counts;
mod dispatch;
mod service;
mod shadow;
mod sweep;

pub(crate) use counters::Counters;
pub(crate) use counts::Counts;
pub(crate) use shadow::StagingAreas;

use crate::api::Gateway;
use tokio::task::JoinSet;

/// Starts what the leaders of this node's groups do about tickets.
pub(crate) fn start(gateway: &Gateway, tasks: &mut JoinSet<()>) {
    dispatch::start(gateway, tasks);
    sweep::start(gateway, tasks);
}

/// Between two looks of a leader at what waits.
const LOOK_AGAIN_MS: u64 = 50;
/// After a look it rests so many times as long as that took, but `WHOLE_LOOK_MS` at most: looks at
/// a long queue shall leave time for what they begin.
const LOOK_SHARE: u32 = 10;
/// Between two picks from what the last look has found, where attempts end.
const PICK_AGAIN_MS: u64 = 2;
/// Between two looks at all of it, from its beginning.
const WHOLE_LOOK_MS: u64 = 1_000;
/// How old a ticket is that comes next at most, or it is found at the next look at all.
const FRESH_MS: u64 = 10_000;
/// Of what waits, the oldest so many are looked at; they go in order of priority. Large ones make
/// it fewer: a page of records has at most 4 MiB, and one more.
const LOOKED_MAX: u64 = 1_000;
/// Where fewer than so many are due that could be under way together, the next page is looked at,
const DUE_ENOUGH: usize = 32;
/// and at most so many.
const PAGES_MAX: usize = 8;
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
