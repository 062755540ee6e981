//! The aggregate record: what the home group keeps of a transaction after all else is forgotten.
//!
//! It lies beside vote and decision and answers [`GetOutcome`]-style questions until its
//! time-to-live ends. For a commit it is the receipt.
//!
//! [`GetOutcome`]: crate::read::outcome

use crate::{
    body::Body,
    command::Standing,
    finding::Finding,
    id::Timestamp,
    receipt::{Proof, Receipt},
    rules::{Rules, broken},
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a home group keeps of a transaction beside vote and decision.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Aggregate {
    /// The body, where one reached the home group.
    pub body: Option<Body>,
    /// Proofs of the participants' votes, as its decision brought them.
    pub proofs: Vec<Proof>,
}

/// An [`Aggregate`] to be written, of what lies elsewhere.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct AggregateRef<'a> {
    pub(crate) body: Option<&'a Body>,
    pub(crate) proofs: &'a [Proof],
}

/// What the home group knows of a transaction.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct OutcomeRead {
    /// Where it stands.
    pub standing: Standing,
    /// How it was judged, or why it was not.
    pub finding: Finding,
    /// The receipt, for a commit.
    pub receipt: Option<Receipt>,
}

impl Aggregate {
    /// The receipt of a commit at `ts`, with the home group's own proof put in its place.
    pub fn receipt(self, ts: Timestamp, own: Option<Proof>, rules: Rules) -> Option<Receipt> {
        let Aggregate { body, mut proofs } = self;
        let body = body?;
        if let Some(own) = own {
            proofs.retain(|proof| proof.group != own.group);
            proofs.push(own);
        }
        proofs.sort_by_key(|proof| proof.group);
        let complete = proofs.iter().map(|proof| proof.group).eq(body.groups());
        let complete = complete || broken!(rules, ReceiptOfRollback);
        complete.then_some(Receipt::new(body, ts, proofs))
    }
}
