//! Checkpoints: a leader has them signed by a majority, and any replica completes receipts.
//!
//! Each replica signs what it computed from its own heads. The signatures are gathered in one
//! moment from whoever can be reached: what may go wrong between is the proposal's, which waits in
//! the log as all others do.

use super::World;
use crate::{probe::Probe, sabotage::Sabotage};
use vatic_core::{
    checkpoint::Endorsement,
    command::Command,
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
        for replica in target.replicas.iter().filter(|replica| self.nodes[replica.node].up) {
            let own = replica.machine.checkpoint(&replica.state, wanted.first, wanted.last);
            if own.is_some_and(|own| own == wanted) {
                let signer = replica.node as u64;
                signatures.push(wanted.sign(CLUSTER, signer, &key(signer)));
            }
        }
        let needed = quorum(target.replicas.len());
        if signatures.len() < needed {
            return;
        }
        signatures.truncate(needed);
        signatures.sort_by_key(|signature| signature.node);
        self.hit(Probe::CheckpointSigned);
        self.propose_here(group, node, Command::Attest { checkpoint: wanted, signatures });
    }

    /// What whoever verifies a receipt of this cluster has pinned.
    pub(crate) fn trusted_keys(&self) -> TrustedKeys {
        let groups = self.groups.iter().map(|group| {
            let nodes = group.replicas.iter().map(|replica| replica.node as u64);
            (group.id, nodes.map(|node| (node, key(node).public())).collect())
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
