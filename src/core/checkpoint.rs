//! Checkpoints: what replicas sign of a group's digest chain, and how a signature covers a vote.
//!
//! A checkpoint names a run of a group's entries and the Merkle root over the chain heads after
//! each of them. A replica signs one that it computed from its own heads, so a quorum of signatures
//! says that a quorum applied these very entries to these very effects. One signature for a second
//! of entries is cheap; a receipt adds the path from its own entry's head to the root.
//!
//! What is signed are the 32 bytes of
//! `SHA-256("vatic/checkpoint/v1" ‖ cluster ‖ group ‖ first ‖ last ‖ root ‖ head)`, framed as
//! [`crate::hash`] says: strings behind their length, integers as eight bytes big-endian, digests
//! as they are. The leaves of the tree are the heads themselves, in order; entries that carry no
//! command have none, so a leaf's place is not its index: the head itself is bound to the index.
//!
//! **Where it lies.** The head after each entry is kept for the last `heads_max` entries, for
//! comparing replicas. When a checkpoint is attested, its heads are copied with it into one row,
//! which stays for twice the time-to-live of outcomes: an outcome is kept from its decision on,
//! which may come later than the checkpoint. All of this is replicated and trimmed while applying,
//! so a restarted replica has it and a snapshot carries it.

use crate::{
    command::{ChainHead, Refusal, Reply},
    group::Group,
    hash::{Hash, Hasher},
    id::{GroupId, Tid},
    merkle,
    receipt::Receipt,
    sign::{NodeKey, NodeSignature, PublicKey, SignatureFault},
    state::{Read, State},
    tables::{self, Attested, Garbage},
};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use serde::{Deserialize, Serialize};

/// Most signatures that a checkpoint is attested with.
const SIGNATURES_MAX: usize = 64;
/// How far ahead of the oldest head a leader starts that came too late for older ones, as a share
/// of all that are kept: they go on being trimmed while it collects signatures.
const LATE_SHARE: u64 = 2;

/// A run of a group's entries, as replicas sign it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The group.
    pub group: GroupId,
    /// The log index of the first entry in it.
    pub first: u64,
    /// The log index of the last one.
    pub last: u64,
    /// The Merkle root over the chain heads after each entry.
    pub root: Hash,
    /// The chain head after the last entry.
    pub head: Hash,
}

/// Why one group's chain position is to be believed.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Endorsement {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// From the chain head after the vote's entry to the checkpoint's root.
    pub path: merkle::Path,
    /// Who signed it, ascending by node.
    pub signatures: Vec<NodeSignature>,
}

impl Checkpoint {
    /// The checkpoint over these heads, which are consecutive; `None` where there are none.
    pub fn over(group: GroupId, heads: &[ChainHead]) -> Option<Checkpoint> {
        let (first, last) = (heads.first()?, heads.last()?);
        let root = merkle::root(&digests(heads));
        let (first, last, head) = (first.index, last.index, last.digest);
        Some(Checkpoint { group, first, last, root, head })
    }

    /// The checkpoint of one entry, which a leader can sign at once.
    pub fn of_entry(group: GroupId, head: ChainHead) -> Checkpoint {
        let ChainHead { index, digest } = head;
        let root = merkle::root(&[digest]);
        Checkpoint { group, first: index, last: index, root, head: digest }
    }

    /// What is signed.
    pub fn digest(&self, cluster: &str) -> Hash {
        Hasher::new("vatic/checkpoint/v1")
            .bytes(cluster.as_bytes())
            .u64(u64::from(self.group.0))
            .u64(self.first)
            .u64(self.last)
            .hash(&self.root)
            .hash(&self.head)
            .finish()
    }

    /// Signs it in the name of a node. Only for one that this replica computed from its own heads.
    pub fn sign(&self, cluster: &str, node: u64, key: &NodeKey) -> NodeSignature {
        key.sign(node, &self.digest(cluster))
    }

    /// Whether the holder of this key signed it.
    pub fn verify_signature(
        &self,
        cluster: &str,
        key: &PublicKey,
        signature: &NodeSignature,
    ) -> Result<(), SignatureFault> {
        key.verify(&self.digest(cluster), signature)
    }
}

impl Endorsement {
    /// One entry's, by a single node: what a leader gives with its first reply.
    pub fn of_entry(checkpoint: Checkpoint, signature: NodeSignature) -> Endorsement {
        debug_assert_eq!(checkpoint.first, checkpoint.last);
        let path = merkle::Path { index: 0, count: 1, siblings: Vec::new() };
        Endorsement { checkpoint, path, signatures: alloc::vec![signature] }
    }
}

impl Group {
    /// The chain heads after these entries, ascending, at most `limit`, as far as they are kept.
    pub fn heads(
        &self,
        state: &impl Read,
        indexes: RangeInclusive<u64>,
        limit: usize,
    ) -> Vec<ChainHead> {
        let (from, to) = tables::chain_heads(indexes);
        let mut heads = Vec::new();
        state.scan(&from, &to, &mut |place, value| {
            if heads.len() < limit {
                let (index, digest) = (tables::index_of(place), tables::stored(value));
                heads.push(ChainHead { index, digest });
            }
            heads.len() < limit
        });
        heads
    }

    /// The checkpoint over these entries by this replica's own heads; `None` where it has not
    /// applied the last one, does not keep the first any more, or they are too many for one.
    pub fn checkpoint(&self, state: &impl Read, first: u64, last: u64) -> Option<Checkpoint> {
        let heads = self.checkpoint_heads(state, first, last)?;
        Checkpoint::over(self.id, &heads)
    }

    /// The checkpoint that a leader should collect signatures for now; `None` where no vote waits
    /// for one. There may be another right after it.
    pub fn next_checkpoint(&self, state: &impl Read) -> Option<Checkpoint> {
        if self.head.voted <= self.head.attested {
            return None;
        }
        let (mut from, oldest) = (self.head.attested + 1, self.oldest_head());
        if from < oldest {
            from = oldest + self.config.limits.heads_max / LATE_SHARE;
        }
        let limit = self.config.limits.checkpoint_entries_max as usize;
        let heads = self.heads(state, from..=self.head.chain.index, limit);
        Checkpoint::over(self.id, &heads)
    }

    /// The log index up to which entries are attested.
    pub fn attested(&self) -> u64 {
        self.head.attested
    }

    /// The kept checkpoint that covers this entry, and the path to it; `None` before it is attested
    /// and after it was collected.
    pub fn endorsement(&self, state: &impl Read, index: u64) -> Option<Endorsement> {
        let (from, to) = tables::attested_from(index);
        let mut found: Option<Attested> = None;
        state.scan(&from, &to, &mut |_, value| {
            found = Some(tables::stored(value));
            false
        });
        let Attested { checkpoint, signatures, heads } = found?;
        let place = heads.binary_search_by_key(&index, |head| head.index).ok()?;
        let path = merkle::Tree::over(&digests(&heads)).path(place);
        Some(Endorsement { checkpoint, path, signatures })
    }

    /// The receipt of a commit at its home, with the home's endorsement if there is one. Those of
    /// other participants come from them: [`Group::endorsement`] of each proof's index, into
    /// [`Receipt::endorse`].
    pub fn complete_receipt(&self, state: &impl Read, tid: Tid) -> Option<Receipt> {
        let mut receipt = self.outcome(state, tid).receipt?;
        let own = receipt.proofs.iter().find(|proof| proof.group == self.id)?.index;
        if let Some(endorsement) = self.endorsement(state, own) {
            receipt.endorse(endorsement);
        }
        Some(receipt)
    }

    /// Keeps a checkpoint with its signatures. It must follow the last one without a gap and be
    /// this replica's own; whose the signatures are is for whoever verifies a receipt.
    pub(crate) fn attest(
        &mut self,
        state: &mut impl State,
        checkpoint: &Checkpoint,
        signatures: &[NodeSignature],
    ) -> Reply {
        let attested = self.head.attested;
        let refused = Reply::Refused(Refusal::Checkpoint { attested });
        let ascend = signatures.windows(2).all(|pair| pair[0].node < pair[1].node);
        let Checkpoint { first, last, .. } = *checkpoint;
        if first <= attested || !ascend || !(1..=SIGNATURES_MAX).contains(&signatures.len()) {
            return refused;
        }
        let Some(heads) = self.checkpoint_heads(state, first, last) else { return refused };
        let skips = attested + 1 >= self.oldest_head()
            && !self.heads(state, attested + 1..=first - 1, 1).is_empty();
        if skips || Checkpoint::over(self.id, &heads).as_ref() != Some(checkpoint) {
            return refused;
        }
        self.head.attested = last;
        let kept = Attested { checkpoint: *checkpoint, signatures: signatures.to_vec(), heads };
        tables::save(state, tables::attested(last), &kept);
        let after_us = self.config.limits.outcome_ttl_us.saturating_mul(2);
        self.list(Garbage::Checkpoint { last }, after_us);
        Reply::Done
    }

    /// Notes the head after an entry and drops those that are too old.
    pub(crate) fn keep_head(&self, state: &mut impl State, before: u64) {
        let ChainHead { index, digest } = self.head.chain;
        tables::save(state, tables::chain_head(index), &digest);
        let max = self.config.limits.heads_max;
        // One, unless there were entries without a command in between.
        let due = before.saturating_sub(max) + 1..=index.saturating_sub(max);
        due.for_each(|old| state.delete(&tables::chain_head(old)));
    }

    /// Drops all heads that are too old, after a change of how many are kept.
    pub(crate) fn trim_heads(&self, state: &mut impl State) {
        let (from, to) = tables::chain_heads(0..=self.oldest_head().saturating_sub(1));
        crate::read::keys(state, &from, &to).iter().for_each(|place| state.delete(place));
    }

    fn oldest_head(&self) -> u64 {
        (self.head.chain.index + 1).saturating_sub(self.config.limits.heads_max)
    }

    /// All heads of a run of entries that starts and ends with one.
    fn checkpoint_heads(&self, state: &impl Read, first: u64, last: u64) -> Option<Vec<ChainHead>> {
        let max = self.config.limits.checkpoint_entries_max as usize;
        let heads = self.heads(state, first..=last, max + 1);
        let ends = (heads.first()?.index, heads.last()?.index);
        (heads.len() <= max && ends == (first, last)).then_some(heads)
    }
}

fn digests(heads: &[ChainHead]) -> Vec<Hash> {
    heads.iter().map(|head| head.digest).collect()
}
