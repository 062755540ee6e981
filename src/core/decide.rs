//! Decisions: idempotent, and the first one stands.
//!
//! A commit installs the images that the vote fixed and raises the clock even where nothing was
//! written: without that, a later vote here could get a timestamp below a commit that this group
//! already took part in. A contradiction halts the group, since one of two answers already given
//! must be wrong.

use crate::{
    aggregate::AggregateRef,
    body::Body,
    command::{Decision, Halt, Standing},
    group::Group,
    hash::Hash,
    id::Tid,
    lock,
    receipt::Proof,
    rules::broken,
    state::{Read, State},
    tables::{self, Kept, Prepared, Txn, VoteCast},
};
use alloc::{boxed::Box, vec::Vec};

impl Group {
    pub(crate) fn decide(
        &mut self,
        state: &mut impl State,
        tid: Tid,
        body: Option<Hash>,
        decision: &Decision,
        proofs: &[Proof],
    ) -> Result<(), Box<Halt>> {
        let kept = tables::load_kept(state, tid);
        let txn = kept.as_ref().map(|kept| kept.txn.clone());
        if self.is_other_body(txn.as_ref(), body) {
            // This group never voted for the body meant; the one it voted for has its own outcome.
            return Ok(());
        }
        let standing = self.standing_of(tid, txn);
        if matches!(standing, Standing::Stale(_)) {
            return Ok(());
        }
        if contradicts(&standing, decision) {
            let (group, decision) = (self.id, decision.clone());
            return Err(Box::new(Halt { group, tid, decision, found: standing }));
        }
        if matches!(standing, Standing::Decided(_)) && !broken!(self.rules, DecidesAgain) {
            return Ok(());
        }
        let prepared = self.finish(state, tid, decision);
        self.record(state, tid, kept, (body, prepared), (decision, proofs));
        // A rollback may come first, before any vote that would have dropped it.
        self.drop_stage(state, tid);
        debug_assert_eq!(self.standing(state, tid), Standing::Decided(decision.clone()));
        Ok(())
    }

    /// Where a transaction stands here.
    pub fn standing(&self, state: &impl Read, tid: Tid) -> Standing {
        self.standing_of(tid, tables::load_txn(state, tid))
    }

    /// As [`Group::standing`], where its record has been read.
    pub(crate) fn standing_of(&self, tid: Tid, txn: Option<Txn>) -> Standing {
        if self.is_stale(tid) {
            return Standing::Stale(txn.and_then(|txn| txn.decision));
        }
        let Some(txn) = txn else { return Standing::None };
        match (txn.decision, txn.vote) {
            (Some(decision), _) => Standing::Decided(decision),
            (None, VoteCast::Yes { ts }) => {
                let body = txn.body.expect("a Yes is cast on a body");
                Standing::Yes { ts, body, participants: txn.participants }
            }
            (None, VoteCast::No(cause)) => Standing::No(cause),
        }
    }

    /// Whether this group knows the transaction id for another body than the one meant.
    pub(crate) fn is_other_body(&self, txn: Option<&Txn>, meant: Option<Hash>) -> bool {
        let Some(meant) = meant.filter(|_| !broken!(self.rules, TwoBodies)) else { return false };
        txn.and_then(|txn| txn.body).is_some_and(|known| known != meant)
    }

    /// Installs or drops what a Yes vote prepared; answers its body.
    fn finish(&mut self, state: &mut impl State, tid: Tid, decision: &Decision) -> Option<Body> {
        let prepared: Prepared = tables::load(state, &tables::prepared(tid))?;
        if !broken!(self.rules, DecidesAgain) {
            state.delete(&tables::prepared(tid));
        }
        let commits = matches!(decision, Decision::Committed { .. });
        if commits || !broken!(self.rules, RollbackKeepsLocks) {
            lock::release(state, tid, &prepared);
            self.census.remove(&prepared);
        }
        self.head.quota.settle(prepared.growth);
        if let Decision::Committed { ts } = *decision {
            if !broken!(self.rules, DecideKeepsClock) {
                self.head.clock = self.head.clock.max(ts);
            }
            self.install(state, prepared.body.claim.as_ref(), &prepared.images, ts);
        }
        Some(prepared.body)
    }

    /// Writes the decision beside the vote; at home, what answers for it afterwards as well.
    fn record(
        &mut self,
        state: &mut impl State,
        tid: Tid,
        kept: Option<Kept>,
        (named, prepared): (Option<Hash>, Option<Body>),
        (decision, proofs): (&Decision, &[Proof]),
    ) {
        let (known, place, aggregate) = match kept {
            Some(Kept { txn, place, aggregate }) => (Some(txn), place, aggregate),
            None => (None, None, None),
        };
        let body = prepared.or_else(|| aggregate.and_then(|kept| kept.body));
        let mut txn = known.unwrap_or_else(|| {
            let Decision::RolledBack(cause) = decision else {
                unreachable!("a commit without a vote contradicts")
            };
            let vote = VoteCast::No(cause.clone());
            Txn { body: named, participants: Vec::new(), vote, decision: None }
        });
        txn.decision = Some(decision.clone());
        let place = place.filter(|_| matches!(decision, Decision::Committed { .. }));
        let aggregate = AggregateRef { body: body.as_ref(), proofs };
        let home = tid.home == self.id;
        self.keep(state, tid, &txn, place, home.then_some(aggregate));
    }
}

fn contradicts(standing: &Standing, decision: &Decision) -> bool {
    let commits = matches!(decision, Decision::Committed { .. });
    match standing {
        Standing::None | Standing::No(_) => commits,
        Standing::Yes { ts: vote, .. } => {
            matches!(decision, Decision::Committed { ts } if ts < vote)
        }
        Standing::Decided(first) => !first.agrees(decision),
        Standing::Stale(_) => false,
    }
}
