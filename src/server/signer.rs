//! This node's signatures: what makes a receipt worth something to those who trust nobody.
//!
//! A node signs checkpoints of its own replicas' chains and nothing else: it recomputes each from
//! its own heads before it signs, whoever asks. As the leader it signs the entry that a vote lies
//! in at once, for the first reply; one signature serves all votes of an entry.

use std::{collections::BTreeMap, sync::Mutex};
use vatic_consensus::GroupHandle;
use vatic_core::{
    checkpoint::{Checkpoint, Endorsement},
    group::Group,
    id::GroupId,
    rules::Rules,
    sign::{NodeKey, NodeSignature, PublicKey},
};

/// Entries whose signature is kept: votes of one entry are answered within moments of each other.
const RECENT_MAX: usize = 256;

/// The node's key, and what it signed a moment ago.
pub(crate) struct Signer {
    cluster: String,
    node: u64,
    key: NodeKey,
    recent: Mutex<BTreeMap<(u64, GroupId), Endorsement>>,
}

impl Signer {
    pub(crate) fn new(cluster: String, node: u32, key: NodeKey) -> Signer {
        Signer { cluster, node: u64::from(node), key, recent: Mutex::default() }
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Signs a checkpoint that this node computed from its own replica.
    pub(crate) fn sign(&self, checkpoint: &Checkpoint) -> NodeSignature {
        checkpoint.sign(&self.cluster, self.node, &self.key)
    }

    /// Signs one applied entry; `None` where its head is not kept any more.
    pub(crate) fn endorse(
        &self,
        id: GroupId,
        handle: &GroupHandle,
        index: u64,
    ) -> Option<Endorsement> {
        let place = (index, id);
        if let Some(known) = self.recent.lock().expect("no holder panics").get(&place) {
            return Some(known.clone());
        }
        let view = handle.view();
        let group = Group::of_view(id, &view, Rules::default());
        let head = group.heads(&view, index..=index, 1).pop()?;
        let checkpoint = Checkpoint::of_entry(id, head);
        let endorsement = Endorsement::of_entry(checkpoint, self.sign(&checkpoint));
        let mut recent = self.recent.lock().expect("no holder panics");
        recent.insert(place, endorsement.clone());
        while recent.len() > RECENT_MAX {
            recent.pop_first();
        }
        Some(endorsement)
    }
}
