//! The numbers of the demonstration, with their units.

use vatic_client::Limits;

use super::mix::Hot;

/// What each account holds at first, in cents.
pub(crate) const OPENING_CENTS: i64 = 10_000;
/// Largest amount of one transaction, in cents.
pub(crate) const AMOUNT_CENTS_MAX: i64 = 500;
/// What an overdrawn check costs, in cents (SmallBank's penalty).
pub(crate) const PENALTY_CENTS: i64 = 1;
/// Few enough to meet now and then.
pub(crate) const HOT: Hot = Hot { customers: 20, percent: 30 };

/// Until a node that was killed is ready again.
pub(crate) const RESTART_MS: u64 = 30_000;
/// Longest that a node stays away after its kill.
pub(crate) const DOWN_MS_MAX: u64 = 2_000;
/// Until all replicas agree once the load is over.
pub(crate) const AGREE_MS: u64 = 30_000;
/// Longest that the checks may take.
pub(crate) const CHECK_MS: u64 = 180_000;
/// Receipts that are completed at once.
pub(crate) const COMPLETED_AT_ONCE: usize = 64;
/// Keys in one strict read.
pub(crate) const READ_SET_KEYS: usize = 60;
/// Opening accounts at once.
pub(crate) const OPENERS: usize = 16;

/// A client that meets a killed node: short attempts, patience over all of them.
pub(crate) fn client_limits() -> Limits {
    Limits {
        call_ms: 3_000,
        stream_ms: 5_000,
        operation_ms: 30_000,
        connect_ms: 500,
        attempts_max: 100_000,
        backoff_base_ms: 2,
        backoff_max_ms: 200,
        ..Limits::production()
    }
}
