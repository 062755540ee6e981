//! A request is done once at most, however often it was tried, and a caller who is told that
//! another attempt has done it is told the truth.

use super::at;
use crate::{
    history::{Attempt, History},
    violation::{Check, Violation},
};
use std::collections::BTreeMap;

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut done: BTreeMap<usize, Vec<&Attempt>> = BTreeMap::new();
    let mut by_id: BTreeMap<_, Vec<&Attempt>> = BTreeMap::new();
    for (_, attempt) in history.committed() {
        if let Some(request) = attempt.request {
            done.entry(request).or_default().push(attempt);
        }
        if let Some(claim) = &attempt.body.claim {
            by_id.entry(&claim.request).or_default().push(attempt);
        }
    }
    let names = |attempts: &[&Attempt]| -> Vec<_> {
        attempts.iter().map(|attempt| attempt.body.tid).collect()
    };
    for attempts in done.values().chain(by_id.values()).filter(|attempts| attempts.len() > 1) {
        let detail = format!("one request was done by {:?}", names(attempts));
        found.push(at(Check::Requests, detail));
    }
    for request in &history.requests {
        let Some(tid) = request.answered_by else { continue };
        let honest = by_id.get(&request.id).is_some_and(|attempts| {
            attempts.iter().any(|attempt| {
                let claim = attempt.body.claim.as_ref();
                attempt.body.tid == tid
                    && claim.is_some_and(|claim| claim.content == request.content)
            })
        });
        if !honest {
            let detail = format!("{tid:?} was named as having done {:?}", request.id);
            found.push(at(Check::Requests, detail));
        }
    }
    found
}
