//! A running stream's side of foreseeing: notes its steps and reads, and hears of what is foreseen.

use super::{
    judge::Judged,
    kinds::Kind,
    learner::{Asked, Foresight},
    study::{Line, Told},
    walk::{Ended, Walk},
    watch::Watch,
};
use crate::{cluster::Cluster, time};
use std::{sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};
use vatic_core::{
    delta::Delta, disturbed::Disturbed, draft::Draft, hash::Hasher, id::GroupId, read::Record,
};
use vatic_learn::forecast::ask_at;

/// How long an outcome that is there waits for its verdict.
const VERDICT_MAX: Duration = Duration::from_millis(100);

/// What a client wants to be told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wants {
    pub(crate) forecasts: bool,
    pub(crate) warnings: bool,
    pub(crate) abort_early: bool,
}

/// What there is to tell a stream.
#[derive(Debug)]
pub(crate) enum News {
    Forecast(Arc<Told>),
    Disturbed(Disturbed),
}

/// See the file's head.
pub(crate) struct Guide {
    foresight: Foresight,
    wants: Wants,
    /// `None`: nobody asked for forecasts and the learner has enough to do, or there are too many
    /// steps.
    walk: Option<Walk>,
    line: Option<Arc<Line>>,
    /// Forecasts that the stream has taken.
    taken: usize,
    watch: Option<Watch>,
}

impl Guide {
    /// Of a stream that has not begun.
    pub(crate) fn new(foresight: &Foresight) -> Guide {
        let (wants, foresight) = (Wants::default(), foresight.clone());
        Guide { foresight, wants, walk: None, line: None, taken: 0, watch: None }
    }

    /// The stream begins.
    pub(crate) fn begin(&mut self, wants: Wants, principal: &str, cluster: &Arc<Cluster>) {
        self.wants = wants;
        let forecasts = wants.forecasts && self.foresight.learns();
        if forecasts || self.foresight.has_room() {
            let [a, b, c, d, ..] = Hasher::new("user").bytes(principal.as_bytes()).finish().0;
            let user = u32::from_be_bytes([a, b, c, d]);
            self.walk = Some(Walk::new(user, self.foresight.steps_max));
        } else if self.foresight.learns() {
            self.foresight.counters.left_out.inc();
        }
        self.line = forecasts.then(Arc::default);
        let watches = wants.warnings || wants.abort_early;
        self.watch = watches.then(|| Watch::start(cluster, self.foresight.counters.clone()));
    }

    /// What the client wants.
    pub(crate) fn wants(&self) -> Wants {
        self.wants
    }

    /// A transition was taken.
    pub(crate) fn step(&mut self, delta: &Delta) {
        let Some(walk) = &mut self.walk else { return };
        let kind: Arc<Kind> = self.foresight.kinds.of(delta);
        if !walk.step(kind, time::now().0 as i64) {
            self.foresight.counters.oversized.inc();
            self.walk = None;
            return;
        }
        if let (Some(line), Some(class)) = (&self.line, walk.class())
            && ask_at(walk.steps.len())
        {
            let (steps, line) = (walk.steps.clone(), line.clone());
            self.foresight.ask(Asked::Forecast { class, steps, line });
        }
    }

    /// Records were shown to the client.
    pub(crate) fn read<'a>(&self, group: GroupId, records: impl IntoIterator<Item = &'a Record>) {
        if let Some(watch) = &self.watch {
            records.into_iter().for_each(|record| watch.add(group, record));
        }
    }

    /// A frame came.
    pub(crate) fn stir(&self) {
        self.watch.iter().for_each(Watch::stir);
    }

    /// Waits for what there is to tell. Nothing is lost where the wait is given up.
    pub(crate) async fn news(&mut self) -> News {
        loop {
            if let Some(told) = self.forecast() {
                return News::Forecast(told);
            }
            let line = self.line.as_deref();
            let more = async {
                match line {
                    Some(line) => line.more.notified().await,
                    None => std::future::pending().await,
                }
            };
            let watch = self.watch.as_mut();
            let disturbed = async {
                match watch {
                    Some(watch) => watch.next().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = more => {}
                found = disturbed => match found {
                    Some(disturbed) => return News::Disturbed(disturbed),
                    None => self.watch = None,
                },
            }
        }
    }

    /// A forecast that was made and not taken.
    pub(crate) fn forecast(&mut self) -> Option<Arc<Told>> {
        let told = self.line.as_ref()?.at(self.taken)?;
        self.taken += 1;
        Some(told)
    }

    /// The stream is sealed: it is judged if it was forecast, and may be learnt from.
    pub(crate) fn seal(&mut self, draft: &Draft, in_flight: u64) -> Verdicts {
        self.watch = None;
        let (Some(walk), Some(tid)) = (self.walk.take(), draft.tid()) else {
            return Verdicts(None);
        };
        let Some(class) = walk.class() else { return Verdicts(None) };
        let ended = Arc::new(Ended {
            tid,
            head: draft.seal().head,
            class,
            steps: walk.steps,
            kinds: walk.kinds,
            participants: draft.groups().len() as u32,
            in_flight: u32::try_from(in_flight).unwrap_or(u32::MAX),
        });
        let verdict = self.line.clone().map(|line| {
            let (reply, verdict) = oneshot::channel();
            self.foresight.ask(Asked::Verdict { ended: ended.clone(), line, reply });
            verdict
        });
        self.foresight.teach(ended, verdict.is_some());
        Verdicts(verdict)
    }

    /// The verdict, if it comes in time.
    pub(crate) async fn verdict(&self, verdicts: Verdicts) -> Option<Judged> {
        match timeout(VERDICT_MAX, verdicts.0?).await {
            Ok(judged) => judged.ok().flatten(),
            Err(_) => {
                self.foresight.counters.late.inc();
                None
            }
        }
    }
}

/// A verdict that is on its way.
pub(crate) struct Verdicts(Option<oneshot::Receiver<Option<Judged>>>);
