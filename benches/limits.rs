//! The numbers of the benchmarks, with their units.

/// A cluster must have told where it listens by then.
pub(crate) const READY_MS: u64 = 90_000;
/// Between two looks at what it has told.
pub(crate) const LOOK_AGAIN_MS: u64 = 50;
/// A cluster of so many groups elects, spreads its leaders and takes its configuration before it is
/// called idle.
pub(crate) const SETTLE_MS: u64 = 12_000;
/// Decides what the clients do.
pub(crate) const SEED: u64 = 1;
