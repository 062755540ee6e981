//! Decisions: idempotent, and the first one stands.
//!
//! A commit installs the images that the vote fixed and raises the clock even where nothing was
//! written: without that, a later vote here could get a timestamp below a commit that this group
//! already took part in. A contradiction halts the group, since one of two answers already given
//! must be wrong.

use crate::{
    body::Body,
    command::{Decision, Halt, Standing},
    group::Group,
    hash::Hash,
    id::{GroupId, Tid},
    lock,
    receipt::Proof,
    rules::broken,
    state::{Read, State},
    tables::{self, Prepared, Txn, VoteCast},
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
        let txn = tables::load::<Txn>(state, &tables::txn(tid));
        if self.is_other_body(state, tid, txn.as_ref(), body) {
            // This group never voted for the body meant; the one it voted for has its own outcome.
            return Ok(());
        }
        let standing = self.standing_of(state, tid, txn.clone());
        if matches!(standing, Standing::Stale(_)) {
            return Ok(());
        }
        if contradicts(&standing, decision) {
            let (group, decision) = (self.id, decision.clone());
            return Err(Box::new(Halt { group, tid, decision, found: standing }));
        }
        if matches!(standing, Standing::Decided(_)) {
            return Ok(());
        }
        let named = body;
        let body = self.finish(state, tid, decision);
        let body = body.or_else(|| tables::load_aggregate(state, tid).and_then(|kept| kept.body));
        let participants = body.as_ref().map(Body::groups);
        let participants = participants.unwrap_or_default();
        self.record_decision(state, tid, txn, (named, participants), decision);
        // A rollback may come first, before any vote that would have dropped it.
        self.drop_stage(state, tid);
        self.keep_outcome(state, tid, body.as_ref(), decision, proofs);
        debug_assert_eq!(self.standing(state, tid), Standing::Decided(decision.clone()));
        Ok(())
    }

    /// Where a transaction stands here.
    pub fn standing(&self, state: &impl Read, tid: Tid) -> Standing {
        self.standing_of(state, tid, tables::load(state, &tables::txn(tid)))
    }

    /// As [`Group::standing`], where its record has been read.
    pub(crate) fn standing_of(&self, state: &impl Read, tid: Tid, txn: Option<Txn>) -> Standing {
        if self.is_stale(tid) {
            let kept = tables::load_aggregate(state, tid);
            return Standing::Stale(kept.map(|aggregate| aggregate.decision));
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
    pub(crate) fn is_other_body(
        &self,
        state: &impl Read,
        tid: Tid,
        txn: Option<&Txn>,
        meant: Option<Hash>,
    ) -> bool {
        let Some(meant) = meant.filter(|_| !broken!(self.rules, TwoBodies)) else { return false };
        let known = match txn {
            Some(txn) => txn.body,
            None => tables::load_aggregate(state, tid)
                .and_then(|kept| kept.body.map(|body| body.digest())),
        };
        known.is_some_and(|known| known != meant)
    }

    /// Installs or drops what a Yes vote prepared; answers its body.
    fn finish(&mut self, state: &mut impl State, tid: Tid, decision: &Decision) -> Option<Body> {
        let prepared: Prepared = tables::load(state, &tables::prepared(tid))?;
        state.delete(&tables::prepared(tid));
        lock::release(state, tid, &prepared);
        self.census.remove(&prepared);
        self.head.quota.settle(prepared.growth);
        if let Decision::Committed { ts } = *decision {
            if !broken!(self.rules, DecideKeepsClock) {
                self.head.clock = self.head.clock.max(ts);
            }
            self.install(state, prepared.body.claim.as_ref(), &prepared.images, ts);
        } else if tid.home != self.id {
            state.delete(&tables::proof(tid));
        }
        Some(prepared.body)
    }

    fn record_decision(
        &self,
        state: &mut impl State,
        tid: Tid,
        kept: Option<Txn>,
        (body, participants): (Option<Hash>, Vec<GroupId>),
        decision: &Decision,
    ) {
        let mut txn = kept.unwrap_or_else(|| {
            let Decision::RolledBack(cause) = decision else {
                unreachable!("a commit without a vote contradicts")
            };
            Txn { body, participants, vote: VoteCast::No(cause.clone()), decision: None }
        });
        txn.decision = Some(decision.clone());
        tables::save(state, tables::txn(tid), &txn);
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
