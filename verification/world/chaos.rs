//! Misfortune: crashes, restarts, leader changes and partitions, as often as the seed says.

use super::World;
use crate::{
    event::Event, faults::Fault, limits, probe::Probe, sabotage::Sabotage, sim_state::SimState,
};
use std::collections::BTreeSet;
use vatic_core::{group::Group, memory::MemoryState, state::State};

impl World {
    pub(super) fn chaos(&mut self) {
        if self.healed {
            return;
        }
        if self.deployment.is_some() {
            self.disaster();
            self.replace_something();
        }
        let chaos = self.swarm.chaos.clone();
        let weights = [chaos.crash, chaos.leader, chaos.partition, chaos.jump, chaos.calm];
        match self.rng.weighted(&weights) {
            0 => self.crash(),
            1 => self.depose(),
            2 => self.partition(),
            3 => self.jump_clock(),
            _ => {}
        }
        let delay = self.rng.between(chaos.every_us / 2, chaos.every_us * 2);
        self.after(delay, Event::Chaos);
    }

    /// A node loses all that is volatile; the log and saved states stay.
    fn crash(&mut self) {
        let node = self.rng.index(self.nodes.len());
        if !self.nodes[node].up {
            return;
        }
        if self.deployment.is_some() {
            return self.crash_deployed(node);
        }
        self.crash_assumed(node);
    }

    pub(super) fn crash_assumed(&mut self, node: usize) {
        self.faults.hit(Fault::NodeCrash);
        self.nodes[node].up = false;
        self.coordinations.retain(|_, coordination| coordination.node != node);
        for group in 0..self.groups.len() {
            let target = &mut self.groups[group];
            let Some(replica) = target.replica_on(node) else { continue };
            let held = &mut target.replicas[replica];
            held.life += 1;
            held.applying = false;
            held.waiting.clear();
            if target.leader == replica {
                let term = target.term;
                self.after(limits::ELECTION_US, Event::Elect { group, term });
            }
        }
        self.gateway_crashed(node);
        let delay = self.rng.between(1_000, self.swarm.chaos.down_us);
        self.after(delay, Event::Restart { node });
    }

    pub(super) fn restart(&mut self, node: usize) {
        if self.nodes[node].up || self.core.keeps_down(node) {
            return;
        }
        if self.deployment.is_some() {
            return self.restart_deployed(node);
        }
        self.nodes[node].up = true;
        for group in 0..self.groups.len() {
            if let Some(replica) = self.groups[group].replica_on(node) {
                self.reopen(group, replica);
            }
        }
        for group in 0..self.groups.len() {
            self.wake_replicas(group);
        }
    }

    /// Opens a replica on what it had saved, or on another one's state.
    fn reopen(&mut self, group: usize, replica: usize) {
        let by_snapshot = self.rng.chance(self.swarm.log.snapshot);
        let loses_vote = self.sabotaged(Sabotage::LostVote);
        let target = &mut self.groups[group];
        let donor = (replica + 1) % target.replicas.len();
        let newer = target.replicas[donor].applied > target.replicas[replica].saved.1;
        if by_snapshot && newer {
            let given = (target.replicas[donor].state.clone(), target.replicas[donor].applied);
            target.replicas[replica].saved = given;
            self.probes.hit(Probe::SnapshotInstalled);
        }
        let held = &mut target.replicas[replica];
        let (state, applied) = held.saved.clone();
        held.state = if loses_vote { without_first(&state, UNDECIDED) } else { state };
        if applied < held.applied {
            self.probes.hit(Probe::ReplayedEntries);
        }
        held.applied = applied;
        held.machine = Group::open(target.id, &held.state, self.options.rules);
        if !held.machine.undecided(&held.state).is_empty() {
            self.probes.hit(Probe::ReopenedWithLocks);
        }
        self.check_invariants(group, replica);
    }

    /// A node's wall clock is set anew, perhaps back.
    fn jump_clock(&mut self) {
        self.faults.hit(Fault::ClockJump);
        let node = self.rng.index(self.nodes.len());
        self.nodes[node].ahead_us = self.rng.below(limits::CLOCK_JUMP_US + 1);
    }

    fn depose(&mut self) {
        let group = self.rng.index(self.groups.len());
        if self.deployment.is_some() {
            return self.end_leader(group);
        }
        let replica = self.rng.index(self.groups[group].replicas.len());
        if replica != self.groups[group].leader && self.quorum_around(group, replica) {
            self.change_leader(group, replica);
        }
    }

    /// A group without a working leader looks for a replica that reaches a majority.
    pub(super) fn elect(&mut self, group: usize, term: u64) {
        // Real groups see to that themselves, and always have a quorum here.
        if self.groups[group].term != term || self.has_quorum(group) {
            return;
        }
        let replicas = self.groups[group].replicas.len();
        let first = self.rng.index(replicas);
        let fit = (0..replicas)
            .map(|at| (first + at) % replicas)
            .find(|&replica| self.quorum_around(group, replica));
        match fit {
            Some(replica) => self.change_leader(group, replica),
            None => self.after(limits::ELECTION_US, Event::Elect { group, term }),
        }
    }

    /// Cuts one node off from the others, both ways or one.
    fn partition(&mut self) {
        let node = self.rng.index(self.nodes.len());
        let (deaf, mute) =
            *self.rng.pick(&[(true, true), (true, true), (true, false), (false, true)]);
        let mut cut = BTreeSet::new();
        for other in (0..self.nodes.len()).filter(|&other| other != node) {
            cut.extend(deaf.then_some((other, node)));
            cut.extend(mute.then_some((node, other)));
        }
        self.faults.hit(if deaf && mute { Fault::Partition } else { Fault::OneWay });
        let id = self.fresh_id();
        self.cuts.insert(id, cut);
        self.share_cuts();
        let delay = self.rng.between(1_000, self.swarm.chaos.down_us);
        self.after(delay, Event::Heal { cut: id });
        for group in 0..self.groups.len() {
            let term = self.groups[group].term;
            self.after(limits::ELECTION_US, Event::Elect { group, term });
        }
    }

    /// Losses and litter that all replicas share, so that comparing them tells nothing.
    pub(super) fn spoil_the_end(&mut self) {
        let (erases, litters) =
            (self.sabotaged(Sabotage::ErasedRecord), self.sabotaged(Sabotage::LeftProof));
        for held in self.groups.iter_mut().flat_map(|group| &mut group.replicas) {
            if erases {
                held.state = without_first(&held.state, LATEST);
            }
            if litters {
                held.state.put([&[PROOF], [0; 20].as_slice()].concat(), Vec::new());
            }
        }
    }
}

/// Tags of the core's tables, as its documentation of them says.
const UNDECIDED: u8 = b'p';
const LATEST: u8 = b'r';
const PROOF: u8 = b'f';

/// The state without the first row of a table.
fn without_first(state: &SimState, table: u8) -> SimState {
    let mut map = MemoryState(state.map().0.clone());
    let first = map.0.range(vec![table]..vec![table + 1]).next().map(|(key, _)| key.clone());
    if let Some(key) = first {
        map.0.remove(&key);
    }
    SimState::new(map)
}
