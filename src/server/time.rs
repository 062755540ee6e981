//! The wall clock, read in one place. It is a hint everywhere: no rule of the protocol needs it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use vatic_core::id::Timestamp;

/// Now, in microseconds since 1970.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_micros() as u64)
}

/// So many milliseconds before now.
pub(crate) fn before_now(ms: u64) -> Timestamp {
    Timestamp(now().0.saturating_sub(ms * 1_000))
}

/// So many milliseconds from now, on the monotonic clock.
pub(crate) fn deadline_in(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}
