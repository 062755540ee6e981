//! What a client keeps of a commit: the deltas as it sent them, and the receipt.
//!
//! Why together: a receipt alone proves nothing about what was asked, and the deltas alone nothing
//! about what was done. Nothing in here believes the server: the digest chain is recomputed over
//! the very bytes that were sent, up to a position in each participant's chain.

use vatic_core::chain;
use vatic_core::codec::{self, DecodeError};
use vatic_core::delta::Delta;
use vatic_core::hash::Hash;
use vatic_core::id::{Tid, Timestamp};
use vatic_core::receipt::{Assurance, Position, Receipt, ReceiptFault};
use vatic_core::sign::TrustedKeys;

/// A commit's proof. It verifies offline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evidence {
    /// The encoded deltas, in the order that they were sent.
    pub deltas: Vec<Vec<u8>>,
    /// The receipt, in the core's versioned encoding.
    pub receipt: Vec<u8>,
}

/// Why evidence does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceFault {
    /// The receipt's bytes cannot be read.
    #[error("the receipt cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// The receipt does not follow from what was sent.
    #[error(transparent)]
    Receipt(#[from] ReceiptFault),
    /// A partial digest is not that of the transitions sent up to there.
    #[error("the acknowledged digest of transition {seq} is not that of what was sent")]
    Acknowledged {
        /// Up to where.
        seq: u64,
    },
    /// The receipt is that of another transaction or of another stream.
    #[error("the receipt's {what} is not that of this transaction")]
    Foreign {
        /// What differs.
        what: &'static str,
    },
}

impl Evidence {
    /// Verifies everything that can be verified offline. Answers the positions in the groups'
    /// chains that the receipt claims: two receipts that claim one position must claim one digest.
    pub fn verify(&self) -> Result<Vec<Position>, EvidenceFault> {
        let receipt = self.read()?;
        Ok(receipt.verify(self.deltas.iter().map(Vec::as_slice))?)
    }

    /// Verifies all of it offline, trusting nothing but the pinned keys.
    pub fn verify_signed(&self, keys: &TrustedKeys) -> Result<Assurance, EvidenceFault> {
        let receipt = self.read()?;
        Ok(receipt.verify_signed(self.deltas.iter().map(Vec::as_slice), keys)?)
    }

    /// The receipt, decoded and not verified.
    pub fn read(&self) -> Result<Receipt, EvidenceFault> {
        Ok(Receipt::from_bytes(&self.receipt)?)
    }

    /// The deltas, decoded.
    pub fn read_deltas(&self) -> Result<Vec<Delta>, EvidenceFault> {
        self.deltas.iter().map(|bytes| Ok(codec::decode(bytes)?)).collect()
    }

    /// Verifies, and that it is the receipt of this very transaction.
    pub(crate) fn verify_as(
        &self,
        tid: Tid,
        seed: Option<Hash>,
        version: Timestamp,
    ) -> Result<(), EvidenceFault> {
        let receipt = self.read()?;
        let foreign = |what| Err(EvidenceFault::Foreign { what });
        if receipt.body.tid != tid {
            return foreign("transaction id");
        }
        if seed.is_some_and(|seed| seed != receipt.body.seal.seed) {
            return foreign("seed");
        }
        if receipt.ts != version {
            return foreign("commit version");
        }
        self.verify().map(drop)
    }
}

/// The digest chain over what is being sent, checked against acknowledgements as they come.
#[derive(Debug, Clone)]
pub(crate) struct SentChain {
    seq: u64,
    digest: Hash,
}

impl SentChain {
    pub(crate) fn new(seed: Hash) -> Self {
        SentChain { seq: 0, digest: seed }
    }

    /// Checks the digest that the server has after transition `seq` of `sent`.
    pub(crate) fn acknowledge(
        &mut self,
        sent: &[Vec<u8>],
        seq: u64,
        digest: &[u8],
    ) -> Result<(), EvidenceFault> {
        if seq < self.seq || seq > sent.len() as u64 {
            return Err(EvidenceFault::Acknowledged { seq });
        }
        self.advance(sent, seq);
        if self.digest.0 == digest { Ok(()) } else { Err(EvidenceFault::Acknowledged { seq }) }
    }

    /// The digest after everything in `sent`. Acknowledgements of parts of it may still come.
    pub(crate) fn head(&self, sent: &[Vec<u8>]) -> Hash {
        let mut ahead = self.clone();
        ahead.advance(sent, sent.len() as u64);
        ahead.digest
    }

    fn advance(&mut self, sent: &[Vec<u8>], to: u64) {
        let from = self.seq as usize;
        for delta in &sent[from..to as usize] {
            self.seq += 1;
            self.digest = chain::link(&self.digest, self.seq, delta);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<Vec<u8>> {
        vec![vec![1], vec![2, 2], vec![3]]
    }

    fn digest_after(count: usize) -> Hash {
        let seed = Hash([7; 32]);
        SentChain::new(seed).head(&sent()[..count])
    }

    #[test]
    fn acknowledgement_of_what_was_sent_holds() {
        let mut chain = SentChain::new(Hash([7; 32]));
        assert_eq!(chain.head(&sent()), digest_after(3));
        assert_eq!(chain.acknowledge(&sent(), 1, &digest_after(1).0), Ok(()));
        assert_eq!(chain.acknowledge(&sent(), 3, &digest_after(3).0), Ok(()));
        assert_eq!(chain.head(&sent()), digest_after(3));
    }

    #[test]
    fn acknowledgement_of_other_bytes_is_caught() {
        let mut other = sent();
        other[1][0] ^= 1;
        let mut chain = SentChain::new(Hash([7; 32]));
        assert_eq!(
            chain.acknowledge(&other, 2, &digest_after(2).0),
            Err(EvidenceFault::Acknowledged { seq: 2 })
        );
    }

    #[test]
    fn acknowledgement_beyond_what_was_sent_is_caught() {
        let mut chain = SentChain::new(Hash([7; 32]));
        assert!(chain.acknowledge(&sent(), 4, &[0; 32]).is_err());
        assert_eq!(chain.acknowledge(&sent(), 2, &digest_after(2).0), Ok(()));
        assert!(chain.acknowledge(&sent(), 1, &digest_after(1).0).is_err());
    }

    #[test]
    fn receipt_of_another_format_is_unreadable() {
        let evidence = Evidence { deltas: vec![], receipt: vec![99, 0] };
        assert!(matches!(evidence.verify(), Err(EvidenceFault::Unreadable(_))));
    }
}
