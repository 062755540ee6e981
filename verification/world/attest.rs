//! Checkpoints: a leader has them signed by a majority, and any replica completes receipts.
//!
//! Each replica signs what it computed from its own heads. The signatures are gathered in one
//! moment from whoever can be reached: what may go wrong between is the proposal's, which waits in
//! the log as all others do.

use super::World;
use crate::{probe::Probe, sabotage::Sabotage};
use vatic_core::{
    checkpoint::{Checkpoint, Endorsement},
    command::Command,
    group::Group,
    receipt::{Proof, Receipt},
    sign::{NodeKey, NodeSignature, TrustedKeys, quorum},
};

const CLUSTER: &str = "simulation";

impl World {
    pub(super) fn attest_some(&mut self, group: usize, node: usize) {
        let target = &self.groups[group];
        let held = &target.replicas[target.leader];
        if !self.has_quorum(group) {
            return;
        }
        let Some(wanted) = held.machine.next_checkpoint(&held.state) else { return };
        let mut signatures: Vec<NodeSignature> = Vec::new();
        for (node, own) in self.own_checkpoints(group, &wanted) {
            if own == wanted {
                signatures.push(wanted.sign(CLUSTER, node as u64, &key(node as u64)));
            }
        }
        let needed = quorum(self.members(group).len());
        if signatures.len() < needed {
            return;
        }
        signatures.truncate(needed);
        signatures.sort_by_key(|signature| signature.node);
        self.hit(Probe::CheckpointSigned);
        self.propose_here(group, node, Command::Attest { checkpoint: wanted, signatures });
    }

    /// What each replica that can be asked computes from its own heads.
    fn own_checkpoints(&self, group: usize, wanted: &Checkpoint) -> Vec<(usize, Checkpoint)> {
        let target = &self.groups[group];
        let (first, last) = (wanted.first, wanted.last);
        let members = self.members(group).into_iter().filter(|&node| self.nodes[node].up);
        let own = members.filter_map(|node| {
            let Some(deployment) = &self.deployment else {
                let held = &target.replicas[target.replica_on(node)?];
                return Some((node, held.machine.checkpoint(&held.state, first, last)?));
            };
            let view = deployment.view(target.id, node)?;
            let machine = Group::of_view(target.id, &view, self.options.rules);
            Some((node, machine.checkpoint(&view, first, last)?))
        });
        own.collect()
    }

    /// The nodes that hold a replica of the group.
    fn members(&self, group: usize) -> Vec<usize> {
        self.groups[group].members.clone()
    }

    /// What whoever verifies a receipt of this cluster has pinned.
    pub(crate) fn trusted_keys(&self) -> TrustedKeys {
        let groups = (0..self.groups.len()).map(|group| {
            let nodes = self.members(group).into_iter().map(|node| node as u64);
            (self.groups[group].id, nodes.map(|node| (node, key(node).public())).collect())
        });
        TrustedKeys { cluster: CLUSTER.into(), groups: groups.collect() }
    }

    /// The receipt with what its participants' replicas still know of their checkpoints.
    pub(crate) fn endorsed(&self, receipt: &Receipt) -> Receipt {
        let mut receipt = receipt.clone();
        for proof in receipt.proofs.clone() {
            self.endorsement(&proof).into_iter().for_each(|found| receipt.endorse(found));
        }
        receipt
    }

    fn endorsement(&self, proof: &Proof) -> Option<Endorsement> {
        let group = &self.groups[self.group_at(proof.group)];
        let held = &group.replicas[proof.index as usize % group.replicas.len()];
        let mut found = held.machine.endorsement(&held.state, proof.index)?;
        if self.sabotaged(Sabotage::MisplacedEndorsement) {
            found.path.index ^= 1;
        }
        Some(found)
    }
}

fn key(node: u64) -> NodeKey {
    NodeKey::from_seed(&[node as u8 + 1; 32])
}
