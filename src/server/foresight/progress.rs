//! How a running stream is judged: wherever a forecast of it is made, what came by then is held
//! against the way that the forecast before had it go, by the rule of the seal (`core/verdict.rs`).
//! What is tolerated follows the scores of such looks at this node, and until there were enough of
//! them those of sealed streams.
//!
//! It is told, and noted where it strays; it decides nothing. What is final is judged at the seal,
//! by the forecast that was made at or before half. Only a client that asks for it is ended here,
//! where its collections' policy does something about what strays.

use super::{
    guide::Guide,
    learner::{Asked, Judged},
    study::Told,
    walk::Ended,
};
use crate::cluster::Cluster;
use std::sync::Arc;
use vatic_core::{
    chain::Seal,
    draft::Draft,
    policy::Validation,
    verdict::{self, Action, Judgement, Verdict},
};

impl Guide {
    /// Judges what came when a forecast was made by the way of the one before. Nothing where there
    /// is none, or where it is not known what the home group tolerates.
    pub(crate) fn judge_so_far(
        &mut self,
        cluster: &Cluster,
        draft: &Draft,
        told: &Told,
    ) -> Option<Judgement> {
        let (way, tid) = (told.way.clone()?, draft.tid()?);
        let class = self.walk.as_ref()?.class()?;
        let in_flight = u32::try_from(cluster.streams.inside()).unwrap_or(u32::MAX);
        let tolerances = &self.foresight.tolerances;
        let (conditions, tolerance) = tolerances.given(tid.home, &draft.groups(), class, in_flight);
        // More may have come since.
        let seal = Seal { count: way.count, ..draft.seal().clone() };
        let given = (conditions, tolerance?);
        let mut looks = self.foresight.looks.lock().expect("no holder panics");
        let judgement = Judgement::on_the_way(&mut looks, class, way, given, (&told.now, &seal));
        drop(looks);
        self.so_far.push((told.outlook.prefix, judgement.verdict));
        Some(judgement)
    }

    /// Whether a stream that strays so is ended, as its client asked: where a policy that only
    /// tells what strays is all that holds for what it wrote, it is not.
    pub(crate) fn ends_for(&self, verdict: &Verdict) -> bool {
        let action = verdict::action(self.validation, verdict);
        self.wants.abort_strayed && action != Action::Proceed
    }

    /// Whether what strays is kept aside.
    pub(crate) fn quarantines(&self) -> bool {
        self.validation == Validation::Quarantine
    }

    /// It strays: that is an anomaly, once a stream, whatever comes of it.
    pub(crate) fn note_strayed(&mut self, draft: &Draft, told: &Arc<Told>, judgement: &Judgement) {
        self.foresight.counters.strayed.inc();
        let (Some(tid), Some(walk), false) = (draft.tid(), &self.walk, self.is_noted) else {
            return;
        };
        let quarantined = self.quarantines() && self.ends_for(&judgement.verdict);
        // Of one that became too long since then nothing is kept.
        let steps = walk.steps.get(..told.outlook.prefix);
        let ended = steps.map(|steps| {
            let (class, steps) = (judgement.class, steps.to_vec());
            Arc::new(Ended { class, steps, kinds: walk.kinds.clone(), groups: Vec::new() })
        });
        let (told, judgement) = (told.clone(), Box::new(judgement.clone()));
        self.foresight.ask(Asked::Strays(Judged { tid, ended, told, judgement, quarantined }));
        self.is_noted = true;
    }
}
