//! This node's signatures: what makes a receipt worth something to those who trust nobody.
//!
//! A node signs checkpoints of its own replicas' chains and nothing else: it recomputes each from
//! its own heads before it signs, whoever asks. As the leader it signs the entry that a vote lies
//! in at once, for the first reply; one signature serves all votes of an entry.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Mutex,
};
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
    recent: Mutex<Recent<(GroupId, u64), Endorsement>>,
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
        let place = (id, index);
        if let Some(known) = self.recent.lock().expect("no holder panics").get(&place) {
            return Some(known.clone());
        }
        let view = handle.view();
        let group = Group::of_view(id, &view, Rules::default());
        let head = group.heads(&view, index..=index, 1).pop()?;
        let checkpoint = Checkpoint::of_entry(id, head);
        let endorsement = Endorsement::of_entry(checkpoint, self.sign(&checkpoint));
        self.recent.lock().expect("no holder panics").keep(place, endorsement.clone());
        Some(endorsement)
    }
}

/// What was kept last, of all groups: a quiet one's is as young beside a busy one's.
struct Recent<K, V> {
    kept: BTreeMap<K, V>,
    /// The oldest first; what is in `kept`, each once.
    order: VecDeque<K>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Recent<K, V> {
        Recent { kept: BTreeMap::new(), order: VecDeque::new() }
    }
}

impl<K: Ord + Copy, V> Recent<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.kept.get(key)
    }

    fn keep(&mut self, key: K, value: V) {
        if self.kept.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.order.len() > RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_quiet_group_signed_stays_beside_a_busy_one_for_as_long() {
        let mut recent = Recent::default();
        (1_000..2_000).for_each(|index| recent.keep((1, index), index));
        recent.keep((2, 7), 7);
        let others = RECENT_MAX as u64 - 1;
        (2_000..2_000 + others).for_each(|index| recent.keep((1, index), index));
        recent.keep((1, 2_000), 2_000);
        assert_eq!(recent.get(&(2, 7)), Some(&7), "it is the oldest, and kept");
        recent.keep((1, 3_000), 3_000);
        assert_eq!(recent.get(&(2, 7)), None);
        assert_eq!((recent.kept.len(), recent.order.len()), (RECENT_MAX, RECENT_MAX));
    }
}
