//! What this node foresees of running streams: forecasts, warnings, and verdicts at the seal.
//!
//! `guide` is a stream's side: it notes the steps, asks for forecasts, is held against them on the
//! way (`progress`) and, in `seal`, hands the whole over and has it judged. `learner` is the other
//! side: one thread that owns all that is learnt (`study`, with `generations`, `classes` and
//! `judge`) and is reached over bounded channels alone. `courses` stands between the two: what
//! ended here goes to group 0, and what all nodes brought there comes to the learner. `watch` looks
//! at what a stream read. `anomalies` keeps what was strange. `kinds` gives steps their numbers and
//! names.
//!
//! `odds` has the leaders of what a stream touched weigh how likely it is to meet a conflict; what
//! it and `watch` ask of one leader goes in one question for all streams (`rounds`).
//! `warm` contacts groups that a forecast names before the stream gets there. `habits` spares a
//! stream turns with records that it will not write, by that forecast, and before there is one.
//! `beside` keeps what is added to a ticket's own transitions out of its verdict.
//! `tolerances` is what the groups tolerate, as they said last; `resolve` tries an invalid
//! transaction out before its votes, and chooses its strategy.
//!
//! Invariants: a stream waits for the learner only at its seal, where its client or a policy wants
//! the verdict, and for a moment that is bounded: what cannot be judged by then goes on and says
//! so, or is refused where a policy lets nothing through unjudged. What finds a channel full is
//! left out and counted. Learning takes a fixed share of one core (`learn_share_percent`). Nothing
//! here decides that a transaction commits: the finding is part of its body, and votes enforce it.
//! A stream is ended early only where the client asked for that, and before its seal.

mod anomalies;
mod beside;
mod classes;
pub(crate) mod convert;
mod counters;
pub(crate) mod courses;
mod generations;
mod guide;
mod habits;
mod judge;
mod kinds;
mod learner;
mod odds;
mod progress;
mod resolve;
mod rounds;
mod seal;
mod study;
mod tolerances;
mod walk;
mod warm;
mod watch;

pub(crate) use anomalies::{Anomalies, Strange, WATCHERS_MAX as ANOMALY_WATCHERS_MAX};
#[cfg(feature = "fuzz")]
pub(crate) use generations::learns;
pub(crate) use guide::{End, Guide, News};
pub(crate) use learner::Foresight;
pub(crate) use resolve::wait_until_free;
pub(crate) use study::Told;

use crate::{cluster::Cluster, status::ApiError, strategy::Course};
use std::sync::Arc;
use tokio::time::Instant;
use vatic_core::{draft::Draft, verdict::Action};

/// Judges a sealed draft before its votes, where it was forecast, and does what its collections ask
/// for an invalid one to be preceded by. An error where they let nothing through unjudged, and it
/// cannot be judged now: nothing was voted.
pub(crate) async fn judge(
    cluster: &Arc<Cluster>,
    guide: &mut Guide,
    (draft, course): (&mut Draft, &mut Course),
    ends: Instant,
) -> Result<(), ApiError> {
    for group in draft.groups() {
        guide.touch(cluster, group);
    }
    if guide.asked_for_turns() {
        let written = draft.written();
        guide.wrote(&written, course.missed(&written));
    }
    if Box::pin(guide.judge(cluster, draft, ends)).await? == Action::Wait {
        let freed = Box::pin(resolve::resolve(cluster, draft, course, ends)).await;
        let counters = guide.counters();
        if freed { counters.freed.inc() } else { counters.blocked.inc() }
    }
    Ok(())
}

#[cfg(test)]
mod courses_test;
#[cfg(test)]
mod generations_test;
#[cfg(test)]
mod study_test;
