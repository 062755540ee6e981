//! How misfortune ends: at once and everywhere, or first for a majority core alone.
//!
//! A cluster must get on while some of its nodes stay away for good. So in one of three seeds a
//! minority of the nodes, as large as each group can do without, stays down or cut off when the
//! load ends. What is under way in the core must come to rest within the drain, whatever the others
//! had a hand in; only then are they healed, and what they missed is looked at as in any other run.
//! Chance for this is its own: other seeds are as they were before there was a core.

use super::World;
use crate::{
    deployment::Ending, event::Event, faults::Fault, limits, misfortune::Family, probe::Probe,
    rng::Rng,
};
use std::collections::BTreeSet;

/// How many of a thousand seeds heal a core first.
const SEEDS_PER_MILLE: u32 = 333;
/// Tells a seed's chance for its core from its other.
const OWN_CHANCE: u64 = 0x0C0A_E0F1_75EE_D003;

/// Which nodes the others do without.
pub(crate) struct Core {
    rng: Rng,
    on: bool,
    left_out: BTreeSet<usize>,
    /// They are down, not cut off.
    down: bool,
}

impl Core {
    pub(super) fn draw(seed: u64) -> Core {
        let mut rng = Rng::new(seed ^ OWN_CHANCE);
        let on = rng.chance(SEEDS_PER_MILLE);
        Core { rng, on, left_out: BTreeSet::new(), down: false }
    }

    pub(super) fn leaves_out(&self, node: usize) -> bool {
        self.left_out.contains(&node)
    }

    pub(super) fn keeps_down(&self, node: usize) -> bool {
        self.down && self.leaves_out(node)
    }

    /// For a report: who is missing.
    pub(super) fn without(&self) -> String {
        match self.left_out.is_empty() {
            true => String::new(),
            false => format!("without nodes {:?}: ", self.left_out),
        }
    }
}

impl World {
    /// Ends misfortune, for a majority core alone where the seed says so: what must happen from
    /// here on is progress.
    pub(super) fn heal(&mut self) {
        if self.core.on {
            self.leave_some_out();
        }
        if self.core.left_out.is_empty() { self.heal_all() } else { self.heal_core() }
    }

    /// Draws nodes to leave out while each group keeps a majority, in a manner that is allowed.
    fn leave_some_out(&mut self) {
        let nodes = self.nodes.len();
        let first = self.core.rng.index(nodes);
        let allows = |family| self.options.families.contains(&family);
        self.core.down = match (allows(Family::Crashes), allows(Family::Partitions)) {
            (true, true) => self.core.rng.chance(500),
            (false, false) => return,
            (crashes, _) => crashes,
        };
        let replaced = self.replaced_node();
        for node in (0..nodes).map(|at| (first + at) % nodes) {
            let mut left_out = self.core.left_out.clone();
            left_out.insert(node);
            let keeps = |members: &Vec<usize>| {
                let lost =
                    |member: &&usize| left_out.contains(member) || replaced == Some(**member);
                let lost = members.iter().filter(lost).count();
                lost < members.len().div_ceil(2)
            };
            if left_out.len() < nodes.div_ceil(2)
                && self.groups.iter().all(|group| keeps(&group.members))
            {
                self.core.left_out = left_out;
            }
        }
    }

    fn heal_core(&mut self) {
        tracing::info!(now = self.now, left_out = ?self.core.left_out, "a core is healed");
        self.healed = true;
        self.cuts.clear();
        for node in self.core.left_out.clone() {
            if self.core.down {
                self.put_down(node);
            } else {
                self.cut_off(node);
            }
        }
        self.end_misfortune();
        for group in 0..self.groups.len() {
            let term = self.groups[group].term;
            self.after(limits::ELECTION_US, Event::Elect { group, term });
        }
    }

    fn put_down(&mut self, node: usize) {
        match &self.deployment {
            Some(deployment) if !deployment.is_down(node) => self.end_node(node, Ending::Power),
            None if self.nodes[node].up => self.crash_assumed(node),
            _ => {}
        }
    }

    fn cut_off(&mut self, node: usize) {
        self.faults.hit(Fault::Partition);
        let others = (0..self.nodes.len()).filter(|&other| other != node);
        let cut = others.flat_map(|other| [(node, other), (other, node)]).collect();
        let id = self.fresh_id();
        self.cuts.insert(id, cut);
    }

    /// Heals those who were left out, once the core has come to rest; false where nobody was.
    pub(super) fn heal_the_rest(&mut self) -> bool {
        if self.core.left_out.is_empty() {
            return false;
        }
        self.hit(Probe::CoreRested);
        self.core.left_out.clear();
        self.heal_all();
        true
    }

    fn heal_all(&mut self) {
        self.healed = true;
        self.cuts.clear();
        self.end_misfortune();
    }

    /// Disks and network are well from here on, and whoever is not kept down starts again.
    fn end_misfortune(&mut self) {
        if let Some(deployment) = &mut self.deployment {
            deployment.clear_up();
        }
        self.share_cuts();
        for node in 0..self.nodes.len() {
            self.restart(node);
        }
        for group in 0..self.groups.len() {
            self.wake_replicas(group);
        }
    }
}
