//! A running stream's side of foreseeing: notes its steps and reads, and hears of what is foreseen.

use super::{
    counters::Counters,
    judge::judged_at,
    kinds::Kind,
    learner::{Asked, Foresight},
    study::{Line, Told},
    walk::{Ended, Walk},
    watch::Watch,
};
use crate::{cluster::Cluster, time};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use vatic_core::{
    delta::Delta,
    disturbed::Disturbed,
    draft::Draft,
    hash::Hasher,
    id::GroupId,
    policy::{Policies, Validation},
    read::Record,
    verdict::{self, Action},
};
use vatic_learn::forecast::ask_at;

/// How long a seal waits for the forecast that it is judged by, where somebody wants the verdict.
const FORECAST_WAIT_MAX: Duration = Duration::from_millis(100);

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
    policies: Arc<Policies>,
    /// All its transitions come at once: it is judged by its first.
    at_once: bool,
    /// The strictest validation that a collection written so far asks for.
    validation: Validation,
    /// `None`: nobody needs to know and the learner has enough to do, or there are too many steps.
    walk: Option<Walk>,
    /// Forecasts are asked for.
    asks: bool,
    asked: usize,
    line: Arc<Line>,
    /// Forecasts that the stream has taken.
    taken: usize,
    watch: Option<Watch>,
}

impl Guide {
    /// Of a stream that has not begun.
    pub(crate) fn new(foresight: &Foresight) -> Guide {
        Guide {
            foresight: foresight.clone(),
            wants: Wants::default(),
            policies: Arc::default(),
            at_once: false,
            validation: Validation::Observe,
            walk: None,
            asks: false,
            asked: 0,
            line: Arc::default(),
            taken: 0,
            watch: None,
        }
    }

    /// The stream begins.
    pub(crate) fn begin(&mut self, wants: Wants, principal: &str, cluster: &Arc<Cluster>) {
        self.wants = wants;
        self.policies = cluster.policies();
        self.asks = wants.forecasts || self.foresight.has_room();
        if self.foresight.learns() {
            if self.asks || self.policies.enforce() {
                self.walk = Some(self.walk_of(principal));
            } else {
                self.foresight.counters.left_out.inc();
            }
        }
        let watches = wants.warnings || wants.abort_early;
        self.watch = watches.then(|| Watch::start(cluster, self.foresight.counters.clone()));
    }

    /// Of a one-shot: foreseen and learnt from where a collection enforces forecasts, and nowhere
    /// else, since there may be very many.
    pub(crate) fn at_once(foresight: &Foresight, principal: &str, cluster: &Cluster) -> Guide {
        let mut guide = Guide { at_once: true, ..Guide::new(foresight) };
        guide.policies = cluster.policies();
        let foreseen = foresight.learns() && guide.policies.enforce();
        guide.walk = foreseen.then(|| guide.walk_of(principal));
        guide
    }

    fn walk_of(&self, principal: &str) -> Walk {
        let [a, b, c, d, ..] = Hasher::new("user").bytes(principal.as_bytes()).finish().0;
        Walk::new(u32::from_be_bytes([a, b, c, d]), self.foresight.steps_max)
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
        if delta.op.writes() {
            self.validation =
                self.validation.max(self.policies.of(&delta.key.collection).validation);
        }
        if let Some(class) = walk.class()
            && (self.asks || self.validation == Validation::Enforce)
            && if self.at_once { self.asked == 0 } else { ask_at(walk.steps.len()) }
        {
            let seen = if self.at_once { 1 } else { walk.steps.len() };
            let (steps, line) = (walk.steps[..seen].to_vec(), self.line.clone());
            self.asked += usize::from(self.foresight.ask(Asked::Forecast { class, steps, line }));
        }
    }

    /// A group takes part: what it tolerates will be wanted.
    pub(crate) fn touch(&self, cluster: &Arc<Cluster>, group: GroupId) {
        if self.asked > 0 && self.walk.is_some() {
            self.foresight.tolerances.touch(cluster, group);
        }
    }

    /// Records were shown to the client.
    pub(crate) fn read<'a>(&self, group: GroupId, records: impl IntoIterator<Item = &'a Record>) {
        if let Some(watch) = &self.watch {
            records.into_iter().for_each(|record| watch.add(group, record));
        }
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.foresight.counters
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
            let (line, wanted) = (&self.line, self.wants.forecasts);
            let more = async {
                match wanted {
                    true => line.more.notified().await,
                    false => std::future::pending().await,
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

    /// A forecast that was made, is wanted and was not taken.
    pub(crate) fn forecast(&mut self) -> Option<Arc<Told>> {
        let told = self.line.at(self.taken).filter(|_| self.wants.forecasts)?;
        self.taken += 1;
        Some(told)
    }

    /// The stream is sealed: it is judged if it was forecast, and may be learnt from. What its
    /// votes are to be preceded by.
    pub(crate) async fn judge(&mut self, draft: &mut Draft, in_flight: u64) -> Action {
        self.watch = None;
        let (Some(walk), Some(tid)) = (self.walk.take(), draft.tid()) else {
            return Action::Proceed;
        };
        let Some(class) = walk.class() else { return Action::Proceed };
        let ended = Arc::new(Ended {
            tid,
            class,
            steps: walk.steps,
            kinds: walk.kinds,
            participants: draft.groups().len() as u32,
        });
        if !self.at_once || self.asked > 0 {
            self.foresight.teach(ended.clone());
        }
        let judged_at = if self.at_once { 1 } else { judged_at(ended.steps.len()) };
        let Some(told) = self.made_at(judged_at).await else {
            return Action::Proceed;
        };
        let in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        let given = self.foresight.tolerances.given(tid.home, &draft.groups(), class, in_flight);
        let judgement = Box::new(draft.judge(class, told.outlook.fixed(), given).clone());
        let action = verdict::action(self.validation, &judgement.verdict);
        self.foresight.ask(Asked::Judged { ended, told, judgement });
        action
    }

    /// The forecast from so many steps. Where the client or a policy wants the verdict it is worth
    /// a wait.
    async fn made_at(&self, steps: usize) -> Option<Arc<Told>> {
        let wanted = self.wants.forecasts || self.validation == Validation::Enforce;
        let made = async {
            loop {
                let told = self.line.made_at(steps);
                if told.is_some() || !wanted || self.line.answered() >= self.asked {
                    return told;
                }
                self.line.more.notified().await;
            }
        };
        let told = timeout(FORECAST_WAIT_MAX, made).await.ok().flatten();
        if told.is_none() && self.line.answered() < self.asked {
            self.foresight.counters.late.inc();
        }
        told
    }
}
