//! Transfers keep the sum of all accounts: in the end, in every strict read, in every snapshot.

use super::{at, replay::Replay};
use crate::{
    history::{History, Observed},
    violation::{Check, Violation},
};
use std::collections::BTreeMap;
use vatic_core::{id::Timestamp, key::Key, read::Record};

pub(super) fn check(history: &History, replay: &Replay) -> Vec<Violation> {
    let accounts: Vec<&Key> =
        replay.chains.keys().filter(|key| key.collection == "account").collect();
    let mut found = Vec::new();
    let end = accounts.iter().map(|key| replay.at(key, Timestamp(u64::MAX))).collect::<Vec<_>>();
    let end = sum(end.iter());
    if end != history.money {
        found.push(at(Check::Money, format!("{end} in the end, {} at first", history.money)));
    }
    let strict = history.reads.iter().map(|read| (&read.seen, "a strict read"));
    let snapshots = history.snapshots.iter().map(|read| (&read.seen, "a snapshot"));
    for (seen, kind) in strict.chain(snapshots) {
        let Some(seen) = all_accounts(seen, &accounts) else { continue };
        if seen != history.money {
            let detail = format!("{kind} saw {seen}, there are {}", history.money);
            found.push(at(Check::Money, detail));
        }
    }
    found
}

/// The sum, if all accounts were read.
fn all_accounts(seen: &Observed, accounts: &[&Key]) -> Option<i64> {
    let by_key: BTreeMap<&Key, &Record> =
        seen.records.iter().map(|record| (&record.key, record)).collect();
    let records: Option<Vec<&Record>> =
        accounts.iter().map(|key| by_key.get(*key).copied()).collect();
    records.map(|records| sum(records.into_iter()))
}

fn sum<'a>(records: impl Iterator<Item = &'a Record>) -> i64 {
    records.filter_map(|record| record.fields.as_ref()?.get("balance")?.as_i64()).sum()
}
