//! What each leader does from time to time: recover what is left behind, forget, collect, save,
//! have its chain signed, append to the history, and look at its queue.

use super::World;
use crate::{
    event::{Event, Proposed},
    faults::Fault,
    limits,
    probe::Probe,
    sabotage::Sabotage,
};
use std::rc::Rc;
use vatic_core::{
    codec,
    command::Command,
    group::Undecided,
    id::{Tid, Timestamp},
};

const COLLECT_ITEMS_MAX: u32 = 5;

impl World {
    pub(super) fn sweep(&mut self, group: usize) {
        let every = self.rng.between(limits::SWEEP_US / 2, limits::SWEEP_US * 2);
        self.after(every, Event::Sweep { group });
        for replica in 0..self.groups[group].replicas.len() {
            self.check_invariants(group, replica);
            self.check_history(group, replica);
            if self.deployment.is_none() && self.rng.chance(self.swarm.log.save) {
                let held = &mut self.groups[group].replicas[replica];
                held.saved = (held.state.clone(), held.applied);
            }
        }
        self.look_for_leader(group);
        let node = self.groups[group].leader_node();
        if !self.nodes[node].up {
            return;
        }
        if !self.sabotaged(Sabotage::NoRecovery) {
            self.recover_old_votes(group, node);
            self.force_old_stages(group, node);
        }
        self.forget_some(group, node);
        self.collect_some(group, node);
        self.attest_some(group, node);
        self.note_some(group, node);
        self.dispatch_some(group, node);
    }

    fn recover_old_votes(&mut self, group: usize, node: usize) {
        let now = self.clock(node);
        let target = &self.groups[group];
        let held = &target.replicas[target.leader];
        for Undecided { tid, body, participants, .. } in held.machine.undecided(&held.state) {
            if tid.mint.plus_us(limits::SWEEP_AGE_US) <= now {
                self.recover_with(node, tid, Some(body), &participants, None);
            }
        }
    }

    fn force_old_stages(&mut self, group: usize, node: usize) {
        let now = self.clock(node);
        let target = &self.groups[group];
        let (id, held) = (target.id, &target.replicas[target.leader]);
        for tid in held.machine.staged(&held.state) {
            if tid.mint.plus_us(limits::SWEEP_AGE_US) <= now {
                self.hit(Probe::StageAbandoned);
                let participants = vec![id];
                self.propose_here(group, node, Command::Force { tid, body: None, participants });
            }
        }
    }

    /// Forgets up to a watermark, once a coordinator has settled whatever stands in its way.
    fn forget_some(&mut self, group: usize, node: usize) {
        let keeping = self.swarm.keeping.clone();
        if !self.rng.chance(keeping.forget) {
            return;
        }
        let watermark = Timestamp(self.clock(node).0.saturating_sub(keeping.retain_us));
        let target = &self.groups[group];
        let held = &target.replicas[target.leader];
        let unsettled = held.machine.unsettled(&held.state, watermark);
        let settled: Vec<Tid> =
            target.settled.iter().copied().filter(|tid| tid.mint <= watermark).collect();
        let ready = unsettled.iter().all(|left| settled.contains(&left.tid));
        let hasty = self.rng.chance(keeping.hasty);
        if ready || hasty {
            if !ready {
                self.faults.hit(Fault::HastyForget);
            }
            self.propose_here(group, node, Command::Forget { watermark, settled });
        }
        if !self.sabotaged(Sabotage::NoRecovery) {
            for left in unsettled {
                if !self.groups[group].settled.contains(&left.tid) {
                    self.recover_with(node, left.tid, left.body, &left.participants, Some(group));
                }
            }
        }
    }

    fn collect_some(&mut self, group: usize, node: usize) {
        let keeping = self.swarm.keeping.clone();
        if self.rng.chance(keeping.collect) {
            let horizon = Timestamp(self.clock(node).0.saturating_sub(keeping.versions_us));
            let items_max = COLLECT_ITEMS_MAX;
            self.propose_here(group, node, Command::Collect { horizon, items_max });
        }
    }

    pub(super) fn propose_here(&mut self, group: usize, node: usize, command: Command) {
        let bytes = codec::encode(&command);
        self.propose(group, node, Rc::new(Proposed { command, bytes }), None);
    }
}
