//! Who drives a sealed transaction: the home group's leader, or the gateway by itself.
//!
//! A server's gateway drives where the leaders of the groups that take part are apart. Here any may
//! drive what several groups take part in, since leaders move: so in one of three seeds most do,
//! and a transaction that is handed over again may have a driver in each place. Chance for this is
//! its own: other seeds are as they were before gateways drove.

use super::World;
use crate::{event::Sealed, probe::Probe, rng::Rng};

/// How many of a thousand seeds have gateways that drive.
const SEEDS_PER_MILLE: u32 = 333;
/// How many of a thousand hand-overs a gateway makes to itself, in such a seed.
const DRIVES_PER_MILLE: u32 = 700;
/// Tells a seed's chance for this from its other.
const OWN_CHANCE: u64 = 0x6A7E_DA1E_5EED_0011;

pub(super) struct Driving {
    rng: Rng,
    on: bool,
}

impl Driving {
    pub(super) fn draw(seed: u64) -> Driving {
        let mut rng = Rng::new(seed ^ OWN_CHANCE);
        let on = rng.chance(SEEDS_PER_MILLE);
        Driving { rng, on }
    }
}

impl World {
    /// Where a gateway has a sealed transaction driven.
    pub(super) fn driver_of(&mut self, gateway: usize, sealed: &Sealed) -> usize {
        let apart = sealed.body.participants.len() > 1;
        if self.driving.on && apart && self.driving.rng.chance(DRIVES_PER_MILLE) {
            self.hit(Probe::DrivenByGateway);
            return gateway;
        }
        let home = self.group_at(sealed.body.tid.home);
        self.believed_leader(home)
    }
}
