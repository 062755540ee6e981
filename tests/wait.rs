//! Waiting for a state: by looking again, up to a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is bound to come soon, on a machine that has other things to do as well.
pub const SOON: Duration = Duration::from_secs(30);

/// Looks until there is something to see. Panics, saying what was awaited, once time is up.
pub async fn until<T, L>(what: &str, time: Duration, look: impl FnMut() -> L) -> T
where
    L: Future<Output = Option<T>>,
{
    within(time, look).await.unwrap_or_else(|| panic!("{what}: not within {time:?}"))
}

/// The same for what may not come: `None` once time is up.
pub async fn within<T, L>(time: Duration, mut look: impl FnMut() -> L) -> Option<T>
where
    L: Future<Output = Option<T>>,
{
    let end = Instant::now() + time;
    loop {
        let seen = look().await;
        if seen.is_some() || Instant::now() >= end {
            return seen;
        }
        sleep(LOOK_AGAIN).await;
    }
}
