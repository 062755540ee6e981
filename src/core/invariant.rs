//! What must hold of every group in every reachable state, in one place for `debug_assert`, the
//! models and the simulator.

use crate::{
    census::Census,
    command::Decision,
    course,
    group::Group,
    history,
    id::Timestamp,
    key::Key,
    quota::{self, Quota},
    state::Read,
    tables::{self, Prepared, Stored, VoteCast},
};
use alloc::{collections::BTreeSet, format, string::String};

/// Checks one group against its state; the error says which invariant broke and where.
pub fn check(group: &Group, state: &impl Read) -> Result<(), String> {
    clock_order(group)?;
    nothing_is_gathered(group)?;
    locks_are_the_prepared_votes(state)?;
    census_counts_the_rows(group, state)?;
    quota_counts_the_bytes(group, state)?;
    votes_match_decisions(group, state)?;
    votes_are_known(state)?;
    heads_are_the_chains_last(group, state)?;
    history::check(group.clock(), state)?;
    course::check(state)?;
    versions_are_below_the_clock(group, state)
}

fn clock_order(group: &Group) -> Result<(), String> {
    match group.horizon() <= group.clock() {
        true => Ok(()),
        false => Err(format!("horizon {} is above clock {}", group.horizon(), group.clock())),
    }
}

fn nothing_is_gathered(group: &Group) -> Result<(), String> {
    match group.gathered.is_empty() {
        true => Ok(()),
        false => Err(format!("{:?} was gathered and not written", group.gathered)),
    }
}

fn locks_are_the_prepared_votes(state: &impl Read) -> Result<(), String> {
    let (mut expected, mut found) = (BTreeSet::new(), BTreeSet::new());
    let (from, to) = tables::whole(tables::PREPARED);
    state.scan(&from, &to, &mut |place, value| {
        let tid = tables::tid_of(place);
        let vote: Prepared = tables::stored(value);
        expected.extend(vote.images.iter().map(|image| tables::write_lock(&image.key)));
        expected.extend(vote.reads.iter().map(|key| tables::read_lock(key, tid)));
        expected.extend((!vote.ranges.is_empty()).then(|| tables::range_lock(tid)));
        true
    });
    for tag in [tables::WRITE_LOCK, tables::READ_LOCK, tables::RANGE_LOCK] {
        let (from, to) = tables::whole(tag);
        state.scan(&from, &to, &mut |place, _| found.insert(place.to_vec()));
    }
    match expected == found {
        true => Ok(()),
        false => Err(format!("locks {found:?} are not those of the votes {expected:?}")),
    }
}

fn census_counts_the_rows(group: &Group, state: &impl Read) -> Result<(), String> {
    let counted = Census::of(state);
    match group.census == counted {
        true => Ok(()),
        false => Err(format!("{:?} is kept where the rows are {counted:?}", group.census)),
    }
}

fn quota_counts_the_bytes(group: &Group, state: &impl Read) -> Result<(), String> {
    let mut counted = Quota::default();
    let (from, to) = tables::whole(tables::LATEST);
    state.scan(&from, &to, &mut |place, value| {
        let key = Key::decode(&place[1..]).expect("record places hold encoded keys");
        let stored: Stored = tables::stored(value);
        counted.held += quota::record_bytes(&key, stored.fields.as_ref());
        true
    });
    let (from, to) = tables::whole(tables::PREPARED);
    state.scan(&from, &to, &mut |_, value| {
        counted.promise(tables::stored::<Prepared>(value).growth);
        true
    });
    match group.quota() == counted {
        true => Ok(()),
        false => Err(format!("{:?} is kept where the rows are {counted:?}", group.quota())),
    }
}

fn votes_match_decisions(group: &Group, state: &impl Read) -> Result<(), String> {
    let mut fault = None;
    let (from, to) = tables::whole(tables::TXN);
    state.scan(&from, &to, &mut |key, value| {
        let tid = tables::tid_of(key);
        let txn = tables::txn_of(value);
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

/// Nothing is prepared for a transaction that the group no longer knows: its locks would stay.
fn votes_are_known(state: &impl Read) -> Result<(), String> {
    let mut fault = None;
    let (from, to) = tables::whole(tables::PREPARED);
    state.scan(&from, &to, &mut |place, _| {
        let tid = tables::tid_of(place);
        if state.get(&tables::txn(tid)).is_none() {
            fault = Some(format!("{tid} is prepared and forgotten"));
        }
        fault.is_none()
    });
    fault.map_or(Ok(()), Err)
}

/// The newest head that is kept is where the chain stands, and no more are kept than the limit.
fn heads_are_the_chains_last(group: &Group, state: &impl Read) -> Result<(), String> {
    let chain = group.chain();
    let heads = group.heads(state, 0..=u64::MAX, usize::MAX);
    let last = heads.last().copied().unwrap_or_default();
    if last != chain || heads.len() as u64 > group.config().limits.heads_max {
        return Err(format!("{} heads end at {last:?}, the chain at {chain:?}", heads.len()));
    }
    match group.attested() <= chain.index {
        true => Ok(()),
        false => Err(format!("attested to {}, the chain is at {chain:?}", group.attested())),
    }
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
