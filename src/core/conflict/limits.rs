//! Bounds on the memory and the work of contention.
//!
//! They are a node's own: a score is no part of what replicas must agree on.

/// The bounds. Tables are powers of two.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Counters in a row of a hotness sketch, a power of two; 32 bytes each, four rows.
    pub sketch_width: usize,
    /// Pairs of slots in a table of conflict rates, a power of two; 48 bytes each.
    pub rate_slots: usize,
    /// Transactions in flight that are kept; past it the oldest is forgotten.
    pub in_flight_max: usize,
    /// Records of one transaction that are looked at.
    pub touches_max: usize,
    /// Areas of one transaction that are looked at.
    pub areas_max: usize,
    /// Durations of which the running median is taken.
    pub durations_kept: usize,
}

impl Limits {
    /// What a node runs with: about 3 MiB, and a few hundred bytes a transaction in flight.
    pub fn production() -> Limits {
        Limits {
            sketch_width: 8_192,
            rate_slots: 16_384,
            in_flight_max: 65_536,
            touches_max: 256,
            areas_max: 32,
            durations_kept: 255,
        }
    }

    /// Tiny bounds that reach the corners.
    pub fn simulation() -> Limits {
        Limits {
            sketch_width: 16,
            rate_slots: 4,
            in_flight_max: 4,
            touches_max: 4,
            areas_max: 2,
            durations_kept: 3,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}
