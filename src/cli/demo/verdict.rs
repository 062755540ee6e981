//! What the kept evidence alone says: which receipts hold, whether they contradict each other, and
//! what every account must hold if exactly these commits happened.

use std::collections::{BTreeMap, HashMap, HashSet};

use vatic_client::Evidence;
use vatic_core::delta::{Delta, Op};
use vatic_core::hash::Hash;
use vatic_core::id::{GroupId, Tid};
use vatic_core::key::Key;
use vatic_core::receipt::Assurance;
use vatic_core::sign::TrustedKeys;

use super::evidence_file::Kept;

/// Faults that are spelt out; the others are counted.
const FAULTS_SHOWN: usize = 20;

/// The judgement on a file of evidence, as it is read.
#[derive(Debug)]
pub(crate) struct Verdict {
    pinned: TrustedKeys,
    pub(crate) verified: u64,
    pub(crate) failed: u64,
    pub(crate) faults: Vec<String>,
    seen: HashSet<Tid>,
    /// What each group's chain was after each entry that a receipt names.
    chains: HashMap<(GroupId, u64), Hash>,
    /// The integer fields of every record, as the evidence adds up.
    sums: BTreeMap<(Key, String), i128>,
}

impl Verdict {
    /// No evidence yet; signatures count by these keys.
    pub(crate) fn new(pinned: TrustedKeys) -> Self {
        Verdict {
            pinned,
            verified: 0,
            failed: 0,
            faults: Vec::new(),
            seen: HashSet::new(),
            chains: HashMap::new(),
            sums: BTreeMap::new(),
        }
    }

    /// Takes one commit. Those that opened accounts count into sums, not into receipts.
    pub(crate) fn take(&mut self, kept: Kept) {
        let opening = kept.opening;
        match self.judge(&kept.evidence()) {
            Ok(()) if opening => {}
            Ok(()) => self.verified += 1,
            Err(fault) => {
                self.failed += 1;
                self.blame(fault);
            }
        }
    }

    /// What a field must hold if exactly the commits seen happened.
    pub(crate) fn sum(&self, key: &Key, field: &str) -> i128 {
        self.sums.get(&(key.clone(), field.to_owned())).copied().unwrap_or(0)
    }

    /// Keeps a fault to show.
    pub(crate) fn blame(&mut self, fault: String) {
        if self.faults.len() < FAULTS_SHOWN {
            self.faults.push(fault);
        }
    }

    fn judge(&mut self, evidence: &Evidence) -> Result<(), String> {
        let receipt = evidence.read().map_err(|fault| fault.to_string())?;
        let tid = receipt.body.tid;
        let positions = evidence.verify().map_err(|fault| format!("{tid}: {fault}"))?;
        match evidence.verify_signed(&self.pinned) {
            Ok(Assurance::Complete) => {}
            Ok(Assurance::Incomplete(lacking)) => {
                return Err(format!("{tid}: too few signatures: {lacking:?}"));
            }
            Err(fault) => return Err(format!("{tid}: {fault}")),
        }
        if !self.seen.insert(tid) {
            return Err(format!("{tid}: acknowledged twice"));
        }
        // The chain before an entry is the chain after the one before it.
        let before = receipt
            .proofs
            .iter()
            .map(|proof| (proof.group, proof.index.saturating_sub(1), proof.before));
        let after = positions.iter().map(|at| (at.group, at.index, at.digest));
        for (group, index, digest) in before.chain(after) {
            let known = *self.chains.entry((group, index)).or_insert(digest);
            if known != digest {
                return Err(format!("{tid}: group {group} has two chains at entry {index}"));
            }
        }
        for delta in evidence.read_deltas().map_err(|fault| format!("{tid}: {fault}"))? {
            self.add(delta);
        }
        Ok(())
    }

    fn add(&mut self, delta: Delta) {
        match delta.op {
            Op::Add { field, by } => {
                *self.sums.entry((delta.key, field)).or_default() += i128::from(by);
            }
            // Accounts are opened once, before anything is added.
            Op::Put(fields) => {
                for (field, value) in fields {
                    let value = i128::from(value.as_i64().unwrap_or(0));
                    *self.sums.entry((delta.key.clone(), field)).or_default() += value;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
#[path = "verdict_test.rs"]
mod verdict_test;
