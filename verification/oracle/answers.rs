//! What a client was told is what happened, whenever it was told.

use super::at;
use crate::{
    event::Learned,
    history::History,
    violation::{Check, Violation},
};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for attempt in history.attempts.values() {
        let Some((_, learned)) = &attempt.learned else { continue };
        let happened = history.commit_of(attempt);
        let true_answer = match learned {
            Learned::Committed(ts) => happened == Some(*ts),
            Learned::RolledBack | Learned::Faulted => happened.is_none(),
        };
        if !true_answer {
            let detail =
                format!("{:?}: told {learned:?}, committed at {happened:?}", attempt.body.tid);
            found.push(at(Check::Answers, detail));
        }
    }
    found
}
