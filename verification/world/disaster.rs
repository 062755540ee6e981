//! What befalls real nodes beside what the world knows at both levels.

use super::World;
use crate::{
    deployment::{Disaster, Ending},
    event::Event,
    faults::Fault,
    limits,
};
use std::collections::BTreeSet;

impl World {
    /// What chaos does at level 2 beside crashes, partitions and clocks.
    pub(super) fn disaster(&mut self) {
        let calm = self.swarm.chaos.calm;
        let node = self.rng.index(self.nodes.len());
        let Some(disaster) = self.deployment_mut().draw_disaster(calm) else { return };
        match disaster {
            Disaster::Pause => {
                self.faults.hit(Fault::NodePaused);
                self.deployment_mut().stall(node);
            }
            Disaster::Pair => self.cut_pair(node),
            Disaster::Handover => {
                let group = self.rng.index(self.groups.len());
                let id = self.groups[group].id;
                if self.deployment_mut().hand_over(group, id) {
                    self.faults.hit(Fault::Handover);
                }
            }
            Disaster::Blackout => {
                for node in 0..self.nodes.len() {
                    if self.nodes[node].up {
                        self.end_node(node, Ending::Power);
                    }
                }
            }
            Disaster::DiskFull => {
                let full = self.rng.chance(600);
                if full {
                    self.faults.hit(Fault::DiskFull);
                }
                self.deployment_mut().fill_disk(node, full);
            }
            Disaster::Hang => {
                self.faults.hit(Fault::DiskHung);
                self.deployment_mut().hang_disk(node);
            }
            Disaster::Isolation => self.isolate_leader(),
        }
    }

    /// Crashes the node at once, or has its disk fail soon.
    pub(super) fn crash_deployed(&mut self, node: usize) {
        match self.deployment_mut().draw_ending() {
            ending @ (Ending::Torn | Ending::SyncFails) => {
                self.deployment_mut().doom(node, ending);
            }
            ending => self.end_node(node, ending),
        }
    }

    /// Some new leaders fall before they have led: what they were elected with may be lost.
    pub(super) fn note_new_leader(&mut self, node: usize) {
        if !self.healed && self.deployment_mut().draw_fall() {
            let delay = self.rng.below(limits::FALL_US);
            self.after(delay, Event::Fall { node });
        }
    }

    pub(super) fn fall(&mut self, node: usize) {
        if !self.healed && self.nodes[node].up {
            self.crash_deployed(node);
        }
    }

    /// Two nodes no longer reach each other, or one no longer reaches the other, for a while.
    fn cut_pair(&mut self, node: usize) {
        let other = (node + 1 + self.rng.index(self.nodes.len() - 1)) % self.nodes.len();
        let both = self.rng.chance(500);
        self.faults.hit(if both { Fault::Partition } else { Fault::OneWay });
        let mut cut = BTreeSet::from([(node, other)]);
        cut.extend(both.then_some((other, node)));
        let duration = self.rng.between(1_000, self.swarm.chaos.down_us);
        self.cut_for(duration, cut);
    }

    /// The others elect, and whoever asks the old leader still finds it there, none the wiser.
    fn isolate_leader(&mut self) {
        if self.onlooking.is_busy() {
            return;
        }
        let group = self.rng.index(self.groups.len());
        self.look_for_leader(group);
        let leader = self.groups[group].leader_node();
        let others = self.groups[group].members.iter().filter(|&&node| node != leader);
        let cut = others.flat_map(|&node| [(leader, node), (node, leader)]).collect();
        self.faults.hit(Fault::Isolation);
        let most = self.onlooking.isolation_us();
        let duration = self.rng.between(most / 5, most);
        let cut = self.cut_for(duration, cut);
        self.look_on(group, leader, cut);
    }

    fn cut_for(&mut self, duration: u64, cut: BTreeSet<(usize, usize)>) -> u64 {
        let id = self.fresh_id();
        self.cuts.insert(id, cut);
        self.share_cuts();
        self.after(duration, Event::Heal { cut: id });
        id
    }
}
