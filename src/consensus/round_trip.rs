//! How long the way to a follower and back takes, and how many batches are worth having on it.
//!
//! Why measured: a second batch in flight makes each of them smaller, which costs CPU where CPU is
//! what a commit waits for; with one alone a commit where nodes are far apart waits for the whole
//! way of the one before it, were that but the decision of the last transaction.
//!
//! Why the quickest append of late, and not the usual one: what waits behind others on this node
//! is slow as well, and more of them in flight would make it slower. The quickest took the way and
//! little else: where the group rests now and then, not even a write of the follower's log.
//!
//! Invariant: what is older than two spans does not count; with nothing newer it is one batch.
//! Weaker: with five replicas a quorum waits for two followers, and the quickest one counts.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::Limits;

/// The quickest is of this span and what has begun of the next.
const SPAN: Duration = Duration::from_secs(10);

/// Of one replica, to whichever of its followers answers the soonest.
#[derive(Default)]
pub(crate) struct RoundTrip {
    spans: Mutex<Option<Spans>>,
}

struct Spans {
    since: Instant,
    before: Option<Duration>,
    now: Option<Duration>,
}

impl RoundTrip {
    /// An append was answered.
    pub(crate) fn observe(&self, took: Duration, now: Instant) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let spans = spans.get_or_insert(Spans { since: now, before: None, now: None });
        spans.turn(now);
        spans.now = Some(spans.now.map_or(took, |quickest| quickest.min(took)));
    }

    /// How many batches may be in flight: one, and where the way is long as many as go one
    /// `batch_interval_ms` after the other until the first is answered.
    pub(crate) fn batches(&self, limits: &Limits, now: Instant) -> usize {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let quickest = spans.as_mut().and_then(|spans| spans.quickest(now)).unwrap_or_default();
        let interval = Duration::from_millis(limits.batch_interval_ms);
        let batches = quickest.as_micros() / interval.as_micros().max(1);
        usize::try_from(batches).unwrap_or(usize::MAX).clamp(1, limits.batches_in_flight_max)
    }
}

impl Spans {
    fn turn(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        if passed >= SPAN {
            let next = passed < 2 * SPAN;
            self.before = self.now.take().filter(|_| next);
            self.since = if next { self.since + SPAN } else { now };
        }
    }

    fn quickest(&mut self, now: Instant) -> Option<Duration> {
        self.turn(now);
        self.before.into_iter().chain(self.now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn limits() -> Limits {
        Limits { batch_interval_ms: 5, batches_in_flight_max: 8, ..Limits::production() }
    }

    #[test]
    fn one_batch_until_the_way_is_known_and_where_it_is_short() {
        let (trip, start) = (RoundTrip::default(), Instant::now());
        assert_eq!(trip.batches(&limits(), start), 1);
        trip.observe(ms(4), start);
        assert_eq!(trip.batches(&limits(), start), 1);
    }

    #[test]
    fn a_long_way_holds_as_many_as_go_an_interval_apart() {
        let (trip, start) = (RoundTrip::default(), Instant::now());
        trip.observe(ms(21), start);
        assert_eq!(trip.batches(&limits(), start), 4);
        trip.observe(ms(400), start + ms(1));
        assert_eq!(trip.batches(&limits(), start + ms(1)), 4, "the quickest counts");
        let far = RoundTrip::default();
        far.observe(ms(400), start);
        assert_eq!(far.batches(&limits(), start), 8, "batches_in_flight_max");
    }

    #[test]
    fn a_way_that_has_become_longer_is_noticed_and_an_old_one_forgotten() {
        let (trip, start) = (RoundTrip::default(), Instant::now());
        trip.observe(ms(1), start);
        trip.observe(ms(20), start + SPAN);
        assert_eq!(trip.batches(&limits(), start + SPAN), 1, "the span before counts as well");
        trip.observe(ms(20), start + 2 * SPAN);
        assert_eq!(trip.batches(&limits(), start + 2 * SPAN), 4);
        assert_eq!(trip.batches(&limits(), start + 5 * SPAN), 1, "nothing of late");
    }

    #[test]
    fn two_spans_are_no_longer_where_nobody_looks_in_between() {
        let (trip, start) = (RoundTrip::default(), Instant::now());
        trip.observe(ms(1), start);
        let late = start + 2 * SPAN - ms(1);
        assert_eq!(trip.batches(&limits(), late), 1);
        trip.observe(ms(20), late + ms(2));
        assert_eq!(trip.batches(&limits(), late + ms(2)), 4);
    }
}
