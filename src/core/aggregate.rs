//! The aggregate record: what the home group keeps of a transaction after all else is forgotten.
//!
//! It is written with the home group's decision and answers [`GetOutcome`]-style questions until
//! its time-to-live ends. For a commit it is the receipt.
//!
//! [`GetOutcome`]: crate::read::outcome

use crate::{
    body::Body,
    command::{Decision, Standing},
    receipt::{Proof, Receipt},
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A finished transaction at its home group.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Aggregate {
    /// The body, where one reached the home group.
    pub body: Option<Body>,
    /// The outcome.
    pub decision: Decision,
    /// Proofs of the other groups' votes, for a commit; the home's own is kept beside.
    pub proofs: Vec<Proof>,
}

/// An [`Aggregate`] to be written, of what lies elsewhere.
#[derive(Serialize)]
pub(crate) struct AggregateRef<'a> {
    pub(crate) body: Option<&'a Body>,
    pub(crate) decision: &'a Decision,
    pub(crate) proofs: &'a [Proof],
}

/// What the home group knows of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct OutcomeRead {
    /// Where it stands.
    pub standing: Standing,
    /// The receipt, for a commit.
    pub receipt: Option<Receipt>,
}

impl Aggregate {
    /// The receipt of a commit, with the home group's own proof put in its place.
    pub fn receipt(&self, own: Option<Proof>) -> Option<Receipt> {
        let Decision::Committed { ts } = self.decision else { return None };
        let body = self.body.clone()?;
        let mut proofs = self.proofs.clone();
        if let Some(own) = own {
            proofs.retain(|proof| proof.group != own.group);
            proofs.push(own);
        }
        proofs.sort_by_key(|proof| proof.group);
        let complete = proofs.iter().map(|proof| proof.group).eq(body.groups());
        complete.then_some(Receipt::new(body, ts, proofs))
    }
}
