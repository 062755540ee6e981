//! The numbers of load control, each with its unit in its name.

/// See the module. Times are microseconds; ppm are parts per million.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoadLimits {
    /// Transactions that run at once when nothing is known yet.
    pub places_first: u32,
    /// Fewest: so many are no overload, however long they take.
    pub places_min: u32,
    /// Most.
    pub places_max: u32,
    /// Most that wait for a place.
    pub waiting_max: u32,
    /// Longest wait for a place; then it is refused.
    pub wait_max_us: u64,
    /// Mean wait from which on it is an overload.
    pub wait_us: u64,
    /// How much longer than usual transactions may take before there are too many at once.
    pub tolerance_ppm: u64,
    /// Smallest share of those who come that is let in.
    pub share_min_ppm: u32,
    /// Arrivals that are remembered to find the bar by.
    pub arrivals_kept: usize,
}

impl LoadLimits {
    /// What a node runs with.
    pub fn production() -> LoadLimits {
        LoadLimits {
            places_first: 1_024,
            places_min: 96,
            places_max: 8_192,
            waiting_max: 4_096,
            wait_max_us: 60_000,
            wait_us: 20_000,
            tolerance_ppm: 2_000_000,
            share_min_ppm: 10_000,
            arrivals_kept: 1_024,
        }
    }

    /// So small that a test meets them.
    pub fn simulation() -> LoadLimits {
        LoadLimits {
            places_first: 4,
            places_min: 1,
            places_max: 8,
            waiting_max: 3,
            wait_max_us: 50,
            wait_us: 20,
            tolerance_ppm: 2_000_000,
            share_min_ppm: 10_000,
            arrivals_kept: 64,
        }
    }
}
