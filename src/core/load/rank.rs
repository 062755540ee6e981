//! Who is let in before whom.

use crate::conflict::fixed;

/// The higher is let in first: by class, then by user, then by lot.
///
/// Why by user: of a user's requests, which often need each other, all pass or none, so that what
/// passes is of use. Why a user's place changes: nobody is last for ever. The lot tells requests of
/// one user apart, so that where there is one alone some of them pass. As DAGOR does; source: Zhou
/// et al., "Overload Control for Scaling WeChat Microservices", SoCC 2018.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rank(u64);

impl Rank {
    /// Below all others.
    pub const LEAST: Rank = Rank(0);

    /// Of one request: its priority class, its user's id, the hour (any count that changes now and
    /// then), and chance.
    pub fn new(class: u8, user: u64, hour: u64, lot: u32) -> Rank {
        let user = fixed::pair_id(user, hour) >> 40;
        Rank(u64::from(class) << 56 | user << 32 | u64::from(lot))
    }

    /// Its priority class.
    pub fn class(self) -> u8 {
        (self.0 >> 56) as u8
    }
}
