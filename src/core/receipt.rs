//! Receipts: what a client keeps, and how it verifies offline.
//!
//! A receipt ties the transitions that a client sent to positions in the participants' digest
//! chains: transitions → chain head → body digest → each group's vote → the entry's Merkle root →
//! the group's chain. Changing any byte of any of them breaks a link. What a receipt cannot show
//! by itself is that a chain position is the one that the group's replicas hold: that takes a
//! comparison with the cluster, or signatures over chain heads.

use crate::{
    body::Body,
    chain::{self, ChainFault},
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    merkle,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Where one Yes vote stands in its group's chain.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// The group.
    pub group: GroupId,
    /// The log index of the entry that holds the vote.
    pub index: u64,
    /// The vote's timestamp.
    pub ts: Timestamp,
    /// Digest of the after-images that the vote fixed.
    pub images: Hash,
    /// Digest of the vote's command bytes.
    pub command: Hash,
    /// From the vote's leaf to the entry's root.
    pub path: merkle::Path,
    /// The chain before the entry.
    pub before: Hash,
}

/// A committed transaction's receipt.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Receipt {
    /// The body that all participants voted for.
    pub body: Body,
    /// When it committed.
    pub ts: Timestamp,
    /// One for each participant, ascending by group.
    pub proofs: Vec<Proof>,
}

/// Why a receipt does not verify.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// The transitions are not those that were sealed.
    #[error("the transitions do not lead to the sealed head: {0}")]
    Transitions(ChainFault),
    /// The segments do not stitch.
    #[error("the segments do not stitch: {0}")]
    Segments(ChainFault),
    /// The proofs are not one for each participant.
    #[error("the proofs do not match the participants")]
    Participants,
    /// A proof does not lead anywhere.
    #[error("the proof of group {0} has the wrong shape")]
    Path(GroupId),
    /// The commit timestamp is not the largest vote timestamp.
    #[error("committed at {ts}, the largest vote is at {largest}")]
    Timestamp {
        /// What the receipt says.
        ts: Timestamp,
        /// What its votes say.
        largest: Timestamp,
    },
}

/// A chain position that a receipt claims: the group's chain had this digest after this entry.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The group.
    pub group: GroupId,
    /// The log index.
    pub index: u64,
    /// The chain's digest after it.
    pub digest: Hash,
}

/// The digest of the effect of a Yes vote.
pub fn vote_effect(tid: Tid, body: &Hash, group: GroupId, ts: Timestamp, images: &Hash) -> Hash {
    Hasher::new("vatic/vote/v1")
        .u64(u64::from(group.0))
        .bytes(&tid.to_bytes())
        .hash(body)
        .u64(ts.0)
        .hash(images)
        .finish()
}

/// The leaf of a command in its entry's tree.
pub fn leaf(command: &Hash, effect: &Hash) -> Hash {
    Hasher::new("vatic/leaf/v1").hash(command).hash(effect).finish()
}

/// The group's chain after an entry.
pub fn chain_step(before: &Hash, group: GroupId, index: u64, root: &Hash) -> Hash {
    Hasher::new("vatic/chain/v1")
        .hash(before)
        .u64(u64::from(group.0))
        .u64(index)
        .hash(root)
        .finish()
}

impl Receipt {
    /// Verifies everything that can be verified offline, from the deltas as the client sent them,
    /// in order; answers the chain positions that remain to be compared with the cluster.
    pub fn verify<'a>(
        &self,
        deltas: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Position>, ReceiptFault> {
        self.verify_transitions(deltas)?;
        chain::stitch(&self.body.seal, &self.body.segments).map_err(ReceiptFault::Segments)?;
        let groups = self.proofs.iter().map(|proof| proof.group);
        if !groups.eq(self.body.participants.iter().map(|participant| participant.group)) {
            return Err(ReceiptFault::Participants);
        }
        let largest = self.proofs.iter().map(|proof| proof.ts).max().unwrap_or_default();
        if largest != self.ts {
            return Err(ReceiptFault::Timestamp { ts: self.ts, largest });
        }
        self.positions()
    }

    /// The chain positions that the proofs lead to.
    pub fn positions(&self) -> Result<Vec<Position>, ReceiptFault> {
        let (tid, body) = (self.body.tid, self.body.digest());
        let position = |proof: &Proof| {
            let effect = vote_effect(tid, &body, proof.group, proof.ts, &proof.images);
            let root = merkle::climb(leaf(&proof.command, &effect), &proof.path)
                .ok_or(ReceiptFault::Path(proof.group))?;
            let digest = chain_step(&proof.before, proof.group, proof.index, &root);
            Ok(Position { group: proof.group, index: proof.index, digest })
        };
        self.proofs.iter().map(position).collect()
    }

    fn verify_transitions<'a>(
        &self,
        deltas: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), ReceiptFault> {
        let seal = &self.body.seal;
        let (mut count, mut digest) = (0, seal.seed);
        for delta in deltas {
            count += 1;
            digest = chain::link(&digest, count, delta);
        }
        if count != seal.count || digest != seal.head {
            let fault = ChainFault::Seal { last: count, count: seal.count };
            return Err(ReceiptFault::Transitions(fault));
        }
        Ok(())
    }
}
