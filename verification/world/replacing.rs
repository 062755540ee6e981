//! Changes of membership at level 2: replicas that begin anew as the next generation, under load.
//!
//! A replica is set aside as if it had been found to differ, or a node loses its disk. One at a
//! time: whoever loses a second disk before the first is made good has lost what only the two
//! held, and nobody promises to survive that. Everything else goes on meanwhile.
//!
//! Four of five seeds have them. Chance for this is its own: the others are as they were before
//! members changed.

use super::World;
use crate::{
    deployment::{Ending, Replacing},
    faults::Fault,
    misfortune::Family,
    probe::Probe,
    rng::Rng,
};

/// How many of a thousand seeds have changes.
const SEEDS_PER_MILLE: u32 = 800;
/// How many of a thousand blows of misfortune begin a change, where none is under way.
const CHANGES_PER_MILLE: u32 = 500;
/// How many of a thousand changes are lost disks.
const LOST_PER_MILLE: u32 = 500;
/// How many of a thousand befall whoever leads: others know it by what it says, not by its answers.
const LEADERS_PER_MILLE: u32 = 500;
/// Tells a seed's chance for this from its other.
const OWN_CHANCE: u64 = 0x5EA7_C4A9_5EED_0013;

pub(super) struct Replacements {
    rng: Rng,
    on: bool,
    under_way: Option<Replacing>,
}

impl Replacements {
    pub(super) fn draw(seed: u64) -> Replacements {
        let mut rng = Rng::new(seed ^ OWN_CHANCE);
        let on = rng.chance(SEEDS_PER_MILLE);
        Replacements { rng, on, under_way: None }
    }
}

impl World {
    /// Begins a change of membership, in seeds that have them.
    pub(super) fn replace_something(&mut self) {
        if !self.may_replace() {
            return;
        }
        let rng = &mut self.replacements.rng;
        if !rng.chance(CHANGES_PER_MILLE) {
            return;
        }
        let loses_disk = rng.chance(LOST_PER_MILLE);
        let group = rng.index(self.groups.len());
        let leads = rng.chance(LEADERS_PER_MILLE);
        let drawn = *rng.pick(&self.groups[group].members);
        let node = if leads { self.groups[group].leader_node() } else { drawn };
        let deployment = self.deployment.as_ref().expect("only called at level 2");
        if !self.nodes[node].up || !deployment.takes_part(node) {
            return;
        }
        let begun = match loses_disk {
            true => {
                self.end_node(node, Ending::Power);
                Some(self.deployment_mut().lose_disk(node))
            }
            false => deployment.set_aside(self.groups[group].id, node),
        };
        if let Some(begun) = begun {
            tracing::info!(now = self.now, ?begun, "a change begins");
            self.faults.hit(Fault::Replaced);
        }
        self.replacements.under_way = begun;
    }

    /// Whether a change may begin: in seeds that have them, one at a time.
    fn may_replace(&mut self) -> bool {
        let allowed = self.options.families.contains(&Family::Replacements);
        self.replacements.on && allowed && !self.is_replacing()
    }

    /// Notes that a node that is down will need another disk, where that may be now.
    pub(super) fn begin_to_replace_disk(&mut self, node: usize) -> bool {
        if !self.may_replace() {
            return false;
        }
        let deployment = self.deployment.as_ref().expect("only called at level 2");
        self.replacements.under_way = Some(deployment.replacing(node));
        self.faults.hit(Fault::Replaced);
        true
    }

    /// Whether it is this node that will need another disk.
    pub(super) fn needs_disk(&self, node: usize) -> bool {
        let under_way = self.replacements.under_way.as_ref();
        under_way.is_some_and(|begun| begun.node() == node && begun.lost_disk())
    }

    /// The node of which a replica, or all, cannot be counted on yet.
    pub(super) fn replaced_node(&mut self) -> Option<usize> {
        self.is_replacing();
        self.replacements.under_way.map(Replacing::node)
    }

    /// For a report: whose change is not over.
    pub(super) fn what_is_replaced(&self) -> String {
        let node = self.replacements.under_way.map(Replacing::node);
        node.map(|node| format!("node {node} is replaced; ")).unwrap_or_default()
    }

    /// Whether a change is under way. Until it is over the cluster has nothing to spare.
    pub(super) fn is_replacing(&mut self) -> bool {
        let Some(replacing) = self.replacements.under_way else { return false };
        let deployment = self.deployment.as_ref().expect("changes are of level 2");
        let over = deployment.is_replaced(replacing);
        if over {
            self.replacements.under_way = None;
            self.hit(if replacing.lost_disk() { Probe::DiskReplaced } else { Probe::Rebuilt });
        }
        !over
    }
}
