//! What strayed from its forecast does not commit where that is enforced, and each home group folds
//! the score of every judged commit, and of nothing that nobody sealed.

use super::at;
use crate::{
    history::Attempt,
    probe::Probe,
    violation::{Check, Violation},
    world::{ENFORCED, World},
};
use std::collections::BTreeMap;
use vatic_core::{codec, delta::Delta, id::GroupId};

pub(super) fn check(world: &mut World) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut folds: BTreeMap<GroupId, (u64, u64)> = BTreeMap::new();
    let mut stopped = 0;
    for attempt in world.history.attempts.values() {
        let Some(judgement) = attempt.body.finding.judgement() else { continue };
        let tid = attempt.body.tid;
        let committed = world.history.commit_of(attempt).is_some();
        let (commits, sealed) = folds.entry(tid.home).or_default();
        *commits += u64::from(committed);
        *sealed += 1;
        if judgement.verdict.distance > judgement.verdict.tolerance && is_enforced(attempt) {
            stopped += u64::from(!committed);
            if committed {
                let detail = format!("{tid:?} committed, which strayed from its forecast");
                found.push(at(Check::Validation, detail));
            }
        }
    }
    for (home, (commits, sealed)) in folds {
        let folded = world.final_tolerance(home).decisions();
        if !(commits..=sealed).contains(&folded) {
            let detail = format!(
                "group {home} folded {folded} scores, of {sealed} judged attempts {commits} \
                 committed"
            );
            found.push(at(Check::Validation, detail));
        }
    }
    (0..stopped).for_each(|_| world.probes.hit(Probe::StrayStopped));
    found
}

fn is_enforced(attempt: &Attempt) -> bool {
    attempt.deltas.iter().any(|delta| {
        let delta: Result<Delta, _> = codec::decode(delta);
        delta.is_ok_and(|delta| delta.op.writes() && delta.key.collection == ENFORCED)
    })
}
