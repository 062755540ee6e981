//! What must hold of every group in every reachable state, in one place for `debug_assert`, the
//! models and the simulator.

use crate::{
    command::Decision,
    group::Group,
    id::Timestamp,
    state::Read,
    tables::{self, Prepared, Stored, Txn, VoteCast},
};
use alloc::{collections::BTreeSet, format, string::String};

/// Checks one group against its state; the error says which invariant broke and where.
pub fn check(group: &Group, state: &impl Read) -> Result<(), String> {
    clock_order(group)?;
    locks_are_the_prepared_votes(group, state)?;
    votes_match_decisions(group, state)?;
    versions_are_below_the_clock(group, state)
}

fn clock_order(group: &Group) -> Result<(), String> {
    match group.horizon() <= group.clock() {
        true => Ok(()),
        false => Err(format!("horizon {} is above clock {}", group.horizon(), group.clock())),
    }
}

fn locks_are_the_prepared_votes(group: &Group, state: &impl Read) -> Result<(), String> {
    let locked: BTreeSet<_> = group.locks().holders().map(|(tid, _)| tid).collect();
    let mut prepared = BTreeSet::new();
    let mut fault = None;
    let (from, to) = tables::whole(tables::PREPARED);
    state.scan(&from, &to, &mut |key, value| {
        let tid = tables::tid_of(key);
        let vote: Prepared = tables::stored(value);
        for image in &vote.images {
            let writer = group.locks().writer(&image.key.encode());
            if writer.map(|(tid, _)| tid) != Some(tid) {
                fault = Some(format!("{tid} prepared {} and does not hold it", image.key));
            }
        }
        prepared.insert(tid)
    });
    match fault {
        Some(fault) => Err(fault),
        None if locked != prepared => Err(format!("locks {locked:?} are not {prepared:?}")),
        None => Ok(()),
    }
}

fn votes_match_decisions(group: &Group, state: &impl Read) -> Result<(), String> {
    let mut fault = None;
    let (from, to) = tables::whole(tables::TXN);
    state.scan(&from, &to, &mut |key, value| {
        let tid = tables::tid_of(key);
        let txn: Txn = tables::stored(value);
        let prepared = state.get(&tables::prepared(tid)).is_some();
        let undecided = matches!(txn.vote, VoteCast::Yes { .. }) && txn.decision.is_none();
        if prepared != undecided {
            fault = Some(format!("{tid}: prepared {prepared}, undecided Yes {undecided}"));
        }
        let commits = matches!(txn.decision, Some(Decision::Committed { .. }));
        if commits && !matches!(txn.vote, VoteCast::Yes { .. }) {
            fault = Some(format!("{tid} committed without a Yes in group {}", group.id()));
        }
        fault.is_none()
    });
    fault.map_or(Ok(()), Err)
}

fn versions_are_below_the_clock(group: &Group, state: &impl Read) -> Result<(), String> {
    let mut highest = Timestamp::ZERO;
    let (from, to) = tables::whole(tables::LATEST);
    state.scan(&from, &to, &mut |_, value| {
        highest = highest.max(tables::stored::<Stored>(value).version);
        true
    });
    match highest <= group.clock() {
        true => Ok(()),
        false => Err(format!("version {highest} is above clock {}", group.clock())),
    }
}
