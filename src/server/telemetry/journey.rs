//! One transaction at its gateway, from its begin to its outcome: how it ended, and who had it in
//! hand for how long.
//!
//! It tells when it is dropped, so that no way out of a stream is forgotten. What is not in any of
//! the four stages is the gateway's own work, and sending to a client that reads slowly.

use super::metrics::{Ending, observe};
use crate::cluster::Cluster;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;
use tracing::{Span, field::Empty};
use vatic_core::{
    draft::Draft,
    id::{GroupId, Tid},
};

/// A transaction under way.
pub(crate) struct Journey {
    cluster: Arc<Cluster>,
    span: Span,
    /// `None` before its begin: nothing is told then.
    began: Option<Instant>,
    tid: Option<Tid>,
    groups: Vec<GroupId>,
    ending: Ending,
    spent: Spent,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    client: Duration,
    read: Duration,
    stage: Duration,
    coordinate: Duration,
}

impl Journey {
    /// A transaction that may begin.
    pub(crate) fn new(cluster: &Arc<Cluster>) -> Journey {
        let span = tracing::debug_span!(
            target: "vatic::transaction",
            "transaction",
            tid = Empty,
            home = Empty,
            participants = Empty,
            outcome = Empty,
            client_us = Empty,
            read_us = Empty,
            stage_us = Empty,
            coordinate_us = Empty,
            total_us = Empty,
        );
        Journey {
            cluster: cluster.clone(),
            span,
            began: None,
            tid: None,
            groups: Vec::new(),
            ending: Ending::Abandoned,
            spent: Spent::default(),
        }
    }

    /// One that begins now.
    pub(crate) fn begun(cluster: &Arc<Cluster>) -> Journey {
        let mut journey = Journey::new(cluster);
        journey.begin();
        journey
    }

    pub(crate) fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// The span that its work belongs in.
    pub(crate) fn span(&self) -> Span {
        self.span.clone()
    }

    /// It waited for the client since then.
    pub(crate) fn waited_for_client(&mut self, since: Instant) {
        // Before its begin there is no transaction that could wait.
        if self.began.is_some() {
            self.spent.client += since.elapsed();
        }
    }

    /// It read since then.
    pub(crate) fn read(&mut self, since: Instant) {
        self.spent.read += since.elapsed();
    }

    /// It staged transitions since then.
    pub(crate) fn staged(&mut self, since: Instant) {
        self.spent.stage += since.elapsed();
    }

    /// It was sealed then, and is now decided, or given up.
    pub(crate) fn coordinated(&mut self, since: Instant) {
        self.spent.coordinate += since.elapsed();
    }

    /// Whose transaction this is, and where it goes.
    pub(crate) fn know(&mut self, draft: &Draft) {
        (self.tid, self.groups) = (draft.tid(), draft.groups());
    }

    pub(crate) fn end(&mut self, ending: Ending) {
        self.ending = ending;
    }

    fn tell(&self, total: Duration) {
        let metrics = &self.cluster.metrics;
        metrics.ended(self.ending);
        let Spent { client, read, stage, coordinate } = self.spent;
        let stages = &metrics.stages;
        // One-shots wait for no client, and few transactions stage: zeros would hide the others.
        for (histogram, spent) in [
            (&stages.client, client),
            (&stages.read, read),
            (&stages.stage, stage),
            (&stages.coordinate, coordinate),
        ] {
            if !spent.is_zero() {
                observe(histogram, spent);
            }
        }
        if !self.span.is_disabled() {
            self.record(total);
        }
        if metrics.slow.is_slow(total) {
            metrics.slow.count();
            self.warn(total);
        }
    }

    fn record(&self, total: Duration) {
        let Spent { client, read, stage, coordinate } = self.spent;
        let us = |spent: Duration| spent.as_micros() as u64;
        if let Some(tid) = self.tid {
            self.span.record("tid", tracing::field::display(tid));
            self.span.record("home", tid.home.0);
        }
        self.span.record("participants", groups(&self.groups));
        self.span.record("outcome", self.ending.name());
        self.span.record("client_us", us(client));
        self.span.record("read_us", us(read));
        self.span.record("stage_us", us(stage));
        self.span.record("coordinate_us", us(coordinate));
        self.span.record("total_us", us(total));
    }

    fn warn(&self, total: Duration) {
        let Some(left_out) = self.cluster.metrics.slow.place() else { return };
        let Spent { client, read, stage, coordinate } = self.spent;
        let ms = |spent: Duration| spent.as_millis() as u64;
        tracing::warn!(
            target: "vatic::slow",
            tid = self.tid.map(tracing::field::display),
            home = self.tid.map(|tid| tid.home.0),
            participants = groups(&self.groups),
            outcome = self.ending.name(),
            total_ms = ms(total),
            client_ms = ms(client),
            read_ms = ms(read),
            stage_ms = ms(stage),
            coordinate_ms = ms(coordinate),
            left_out,
            "slow transaction at its gateway",
        );
    }
}

impl Drop for Journey {
    fn drop(&mut self) {
        if let Some(began) = self.began {
            self.tell(began.elapsed());
        }
    }
}

/// Groups as one field: numbers with blanks between them.
pub(super) fn groups(groups: &[GroupId]) -> String {
    let groups: Vec<String> = groups.iter().map(|group| group.0.to_string()).collect();
    groups.join(" ")
}
