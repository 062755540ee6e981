//! `vatic demo-check`: the judgement, in a process that saw nothing of the load.
//!
//! It knows the kept evidence and the cluster's API. Three questions: does every receipt hold, by
//! the signatures of a majority of each participant's replicas, and do all of them tell of one
//! history; do the accounts hold what exactly these commits make; do all replicas of every group
//! agree.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use vatic_client::{Client, Outcome, OutcomeOf};
use vatic_core::key::Key;
use vatic_core::value::Fields;

use super::bank::{self, BALANCE, CHECKING, FLOW, LEDGER, SAVINGS, WRITES};
use super::evidence_file::{self, Kept};
use super::limits::{AGREE_MS, COMPLETED_AT_ONCE, READ_SET_KEYS};
use super::verdict::Verdict;
use crate::agreement::{Demand, GroupFound, compare};
use crate::args::DemoCheckArgs;
use crate::exit::Exit;
use crate::output;
use crate::settings::Settings;

/// What the checks found; one JSON object on stdout.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Checked {
    pub(crate) receipts_verified: u64,
    pub(crate) receipts_failed: u64,
    pub(crate) groups: u64,
    pub(crate) groups_agreed: u64,
    pub(crate) invariant_ok: bool,
    pub(crate) faults: Vec<String>,
}

impl Checked {
    fn holds(&self) -> bool {
        self.receipts_failed == 0 && self.invariant_ok && self.groups_agreed == self.groups
    }
}

/// Checks, prints, and exits 5 where anything does not hold.
pub(crate) async fn check(args: &DemoCheckArgs, settings: &Settings) -> anyhow::Result<Exit> {
    let client = settings.connect().await?;
    let pinned = client.cluster(false).await?.trusted_keys();
    let mut all = Vec::new();
    evidence_file::read(&args.evidence, |kept| all.push(kept))?;
    let mut verdict = Verdict::new(pinned);
    let completed = stream::iter(all).map(|kept| complete(&client, kept));
    let mut completed = completed.buffer_unordered(COMPLETED_AT_ONCE);
    while let Some(kept) = completed.next().await {
        verdict.take(kept);
    }

    let found = compare(&client, Duration::from_millis(AGREE_MS), Demand::States).await?;
    let agrees = |group: &&GroupFound| group.agrees(Demand::States);
    for group in found.groups().filter(|group| !agrees(group)) {
        let (seen, told) = (&group.seen, group.told(Demand::States).join("; "));
        verdict.blame(format!("group {}: {:?} {told}", seen.group, seen.replicas));
    }
    // A transaction of unknown outcome may have added what no evidence tells of.
    let exact = args.unknown == 0;
    let invariant_ok = accounts_hold(&client, args.customers, exact, &mut verdict).await?;

    let checked = Checked {
        receipts_verified: verdict.verified,
        receipts_failed: verdict.failed,
        groups: found.groups().count() as u64,
        groups_agreed: found.groups().filter(agrees).count() as u64,
        invariant_ok,
        faults: verdict.faults,
    };
    output::line(&serde_json::to_string(&checked)?)?;
    Ok(if checked.holds() { Exit::Ok } else { Exit::Verification })
}

/// The same evidence with the receipt as the cluster completed it meanwhile. It stays as it is
/// where that cannot be had, and then does not pass.
async fn complete(client: &Client, kept: Kept) -> Kept {
    let Ok(receipt) = kept.evidence().read() else { return kept };
    let asked = OutcomeOf::Transaction(receipt.body.tid);
    match client.outcome(asked).await {
        Ok(Outcome::Committed(found)) => kept.with_receipt(found.evidence.receipt),
        _ => kept,
    }
}

/// Whether the money in the bank is what came in, and, where evidence is complete, whether every
/// account holds what the evidence adds up to.
async fn accounts_hold(
    client: &Client,
    customers: u32,
    exact: bool,
    verdict: &mut Verdict,
) -> anyhow::Result<bool> {
    let held = read_accounts(client, customers).await?;
    let total = |collection: &str, field: &str| -> i128 {
        held.iter()
            .filter(|(key, _)| key.collection == collection)
            .map(|(_, fields)| amount(fields, field))
            .sum()
    };
    let (inside, from_outside) =
        (total(CHECKING, BALANCE) + total(SAVINGS, BALANCE), total(LEDGER, FLOW));
    let mut holds = inside == from_outside;
    if !holds {
        verdict.blame(format!("the accounts hold {inside}, {from_outside} came from outside"));
    }
    for (key, fields) in held.iter().filter(|_| exact) {
        let names: &[&str] = if key.collection == LEDGER { &[FLOW, WRITES] } else { &[BALANCE] };
        for name in names {
            let (found, told) = (amount(fields, name), verdict.sum(key, name));
            if found != told {
                holds = false;
                verdict.blame(format!("{key}: {name} is {found}, the receipts add up to {told}"));
            }
        }
    }
    Ok(holds)
}

async fn read_accounts(client: &Client, customers: u32) -> anyhow::Result<BTreeMap<Key, Fields>> {
    let keys: Vec<Key> = (0..customers)
        .flat_map(|customer| {
            [CHECKING, SAVINGS, LEDGER].map(|collection| bank::key(collection, customer))
        })
        .collect();
    let mut held = BTreeMap::new();
    for keys in keys.chunks(READ_SET_KEYS) {
        for (key, record) in keys.iter().zip(client.read_set(keys, None).await?) {
            held.insert(key.clone(), record.map(|record| record.fields).unwrap_or_default());
        }
    }
    Ok(held)
}

fn amount(fields: &Fields, field: &str) -> i128 {
    i128::from(bank::integer(Some(fields), field).unwrap_or(0))
}
