//! What a client was told is what happened, whenever it was told; and so is what any coordinator
//! concluded, whether anybody heard it or not.

use super::at;
use crate::{
    event::Learned,
    history::{Attempt, History},
    violation::{Check, Violation},
};

pub(super) fn check(history: &History) -> Vec<Violation> {
    let told = history.attempts.values().filter_map(|attempt| {
        let (_, learned) = attempt.learned.as_ref()?;
        fault(history, attempt, learned, "told")
    });
    let concluded = history.conclusions.iter().filter_map(|(body, learned)| {
        fault(history, history.attempts.get(body)?, learned, "a coordinator concluded")
    });
    told.chain(concluded).collect()
}

fn fault(history: &History, attempt: &Attempt, learned: &Learned, how: &str) -> Option<Violation> {
    let happened = history.commit_of(attempt);
    let is_so = match learned {
        Learned::Committed(ts) => happened == Some(*ts),
        Learned::RolledBack | Learned::Faulted => happened.is_none(),
    };
    let tid = attempt.body.tid;
    let detail = || format!("{tid:?}: {how} {learned:?}, it committed at {happened:?}");
    (!is_so).then(|| at(Check::Answers, detail()))
}
