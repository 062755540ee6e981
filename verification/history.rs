//! What was done and seen, for the oracles: kept by an onlooker whom no crash can reach.
//!
//! Two sources that never mix: what clients did, sent and were told; and what the groups' logs say
//! happened. An oracle is a comparison of the two.

use crate::event::Learned;
use std::collections::BTreeMap;
use vatic_core::{
    body::Body,
    command::{Decision, Standing},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::KeyRange,
    read::{RangeRecords, Record},
    receipt::Receipt,
    request::RequestId,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// By body digest: two bodies of one transaction id are two attempts.
    pub(crate) attempts: BTreeMap<Hash, Attempt>,
    pub(crate) reads: Vec<StrictRead>,
    pub(crate) snapshots: Vec<SnapshotRead>,
    pub(crate) requests: Vec<Request>,
    /// What every coordinator concluded, heard or not: the body that it was for, and what.
    pub(crate) conclusions: Vec<(Hash, Learned)>,
    /// What each group's log says of each transaction.
    pub(crate) facts: BTreeMap<(Tid, GroupId), Fact>,
    /// What the accounts hold together.
    pub(crate) money: i64,
}

/// One sealed transaction.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) body: Body,
    pub(crate) digest: Hash,
    /// The deltas that were digested, in stream order.
    pub(crate) deltas: Vec<Vec<u8>>,
    /// What the client believes it sent, where the gateway replaced something.
    pub(crate) kept: Option<Vec<Vec<u8>>>,
    pub(crate) seen: Observed,
    /// What it read and need not hold: it may be moved over the changes there.
    pub(crate) moved: Vec<Record>,
    pub(crate) invoked_us: u64,
    /// The request that it serves, in the caller's mind.
    pub(crate) request: Option<usize>,
    /// The participant whose part the gateway altered.
    pub(crate) tampered: Option<GroupId>,
    /// When the client was told, and what.
    pub(crate) learned: Option<(u64, Learned)>,
    pub(crate) receipts: Vec<Receipt>,
}

impl Attempt {
    /// The deltas that the client has in hand when it verifies its receipt.
    pub(crate) fn clients_deltas(&self) -> impl Iterator<Item = &[u8]> {
        self.kept.as_ref().unwrap_or(&self.deltas).iter().map(Vec::as_slice)
    }
}

/// Versions that somebody was shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) records: Vec<Record>,
    pub(crate) ranges: Vec<(KeyRange, Vec<Record>)>,
}

impl Observed {
    pub(crate) fn note_range(&mut self, found: &RangeRecords) {
        self.ranges.push((found.covered.clone(), found.records.clone()));
    }
}

/// A read outside a transaction that claims to be strictly serializable.
#[derive(Clone, Debug)]
pub(crate) struct StrictRead {
    pub(crate) invoked_us: u64,
    pub(crate) returned_us: u64,
    pub(crate) seen: Observed,
}

/// A read that claims to be a cut at one timestamp.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotRead {
    pub(crate) at: Timestamp,
    pub(crate) seen: Observed,
}

/// Something that a caller wants done once.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) content: Hash,
    pub(crate) attempts: usize,
    /// The attempt that the caller was told had done it.
    pub(crate) answered_by: Option<Tid>,
}

/// What one group's log says of one transaction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fact {
    pub(crate) body: Option<Hash>,
    pub(crate) yes: Option<Timestamp>,
    pub(crate) no: bool,
    pub(crate) decision: Option<Decision>,
    pub(crate) forgotten: bool,
}

impl Fact {
    /// Takes in where the transaction stands now; the error says what that contradicts.
    pub(crate) fn fold(&mut self, standing: &Standing) -> Result<(), String> {
        let contradiction = |known: &Fact| Err(format!("{standing:?} follows {known:?}"));
        match standing {
            Standing::None if self.yes.is_some() || self.no || self.decision.is_some() => {
                return contradiction(self);
            }
            Standing::Yes { ts, .. } => {
                if self.no || self.decision.is_some() || self.yes.is_some_and(|yes| yes != *ts) {
                    return contradiction(self);
                }
                self.yes = Some(*ts);
            }
            Standing::No(_) => {
                if self.yes.is_some() || self.decision.is_some() {
                    return contradiction(self);
                }
                self.no = true;
            }
            Standing::Decided(decision) | Standing::Stale(Some(decision)) => {
                if self.decision.as_ref().is_some_and(|known| !known.agrees(decision)) {
                    return contradiction(self);
                }
                self.decision.get_or_insert_with(|| decision.clone());
            }
            Standing::None | Standing::Stale(None) => {}
        }
        self.forgotten |= matches!(standing, Standing::Stale(_));
        Ok(())
    }
}

impl History {
    /// Committed attempts with their timestamps, in the order of these.
    pub(crate) fn committed(&self) -> Vec<(Timestamp, &Attempt)> {
        let mut committed: Vec<_> = self
            .attempts
            .values()
            .filter_map(|attempt| Some((self.commit_of(attempt)?, attempt)))
            .collect();
        committed.sort_by_key(|(ts, attempt)| (*ts, attempt.body.tid));
        committed
    }

    /// When an attempt committed, by the groups' logs: one that decided so for this very body.
    pub(crate) fn commit_of(&self, attempt: &Attempt) -> Option<Timestamp> {
        let digest = attempt.digest;
        attempt.body.participants.iter().find_map(|participant| {
            let fact = self.facts.get(&(attempt.body.tid, participant.group))?;
            match fact.decision {
                Some(Decision::Committed { ts }) if fact.body == Some(digest) => Some(ts),
                _ => None,
            }
        })
    }
}
