//! What strayed from its forecast, as its driver sees it end: for the history, where nobody
//! learns conflicts from it.

use super::Conflicts;
use crate::time;
use vatic_core::{
    body::{Body, Part},
    codec,
    command::{Decision, Why},
    delta::Delta,
    history::{Event, Strayed, What},
    policy::{Policies, Validation},
};

impl Conflicts {
    /// To be told once of a sealed transaction that was driven here, when it is decided: notes it
    /// where its verdict is invalid. Of one that was staged the parts lack some, and so may the
    /// policy that is noted. `policies`: those that the home group's votes are held to.
    pub(crate) fn ended<'a>(
        &self,
        policies: impl FnOnce() -> Policies,
        (body, parts): (&Body, impl IntoIterator<Item = &'a Part>),
        decision: &Decision,
    ) {
        let Some(judgement) = body.finding.judgement().filter(|it| !it.verdict.valid) else {
            return;
        };
        let rolled_back = match decision {
            Decision::Committed { .. } => None,
            Decision::RolledBack(cause) => Some(cause.clone()),
        };
        let unforeseen = rolled_back.as_ref().map(|cause| &cause.why);
        let strayed = Strayed {
            class: judgement.class,
            score: judgement.verdict.score,
            tolerance: judgement.verdict.tolerance,
            validation: match unforeseen {
                // Its votes knew of a policy that this replica has not applied yet.
                Some(Why::Unforeseen { .. }) => Validation::Enforce,
                Some(Why::Quarantined { .. }) => Validation::Quarantine,
                _ => strictest(&policies(), parts),
            },
            rolled_back,
        };
        let (tid, now_us) = (body.tid, time::now().0);
        let event = Event {
            at_us: now_us,
            tid,
            what: What::Strayed(Box::new(strayed)),
            foreseen: None,
            claimed: false,
            in_turn: false,
            took_us: now_us.saturating_sub(tid.mint.0),
        };
        self.history.push(tid.home, event);
    }
}

/// What the collections that it writes ask for.
fn strictest<'a>(policies: &Policies, parts: impl IntoIterator<Item = &'a Part>) -> Validation {
    let transitions = parts.into_iter().flat_map(|part| &part.transitions);
    let deltas = transitions.filter_map(|sent| codec::decode::<Delta>(&sent.delta).ok());
    let written = deltas.filter(|delta| delta.op.writes());
    let asked = written.map(|delta| policies.of(&delta.key.collection).validation);
    asked.max().unwrap_or(Validation::Observe)
}
