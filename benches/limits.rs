//! The numbers of the benchmarks, with their units.

/// A cluster must have told where it listens by then.
pub(crate) const READY_MS: u64 = 90_000;
/// Between two looks at what it has told.
pub(crate) const LOOK_AGAIN_MS: u64 = 50;
/// A cluster of so many groups elects, spreads its leaders and takes its configuration before it is
/// called idle.
pub(crate) const SETTLE_MS: u64 = 12_000;
/// Before stacks are sampled, and after: what a load begins and ends with does not count.
pub(crate) const WARM_MS: u64 = 1_000;
/// Of each processor; no multiple of what timers tick at.
pub(crate) const SAMPLES_PER_S: u32 = 397;
/// Of `kernel.perf_event_paranoid`: above it the kernel is not sampled.
pub(crate) const PARANOID_MAX: i32 = 1;
/// Of each stack, from which it is unwound; one that is deeper loses its outer frames.
pub(crate) const STACK_BYTES: u32 = 16 << 10;
/// Decides what the clients do.
pub(crate) const SEED: u64 = 1;
