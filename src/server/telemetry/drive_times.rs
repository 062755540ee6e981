//! One sealed transaction at its driver: how long each participant took to vote, and of that how
//! long the command queued at its leader and how long its log entry took; then how long the
//! decision took to reach everybody.

use super::{
    journey::groups,
    metrics::{Ending, observe},
};
use crate::{cluster::Cluster, peer::Times};
use std::{fmt::Write as _, sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{Span, field::Empty};
use vatic_core::{
    command::{Decision, Reply, Standing},
    coordinator::Coordinator,
    id::{GroupId, Tid},
};

/// What is known of the time that a drive took.
pub(crate) struct DriveTimes {
    cluster: Arc<Cluster>,
    span: Span,
    began: Instant,
    answered: Option<Instant>,
    votes: Vec<Voted>,
}

/// A participant's answer to its vote.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Voted {
    pub(crate) group: GroupId,
    /// All of it: the hop, tries that were lost, and what is in `times`.
    pub(crate) took: Duration,
    pub(crate) times: Times,
}

impl DriveTimes {
    pub(crate) fn begin(cluster: &Arc<Cluster>) -> DriveTimes {
        let span = tracing::debug_span!(
            target: "vatic::transaction",
            "drive",
            tid = Empty,
            home = Empty,
            participants = Empty,
            outcome = Empty,
            votes = Empty,
            vote_us = Empty,
            decide_us = Empty,
        );
        let (began, answered) = (Instant::now(), None);
        DriveTimes { cluster: cluster.clone(), span, began, answered, votes: Vec::new() }
    }

    /// The span that its work belongs in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    pub(crate) fn voted(&mut self, voted: Voted, reply: &Reply) {
        let votes = &self.cluster.metrics.votes;
        match reply {
            Reply::Standing(
                Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. }),
            ) => {
                votes.yes.inc();
            }
            Reply::Standing(Standing::No(_) | Standing::Decided(Decision::RolledBack(_))) => {
                votes.no.inc();
            }
            Reply::Standing(Standing::Stale(_) | Standing::None) => votes.stale.inc(),
            Reply::Fault(_) | Reply::Refused(_) | Reply::Unreadable | Reply::Done => {
                votes.fault.inc();
            }
        }
        self.votes.push(voted);
    }

    /// The outcome is known. The first time counts.
    pub(crate) fn answered(&mut self) {
        self.answered.get_or_insert_with(Instant::now);
    }

    /// There was one vote, and it decided.
    pub(crate) fn decided_at_once(mut self, tid: Tid, voted: Voted, reply: &Reply) {
        self.voted(voted, reply);
        let took = self.began.elapsed();
        observe(&self.cluster.metrics.stages.vote, took);
        if self.cluster.metrics.slow.is_slow(took) {
            let outcome = match reply {
                Reply::Standing(Standing::Decided(Decision::RolledBack(_))) => {
                    Ending::RolledBack(0).name()
                }
                _ => Ending::Committed.name(),
            };
            self.warn((tid, &[voted.group]), outcome, Some(took), Some(Duration::ZERO));
        }
    }

    /// Everybody has applied the decision, or the driver has given up.
    pub(crate) fn end(self, coordinator: &Coordinator) {
        let voted = self.answered.map(|answered| answered - self.began);
        let decided = self.answered.map(|answered| answered.elapsed());
        let metrics = &self.cluster.metrics;
        if let (Some(voted), Some(decided)) = (voted, decided) {
            observe(&metrics.stages.vote, voted);
            observe(&metrics.stages.decide, decided);
        }
        let outcome = outcome(coordinator);
        if !self.span.is_disabled() {
            let us = |took: Option<Duration>| took.map(|took| took.as_micros() as u64);
            self.span.record("tid", tracing::field::display(coordinator.tid()));
            self.span.record("home", coordinator.tid().home.0);
            self.span.record("participants", groups(&coordinator.participants()));
            self.span.record("outcome", outcome);
            self.span.record("votes", in_words(&self.votes));
            self.span.record("vote_us", us(voted));
            self.span.record("decide_us", us(decided));
        }
        // Until the answer it kept the client waiting, afterwards whoever wants the same keys.
        if metrics.slow.is_slow(self.began.elapsed()) {
            let named = (coordinator.tid(), &coordinator.participants()[..]);
            self.warn(named, outcome, voted, decided);
        }
    }

    fn warn(
        &self,
        (tid, participants): (Tid, &[GroupId]),
        outcome: &str,
        voted: Option<Duration>,
        decided: Option<Duration>,
    ) {
        let Some(left_out) = self.cluster.metrics.slow.place() else { return };
        let ms = |took: Duration| took.as_millis() as u64;
        tracing::warn!(
            target: "vatic::slow",
            %tid,
            home = tid.home.0,
            participants = groups(participants),
            outcome,
            total_ms = ms(self.began.elapsed()),
            vote_ms = voted.map(ms),
            decide_ms = decided.map(ms),
            votes = in_words(&self.votes),
            left_out,
            "slow transaction at its driver",
        );
    }
}

fn outcome(coordinator: &Coordinator) -> &'static str {
    match coordinator.decision() {
        Some(Decision::Committed { .. }) => Ending::Committed.name(),
        Some(Decision::RolledBack(_)) => Ending::RolledBack(0).name(),
        None => Ending::Unknown.name(),
    }
}

/// Each vote with its times, in the order in which they came.
fn in_words(votes: &[Voted]) -> String {
    let mut words = String::new();
    for Voted { group, took, times } in votes {
        let separator = if words.is_empty() { "" } else { "; " };
        let (took, queued) = (took.as_millis(), times.queued_us / 1_000);
        let log = times.committed_us / 1_000;
        write!(words, "{separator}group {group}: {took} ms (queue {queued}, log {log})")
            .expect("a string takes everything");
    }
    words
}
