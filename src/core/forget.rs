//! Forgetting decided transactions.
//!
//! A group forgets a commit only when every participant has applied it, since another one that
//! is still undecided would otherwise find nobody who knows. The watermark goes up before the
//! records go away, and from then on answers "stale" for everything minted up to it: a late vote
//! can neither succeed nor be taken for a No.

use crate::{
    command::{Decision, Refusal, Reply},
    group::Group,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    limits::FORGET_BYTES_MAX,
    read,
    rules::broken,
    state::{Read, State},
    tables::{self, Txn},
};
use alloc::{collections::BTreeSet, vec::Vec};

/// A transaction that keeps the watermark down.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Unsettled {
    /// The transaction.
    pub tid: Tid,
    /// Its body, where one is known.
    pub body: Option<Hash>,
    /// Its participants as far as known.
    pub participants: Vec<GroupId>,
}

impl Group {
    pub(crate) fn forget(
        &mut self,
        state: &mut impl State,
        watermark: Timestamp,
        settled: &[Tid],
    ) -> Reply {
        let settled: BTreeSet<&Tid> = settled.iter().collect();
        let (mut newest, mut unsafe_one, mut elsewhere) = (None, None, Vec::new());
        self.each_record_up_to(state, watermark, |tid, txn| {
            newest = Some(tid.mint);
            let owed = txn.decision.is_none();
            let safe = !owed && (!needs_settling(&txn) || settled.contains(&tid));
            if !safe && !broken!(self.rules, ForgetUnsettled) {
                unsafe_one = Some(tid);
            }
            // What the home group keeps answers "stale" from now on, until its time is over.
            if tid.home != self.id || broken!(self.rules, ForgetWithoutWatermark) {
                elsewhere.push(tid);
            }
            unsafe_one.is_none()
        });
        if let Some(tid) = unsafe_one {
            return Reply::Refused(Refusal::Unsettled(tid));
        }
        // A proposer's clock may run ahead: nothing is forgotten that is not here to be forgotten.
        let Some(newest) = newest else { return Reply::Done };
        let watermark = watermark.min(newest);
        if !broken!(self.rules, ForgetWithoutWatermark) {
            self.head.watermark = self.head.watermark.max(Some(watermark));
        }
        elsewhere.iter().for_each(|tid| state.delete(&tables::txn(*tid)));
        self.drop_staged(state, tables::minted(tables::STAGE, None, watermark));
        Reply::Done
    }

    /// Whether there is anything to forget up to this watermark.
    pub fn has_records_up_to(&self, state: &impl Read, watermark: Timestamp) -> bool {
        let (from, to) = tables::minted(tables::TXN, self.head.watermark, watermark);
        !read::keys_up_to(state, &from, &to, 1).is_empty()
    }

    /// The highest watermark up to `watermark` that covers at most `records_max` records, and about
    /// [`FORGET_BYTES_MAX`] of them.
    pub fn watermark_within(
        &self,
        state: &impl Read,
        watermark: Timestamp,
        records_max: usize,
    ) -> Timestamp {
        let (from, to) = tables::minted(tables::TXN, self.head.watermark, watermark);
        let (mut records, mut bytes, mut beyond) = (0, 0, None);
        state.scan(&from, &to, &mut |place, kept| {
            let full = records == records_max || (bytes > FORGET_BYTES_MAX && records > 0);
            beyond = full.then(|| tables::tid_of(place).mint.0);
            records += 1;
            bytes += kept.len() as u64;
            !full
        });
        beyond.map_or(watermark, |beyond| Timestamp(beyond.saturating_sub(1)))
    }

    /// The transactions of several groups that stand in the way of this watermark unless they are
    /// known to be settled, oldest first, each as far as known.
    pub fn unsettled(&self, state: &impl Read, watermark: Timestamp) -> Vec<Unsettled> {
        let mut unsettled = Vec::new();
        self.each_record_up_to(state, watermark, |tid, txn| {
            if needs_settling(&txn) {
                let Txn { body, participants, .. } = txn;
                unsettled.push(Unsettled { tid, body, participants });
            }
            true
        });
        unsettled
    }

    /// Visits what is not forgotten yet and would be by this watermark, oldest first, until the
    /// visitor returns `false`.
    fn each_record_up_to(
        &self,
        state: &impl Read,
        watermark: Timestamp,
        mut visit: impl FnMut(Tid, Txn) -> bool,
    ) {
        let (from, to) = tables::minted(tables::TXN, self.head.watermark, watermark);
        state.scan(&from, &to, &mut |place, kept| {
            visit(tables::tid_of(place), tables::txn_of(kept))
        });
    }

    /// Transactions that staged something and have no vote, oldest first.
    pub fn staged(&self, state: &impl Read) -> Vec<Tid> {
        let (mut from, to) = tables::whole(tables::STAGE);
        let mut tids = Vec::new();
        // One look for each transaction, however much it staged.
        while let Some(place) = read::keys_up_to(state, &from, &to, 1).first() {
            let tid = tables::tid_of(place);
            tids.push(tid);
            from = tables::stage_of(tid).1;
        }
        tids
    }
}

/// Whether forgetting this record alone could hurt: it is owed a decision, or its commit may be
/// unknown to another participant. A rollback may go: whoever asks afterwards hears "stale", finds
/// no commit anywhere and rolls back as well.
pub(crate) fn needs_settling(txn: &Txn) -> bool {
    match txn.decision {
        None => true,
        Some(Decision::Committed { .. }) => txn.participants.len() > 1,
        Some(Decision::RolledBack(_)) => false,
    }
}
