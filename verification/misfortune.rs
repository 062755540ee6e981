//! Families of misfortune, to leave on or off as a whole: for a look at one kind alone, and to find
//! out which of them a failing seed needs.

use crate::swarm::Swarm;
use std::collections::BTreeSet;

/// Misfortune that belongs together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Family {
    /// Messages are lost, late or out of order.
    Network,
    /// Messages come twice, the second time perhaps very late.
    Repeats,
    /// Nodes do not reach each other.
    Partitions,
    /// Nodes and coordinators die, leaders change.
    Crashes,
    /// Nodes stand still for a while.
    Pauses,
    /// Wall clocks are off, and jump.
    Clocks,
    /// Disks tear, fail, rot and are full.
    Disks,
    /// Gateways and clients do wrong, and groups are told to forget too early.
    Gateways,
    /// Replicas begin anew: they are found to differ, or their disks are lost.
    Replacements,
}

impl Family {
    /// All of them.
    pub const ALL: [Family; 9] = [
        Family::Network,
        Family::Repeats,
        Family::Partitions,
        Family::Crashes,
        Family::Pauses,
        Family::Clocks,
        Family::Disks,
        Family::Gateways,
        Family::Replacements,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Family::Network => "network",
            Family::Repeats => "repeats",
            Family::Partitions => "partitions",
            Family::Crashes => "crashes",
            Family::Pauses => "pauses",
            Family::Clocks => "clocks",
            Family::Disks => "disks",
            Family::Gateways => "gateways",
            Family::Replacements => "replacements",
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Family> {
        Family::ALL.into_iter().find(|family| family.name() == name)
    }
}

impl Swarm {
    /// The same seed's cluster and work, with these families of misfortune alone.
    pub(crate) fn with_only(mut self, families: &BTreeSet<Family>) -> Swarm {
        let off = |family| !families.contains(&family);
        if off(Family::Network) {
            self.network.loss = 0;
        }
        if off(Family::Repeats) {
            (self.network.repeat, self.network.limbo) = (0, 0);
        }
        if off(Family::Partitions) {
            self.chaos.partition = 0;
        }
        if off(Family::Crashes) {
            (self.chaos.crash, self.chaos.leader, self.coordinator_dies) = (0, 0, 0);
        }
        if off(Family::Clocks) {
            (self.chaos.jump, self.skew_us) = (0, 0);
        }
        if off(Family::Gateways) {
            let client = &mut self.client;
            (client.impatient, client.misuse, client.deaf, client.tamper) = (0, 0, 0, 0);
            (client.forge, client.twin, client.lax, client.blind) = (0, 0, 0, 0);
            self.keeping.hasty = 0;
        }
        self
    }
}
