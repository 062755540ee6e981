//! Waiting for a state: by looking again, up to a deadline.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is bound to come soon, on a machine that has other things to do as well.
pub const SOON: Duration = Duration::from_secs(30);

/// Looks until there is something to see. Panics, saying what was awaited, once time is up.
pub async fn until<T, L>(what: &str, within: Duration, mut look: impl FnMut() -> L) -> T
where
    L: Future<Output = Option<T>>,
{
    let end = Instant::now() + within;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "{what}: not within {within:?}");
        sleep(LOOK_AGAIN).await;
    }
}
