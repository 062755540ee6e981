//! A stream's seal: it is held against what was forecast of it, or says why that cannot be.
//!
//! What is missing is waited for, a bounded while: for a moment where the client wants the verdict,
//! for longer where a collection lets nothing through that strays. There what cannot be judged does
//! not go on: nothing is voted, and whoever sent it may send it again. Everywhere else it goes on,
//! and its body says that it was not judged, and why.
//!
//! One thing is not missing but absent: where this node has learnt all that there was to learn,
//! and too few streams began like this one, no node has a forecast of it. It goes on, whatever its
//! collections ask for, or no stream of a new kind could ever begin.

use super::{
    guide::Guide,
    judge::judged_by,
    learner::{Asked, Judged},
    study::Told,
    walk::{Ended, Walk},
};
use crate::{cluster::Cluster, status::ApiError};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout_at};
use vatic_core::{
    draft::Draft,
    expected::Score,
    finding::Unjudged,
    id::Tid,
    policy::Validation,
    verdict::{self, Action, Conditions},
};
use vatic_learn::forecast::{Step, ask_at};

/// How long a seal waits for what it is judged by, where its client wants the verdict.
const WANTED_WAIT_MAX: Duration = Duration::from_millis(100);
/// The same where it is refused without.
const REFUSED_WAIT_MAX: Duration = Duration::from_secs(1);
/// Between two tries at what was not to be had at once.
const PAUSE: Duration = Duration::from_millis(10);

/// What a stream is judged by.
type Given = (Arc<Told>, (Conditions, Score));

impl Guide {
    /// The stream is sealed: it is judged if it was forecast, and may be learnt from. What its
    /// votes are to be preceded by; an error where it must not go on unjudged.
    pub(crate) async fn judge(
        &mut self,
        cluster: &Arc<Cluster>,
        draft: &mut Draft,
        ends: Instant,
    ) -> Result<Action, ApiError> {
        self.watch = None;
        self.warm.take().iter().for_each(|warm| warm.sealed(&draft.groups()));
        self.hear_of_policies(cluster, draft);
        // One that was followed for its turns alone is judged no more than one that was not.
        let followed = self.asks || self.at_once;
        let walk = self.walk.take().filter(|_| followed);
        let refuses = self.validation.refuses();
        // One-shots may be very many.
        let judges = draft.seal().count > 0 && (!self.at_once || refuses);
        let Some(tid) = draft.tid().filter(|_| judges) else { return Ok(Action::Proceed) };
        let seen = walk.and_then(|walk| Some((walk.class()?, ended(walk, draft))));
        let wait = if refuses { REFUSED_WAIT_MAX } else { WANTED_WAIT_MAX };
        let ends = ends.min(Instant::now() + wait);
        let given = match &seen {
            Some((class, ended)) => {
                self.given(cluster, draft, (tid, *class, ended.as_deref()), ends).await
            }
            None => Err(Unjudged::Unfollowed),
        };
        if let Err(why) = &given {
            self.leave_unjudged(draft, tid, *why)?;
        }
        let Some((class, ended)) = seen else { return Ok(Action::Proceed) };
        let taught = ended.iter().filter(|_| !self.repeats);
        taught.for_each(|ended| self.foresight.teach(ended.clone()));
        let Ok((told, given)) = given else { return Ok(Action::Proceed) };
        let own = told.outlook.fixed();
        let footprint = own.footprint.clone();
        let mut judgement = Box::new(draft.judge(class, self.beside.join(own), given));
        // What is strange about it is looked for in its own steps.
        judgement.forecast.footprint = footprint;
        let action = verdict::action(self.validation, &judgement.verdict);
        self.judged = Some(Judged { tid, ended, told, judgement, quarantined: false });
        Ok(action)
    }

    /// What its collections ask for by now: it may have begun before that was set.
    fn hear_of_policies(&mut self, cluster: &Cluster, draft: &Draft) {
        let policies = cluster.policies();
        if policies.version != self.policies.version {
            let asked = draft.written().into_iter();
            let asked = asked.map(|(_, key)| policies.of(&key.collection).validation);
            self.validation = asked.max().unwrap_or(Validation::Observe);
            self.policies = policies;
        }
    }

    /// Its body says why it is not judged, where it may go on so.
    fn leave_unjudged(&self, draft: &mut Draft, tid: Tid, why: Unjudged) -> Result<(), ApiError> {
        let counters = &self.foresight.counters;
        match why {
            Unjudged::Unforecast { .. } => counters.late.inc(),
            _ => counters.unjudged.inc(),
        }
        if why.action(self.validation) != Action::RollBack {
            draft.leave_unjudged(why);
            return Ok(());
        }
        counters.refused.inc();
        let of = |collection: &str| self.policies.of(collection).validation;
        let written = draft.written().into_iter().map(|(_, key)| key.collection);
        let strictest = written.max_by_key(|collection| of(collection));
        let collection = strictest.expect("a collection that it writes refuses it");
        Err(ApiError::Unjudged { collection: collection.to_string(), home: tid.home, why })
    }

    /// What it is judged by, or what of it is missing.
    async fn given(
        &mut self,
        cluster: &Arc<Cluster>,
        draft: &Draft,
        (tid, class, ended): (Tid, u64, Option<&Ended>),
        ends: Instant,
    ) -> Result<Given, Unjudged> {
        let steps = ended.map(|ended| ended.steps.as_slice());
        let told = self.told(class, steps, draft.seal().count as usize, ends).await?;
        let tolerances = self.foresight.tolerances.clone();
        let (began, wanted) = (Instant::now(), self.wants.forecasts);
        if self.validation.refuses() {
            tolerances.refresh(cluster, tid.home, ends.min(began + WANTED_WAIT_MAX)).await;
            while !tolerances.knows(tid.home) && Instant::now() < ends {
                tolerances.refresh(cluster, tid.home, ends).await;
                sleep(PAUSE).await;
            }
        } else if wanted && !tolerances.knows(tid.home) {
            tolerances.refresh(cluster, tid.home, ends).await;
        }
        let in_flight = u32::try_from(cluster.streams.inside()).unwrap_or(u32::MAX);
        let (conditions, tolerance) = tolerances.given(tid.home, &draft.groups(), class, in_flight);
        let waited_ms = waited_ms(began);
        let tolerance = tolerance.ok_or(Unjudged::Untolerated { waited_ms })?;
        Ok((told, (conditions, tolerance)))
    }

    /// The forecast that judges so many transitions. Where it is wanted it is worth a wait, and
    /// where nothing passes without it the learner, which had no room for a question, is asked
    /// again.
    async fn told(
        &mut self,
        class: u64,
        steps: Option<&[Step]>,
        count: usize,
        ends: Instant,
    ) -> Result<Arc<Told>, Unjudged> {
        let (began, refuses) = (Instant::now(), self.validation.refuses());
        let by = if self.at_once { 1 } else { judged_by(count) };
        if self.wants.forecasts || refuses {
            self.answered(ends).await;
        }
        if refuses && self.line.made_by(by).is_none() {
            let at = (1..=by).rev().find(|at| ask_at(*at)).unwrap_or(1);
            self.ask_again(class, steps.and_then(|steps| steps.get(..at)), ends).await;
        }
        match self.line.made_by(by) {
            Some(told) => Ok(told),
            None if !self.line.is_unknown() => {
                Err(Unjudged::Unforecast { waited_ms: waited_ms(began) })
            }
            None if self.foresight.caught_up() => Err(Unjudged::Unknown),
            None => Err(Unjudged::Unlearnt),
        }
    }

    async fn ask_again(&mut self, class: u64, steps: Option<&[Step]>, ends: Instant) {
        let Some(steps) = steps else { return };
        loop {
            let (steps, line) = (steps.to_vec(), self.line.clone());
            if self.foresight.ask(Asked::Forecast { class, steps, line }) {
                self.asked += 1;
                return self.answered(ends).await;
            }
            if Instant::now() + PAUSE >= ends {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until all that was asked is answered, if only by silence.
    async fn answered(&self, ends: Instant) {
        let answered = async {
            while self.line.answered() < self.asked {
                self.line.more.notified().await;
            }
        };
        // What is not there by then is missing.
        let _ = timeout_at(ends, answered).await;
    }
}

/// The whole that a stream was; `None` where it was too long.
fn ended(walk: Walk, draft: &Draft) -> Option<Arc<Ended>> {
    let class = walk.class().filter(|_| !walk.oversized)?;
    let Walk { steps, kinds, .. } = walk;
    Some(Arc::new(Ended { class, steps, kinds, groups: draft.groups() }))
}

fn waited_ms(began: Instant) -> u32 {
    u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX)
}
