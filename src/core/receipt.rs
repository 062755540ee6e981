//! Receipts: what a client keeps, and how it verifies offline.
//!
//! A receipt ties the transitions that a client sent to positions in the participants' digest
//! chains, and those positions to signatures of a majority of each participant's replicas. Whoever
//! has pinned the replicas' public keys needs to trust nobody else. A changed byte breaks a link.
//!
//! **To verify a receipt** in any language, with the deltas as the client sent them and the pinned
//! keys; `H(tag; fields)` is SHA-256 over the tag and the fields as [`crate::hash`] frames them
//! (strings, and byte strings such as deltas and transaction ids, behind their length as u64;
//! integers as u64 big-endian; digests bare):
//!
//! 1. *Transitions.* From `d = seed`, for each delta in order, counted from 1:
//!    `d = H("vatic/transition/v1"; d, number, delta)`. At the end the number and `d` must be the
//!    seal's count and head.
//! 2. *Segments.* They cover 1 to count without a gap, each `before` is the digest where the last
//!    one ended (first: the seed), the last `after` is the seal's head.
//! 3. *Body.* Its participants ascend by group, and among them are the home group, the group of its
//!    claim, if it has one, and the group of each segment. `b = H("vatic/body/v3"; …)` as
//!    [`Body::digest`] lists the fields.
//! 4. *Votes.* There is one proof for each participant of the body, in its order, and the largest
//!    `ts` is the receipt's. For each proof, with the transaction id's 20 bytes:
//!    - `effect = H("vatic/vote/v1"; group, tid, b, ts, images)`;
//!    - `leaf = H("vatic/leaf/v1"; command, effect)`, which climbs `path` as [`merkle`] says to the
//!      entry's root;
//!    - `head = H("vatic/chain/v1"; before, group, index, root)`: the group's chain after it.
//! 5. *Endorsements.* There is one for each participant, in the same order; a receipt that lacks
//!    some, or signatures of a majority, is incomplete. For each: the checkpoint is of that group,
//!    `first ≤ index ≤ last`; `head` climbs the endorsement's path to the checkpoint's root, and is
//!    the checkpoint's head where `index = last`.
//! 6. *Signatures.* In ascending order of nodes, none twice, each of a node that is pinned for the
//!    group, each a strict Ed25519 signature over the 32 bytes
//!    `H("vatic/checkpoint/v1"; cluster, group, first, last, root, head)`. One that does not verify
//!    spoils the receipt. A majority of the group's pinned nodes must be there, and no two of them
//!    with one key.

use crate::{
    body::Body,
    chain::{self, ChainFault},
    checkpoint::Endorsement,
    codec::{self, DecodeError},
    hash::{Hash, Hasher},
    id::{GroupId, Tid, Timestamp},
    merkle,
    sign::{self, NodeSignature, PublicKey, SignatureFault, TrustedKeys},
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
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
    /// Signatures over the positions, as far as they have been collected, ascending by group. The
    /// first reply has the leaders' own at best.
    pub endorsements: Vec<Endorsement>,
}

/// How far a receipt whose every link holds can be believed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Assurance {
    /// A majority of each participant's pinned replicas signed.
    Complete,
    /// These participants' positions are signed by too few, or by nobody.
    Incomplete(Vec<Lacking>),
}

/// A participant whose position is not signed by a majority.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lacking {
    /// The participant.
    pub group: GroupId,
    /// How many of its replicas signed.
    pub signed: usize,
    /// How many have to.
    pub needed: usize,
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
    /// The participants are not those that a body may have, or the proofs not one for each.
    #[error("the participants are not well-formed, or the proofs do not match them")]
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
    /// The endorsements are not at most one for each participant, in their order.
    #[error("the endorsements do not match the participants")]
    Endorsements,
    /// A participant's position is not endorsed by what is said to endorse it.
    #[error("group {group}: {fault}")]
    Endorsement {
        /// The participant.
        group: GroupId,
        /// What is wrong.
        fault: EndorsementFault,
    },
}

/// Why an endorsement does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EndorsementFault {
    /// The verifier has pinned no replica of this group.
    #[error("no key is pinned for it")]
    Unpinned,
    /// The vote's entry is not one of the checkpoint's.
    #[error("entry {index} is not in the checkpoint over entries {first} to {last}")]
    Range {
        /// The entry.
        index: u64,
        /// First one covered.
        first: u64,
        /// Last one covered.
        last: u64,
    },
    /// The path does not lead from the chain position to what was signed.
    #[error("the chain position does not lead to the checkpoint's root")]
    Root,
    /// The signatures are not in ascending order of nodes.
    #[error("the signature of node {node} is out of order")]
    Order {
        /// The node.
        node: u64,
    },
    /// A node signed that is not pinned for the group.
    #[error("node {node} is not pinned for it")]
    Node {
        /// The node.
        node: u64,
    },
    /// Two nodes are pinned with one key: they would count twice.
    #[error("the key of node {node} is pinned for another node too")]
    SharedKey {
        /// The node.
        node: u64,
    },
    /// A signature does not hold.
    #[error("node {node}: {fault}")]
    Signature {
        /// The node.
        node: u64,
        /// Why not.
        fault: SignatureFault,
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

/// The digest of the effect of a Yes vote on the body with this digest.
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
    /// A receipt that nobody has endorsed yet.
    pub fn new(body: Body, ts: Timestamp, proofs: Vec<Proof>) -> Receipt {
        Receipt { body, ts, proofs, endorsements: Vec::new() }
    }

    /// Reads an encoded receipt. Other bytes that would decode to the same receipt are refused, so
    /// that bytes which verify are the bytes that were given out.
    pub fn from_bytes(bytes: &[u8]) -> Result<Receipt, DecodeError> {
        let receipt: Receipt = codec::decode(bytes)?;
        match codec::encode(&receipt) == bytes {
            true => Ok(receipt),
            false => Err(DecodeError::Malformed),
        }
    }

    /// Puts an endorsement in its place, unless one with as many signatures is there, or its group
    /// takes no part.
    pub fn endorse(&mut self, endorsement: Endorsement) {
        let group = endorsement.checkpoint.group;
        if !self.proofs.iter().any(|proof| proof.group == group) {
            return;
        }
        let place = self.endorsements.binary_search_by_key(&group, |known| known.checkpoint.group);
        match place {
            Ok(at) if self.endorsements[at].signatures.len() < endorsement.signatures.len() => {
                self.endorsements[at] = endorsement;
            }
            Ok(_) => {}
            Err(at) => self.endorsements.insert(at, endorsement),
        }
    }

    /// Verifies everything but signatures, from the deltas as the client sent them, in order;
    /// answers the chain positions that remain to be compared with the cluster.
    pub fn verify<'a>(
        &self,
        deltas: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<Position>, ReceiptFault> {
        self.verify_transitions(deltas)?;
        chain::stitch(&self.body.seal, &self.body.segments).map_err(ReceiptFault::Segments)?;
        let groups = self.proofs.iter().map(|proof| proof.group);
        let well_formed = self.body.is_well_formed();
        if !well_formed
            || !groups.eq(self.body.participants.iter().map(|participant| participant.group))
        {
            return Err(ReceiptFault::Participants);
        }
        let largest = self.proofs.iter().map(|proof| proof.ts).max().unwrap_or_default();
        if largest != self.ts {
            return Err(ReceiptFault::Timestamp { ts: self.ts, largest });
        }
        self.positions()
    }

    /// Verifies all of it, offline, trusting nothing but the pinned keys. Only
    /// [`Assurance::Complete`] says that this was committed.
    pub fn verify_signed<'a>(
        &self,
        deltas: impl IntoIterator<Item = &'a [u8]>,
        keys: &TrustedKeys,
    ) -> Result<Assurance, ReceiptFault> {
        let positions = self.verify(deltas)?;
        let mut endorsements = self.endorsements.iter().peekable();
        let mut lacking = Vec::new();
        for position in positions {
            let group = position.group;
            let found = endorsements.next_if(|found| found.checkpoint.group == group);
            let (signed, needed) = check_endorsement(&position, found, keys)
                .map_err(|fault| ReceiptFault::Endorsement { group, fault })?;
            if signed < needed {
                lacking.push(Lacking { group, signed, needed });
            }
        }
        match (endorsements.next(), lacking.is_empty()) {
            (Some(_), _) => Err(ReceiptFault::Endorsements),
            (None, true) => Ok(Assurance::Complete),
            (None, false) => Ok(Assurance::Incomplete(lacking)),
        }
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

/// How many of a group's pinned replicas signed a position, and how many have to.
fn check_endorsement(
    position: &Position,
    endorsement: Option<&Endorsement>,
    keys: &TrustedKeys,
) -> Result<(usize, usize), EndorsementFault> {
    let pinned = keys.groups.get(&position.group).filter(|pinned| !pinned.is_empty());
    let pinned = pinned.ok_or(EndorsementFault::Unpinned)?;
    let needed = sign::quorum(pinned.len());
    let Some(Endorsement { checkpoint, path, signatures }) = endorsement else {
        return Ok((0, needed));
    };
    let (index, first, last) = (position.index, checkpoint.first, checkpoint.last);
    if !(first..=last).contains(&index) {
        return Err(EndorsementFault::Range { index, first, last });
    }
    let ends_here = index == last && position.digest != checkpoint.head;
    if ends_here || merkle::climb(position.digest, path) != Some(checkpoint.root) {
        return Err(EndorsementFault::Root);
    }
    check_signatures(&checkpoint.digest(&keys.cluster), signatures, pinned)?;
    Ok((signatures.len(), needed))
}

fn check_signatures(
    digest: &Hash,
    signatures: &[NodeSignature],
    pinned: &BTreeMap<u64, PublicKey>,
) -> Result<(), EndorsementFault> {
    let (mut last, mut seen) = (None, BTreeSet::new());
    for signature in signatures {
        let node = signature.node;
        if last.replace(node).is_some_and(|last| last >= node) {
            return Err(EndorsementFault::Order { node });
        }
        let key = pinned.get(&node).ok_or(EndorsementFault::Node { node })?;
        if !seen.insert(key) {
            return Err(EndorsementFault::SharedKey { node });
        }
        key.verify(digest, signature)
            .map_err(|fault| EndorsementFault::Signature { node, fault })?;
    }
    Ok(())
}
