//! Leaders that said of late that they have no room for new work.
//!
//! Why: a transaction of several groups that one of them refuses is rolled back by a command that
//! the full group has to take as well. What would meet the same refusal is refused here instead,
//! before anything is written anywhere. One transaction a second finds out whether that is over.

use crate::cluster::CallError;
use std::{collections::BTreeMap, sync::Mutex, time::Duration};
use tokio::time::Instant;
use vatic_core::id::GroupId;

/// So long is a leader believed.
const BELIEVED: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Refusals {
    known: Mutex<BTreeMap<GroupId, (CallError, Instant)>>,
}

impl Refusals {
    /// A group's leader refused a vote.
    pub(crate) fn note(&self, group: GroupId, error: &CallError) {
        if matches!(error, CallError::Full { .. }) {
            let refusal = (error.clone(), Instant::now() + BELIEVED);
            self.known.lock().expect("no holder panics").insert(group, refusal);
        }
    }

    /// What a vote would be refused with in one of these groups.
    pub(crate) fn believed(&self, groups: &[GroupId]) -> Option<CallError> {
        let mut known = self.known.lock().expect("no holder panics");
        let now = Instant::now();
        known.retain(|_, (_, ends)| *ends > now);
        groups.iter().find_map(|group| known.get(group).map(|(error, _)| error.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn leader_without_room_is_believed_for_a_while() {
        let (full, other) = (GroupId(1), GroupId(2));
        let refusals = Refusals::default();
        refusals.note(other, &CallError::Late { group: other });
        assert_eq!(refusals.believed(&[full, other]), None);
        let error = CallError::Full { group: full, limit: "disk_reserve_bytes".into(), max: 7 };
        refusals.note(full, &error);
        assert_eq!(refusals.believed(&[other]), None);
        assert_eq!(refusals.believed(&[other, full]), Some(error));
        tokio::time::advance(BELIEVED).await;
        assert_eq!(refusals.believed(&[full]), None);
    }
}
