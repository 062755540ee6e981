//! Altered transitions are refused: the participant answers with a fault, and nothing commits.

use super::at;
use crate::{
    history::History,
    probe::Probe,
    violation::{Check, Violation},
    world::World,
};
use vatic_core::{
    command::{Applied, Decision, Reply, Standing, Vote, Why},
    id::GroupId,
};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let altered = history.attempts.values().filter(|attempt| attempt.tampered.is_some());
    let committed = altered.filter(|attempt| history.commit_of(attempt).is_some());
    let detail = |tid| format!("{tid:?} committed although its transitions were altered");
    committed.map(|attempt| at(Check::Tampering, detail(attempt.body.tid))).collect()
}

impl World {
    /// Watches the vote of a participant whose part was altered on its way: anything but a fault
    /// must come from a vote that was forced before.
    pub(crate) fn observe_tampering(&mut self, vote: &Vote, group: GroupId, applied: &Applied) {
        let attempt = self.history.attempts.get(&vote.body.digest());
        if attempt.is_none_or(|attempt| attempt.tampered != Some(group)) {
            return;
        }
        let refused = match &applied.reply {
            Reply::Fault(_) => {
                self.probes.hit(Probe::Tampered);
                true
            }
            Reply::Standing(Standing::No(cause)) => cause.why == Why::Forced,
            Reply::Standing(Standing::Decided(Decision::RolledBack(_)) | Standing::Stale(_)) => {
                true
            }
            _ => false,
        };
        if !refused {
            let detail = format!("{:?} in group {group}: {:?}", vote.body.tid, applied.reply);
            self.violate(Check::Tampering, detail);
        }
    }
}
