//! Votes and decisions of all groups agree: committed iff every participant voted Yes for the same
//! body, at the largest of the votes' timestamps; a vote, once given, never changes.
//!
//! Single facts are folded as entries are applied ([`crate::history::Fact::fold`]); here the facts
//! of different groups meet.

use super::at;
use crate::{
    history::{Fact, History},
    violation::{Check, Violation},
};
use std::collections::BTreeMap;
use vatic_core::{
    command::{Applied, Command, Decision, Reply, Standing},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
};

/// What a command's reply says of its transaction, and which body the command meant.
pub(crate) fn told(
    fact: &Fact,
    command: &Command,
    applied: &Applied,
) -> Option<(Standing, Option<Hash>)> {
    match (command, &applied.reply) {
        (Command::Vote(vote), Reply::Standing(standing)) => {
            Some((standing.clone(), Some(vote.body.digest())))
        }
        (Command::Force { body, .. }, Reply::Standing(standing)) => Some((standing.clone(), *body)),
        // Noted here too, since the same entry may go on to forget it.
        (Command::Decide { body, decision, .. }, Reply::Done) => {
            let meant = body.is_none() || *body == fact.body;
            let applies = fact.yes.is_some() && meant && !fact.forgotten;
            applies.then(|| (Standing::Decided(decision.clone()), None))
        }
        _ => None,
    }
}

/// A Yes is for one body only.
pub(crate) fn note_body(
    fact: &mut Fact,
    standing: &Standing,
    body: Option<Hash>,
) -> Option<String> {
    let yes =
        matches!(standing, Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. }));
    let body = body.filter(|_| yes)?;
    let known = *fact.body.get_or_insert(body);
    if let (Standing::Decided(Decision::Committed { ts }), None) = (standing, fact.yes) {
        // A transaction of one group votes and commits at once.
        fact.yes = Some(*ts);
    }
    (known != body).then(|| format!("voted for {known:?} and for {body:?}"))
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut by_tid: BTreeMap<Tid, BTreeMap<GroupId, &Fact>> = BTreeMap::new();
    for ((tid, group), fact) in &history.facts {
        by_tid.entry(*tid).or_default().insert(*group, fact);
    }
    let mut found = Vec::new();
    for (tid, facts) in by_tid {
        for (group, fact) in &facts {
            let Some(Decision::Committed { ts }) = fact.decision else { continue };
            if let Some(fault) = commit_fault(history, ts, fact.body, &facts) {
                let detail = format!("{tid:?}, committed in group {group} at {ts}: {fault}");
                found.push(at(Check::Agreement, detail));
            }
        }
    }
    found
}

/// Why a commit of this body is not the AND of its participants' votes.
fn commit_fault(
    history: &History,
    ts: Timestamp,
    body: Option<Hash>,
    facts: &BTreeMap<GroupId, &Fact>,
) -> Option<String> {
    let Some(attempt) = body.and_then(|body| history.attempts.get(&body)) else {
        return Some("nobody sealed that body".into());
    };
    let mut largest = Timestamp::ZERO;
    for group in attempt.body.groups() {
        let fact = facts.get(&group);
        let agrees = |fact: &&&Fact| {
            let rolled_back = matches!(fact.decision, Some(Decision::RolledBack(_)));
            fact.body == body && !fact.no && !rolled_back
        };
        let Some(yes) = fact.filter(agrees).and_then(|fact| fact.yes) else {
            return Some(format!("group {group} says {fact:?}"));
        };
        largest = largest.max(yes);
    }
    (largest != ts).then(|| format!("the largest vote is at {largest}"))
}
