//! The numbers of the benchmark, with their units.

use vatic_client::Limits;

use crate::demo::Hot;

/// What a `put` writes, in bytes.
pub(crate) const VALUE_BYTES: usize = 256;
/// YCSB's record: so many fields of so many bytes.
pub(crate) const YCSB_FIELDS: usize = 10;
pub(crate) const YCSB_FIELD_BYTES: usize = 100;
/// Records that `hotspot` fights over, and how many of a hundred of its transactions do.
pub(crate) const HOT_KEYS: u32 = 10;
pub(crate) const HOT_PERCENT: u32 = 90;
/// Whom `smallbank` fights over.
pub(crate) const HOT_CUSTOMERS: Hot = Hot { customers: 100, percent: 90 };
/// Fewest items of `tpcc`: an order has up to 15 different ones.
pub(crate) const TPCC_ITEMS_MIN: u32 = 100;
/// Records that one transaction loads; `tpcc` has batches of its own.
pub(crate) const LOAD_BATCH: u32 = 50;
/// Loading at once.
pub(crate) const LOADERS: usize = 128;
/// How long the loading of one record is tried: elections come and go, a node may be started again.
pub(crate) const LOAD_RETRY_MS: u64 = 60_000;
/// Before anything counts.
pub(crate) const WARM_UP_MS: u64 = 1_000;
/// Past the end, for operations that are still under way.
pub(crate) const LAST_MS: u64 = 10_000;
/// Pause after an error that is no rollback.
pub(crate) const ERROR_PAUSE_MS: u64 = 20;
/// Upper end of the first pause after a rollback; doubles with each.
pub(crate) const BACKOFF_US: u64 = 500;
/// Upper end of any pause after a rollback.
pub(crate) const BACKOFF_US_MAX: u64 = 16_000;
/// How long an intent to write holds others off.
pub(crate) const HOLD_MS: u32 = 1_000;
/// How long to wait for a record that somebody else is about to write, before looking again.
pub(crate) const WAIT_MS: u32 = 2_500;
/// Longest operation that the histograms tell apart, in microseconds.
pub(crate) const LATENCY_US_MAX: u64 = 120_000_000;

/// Classes of `overload`, each with its share of a hundred operations, the highest last.
pub(crate) const CLASSES: [(u8, u32); 3] = [(0, 60), (1, 30), (2, 10)];
/// What is asked for, in parts of what the cluster can do.
pub(crate) const RATES: [f64; 3] = [0.5, 1.0, 2.0];
/// At each of them before anything counts: the cluster finds its limits meanwhile.
pub(crate) const RAMP_MS: u64 = 6_000;
/// Operations under way past which the next ones are not begun.
pub(crate) const UNDER_WAY_MAX: usize = 50_000;

/// A client whose every call ends soon enough for a short measurement.
pub(crate) fn client_limits() -> Limits {
    Limits { call_ms: 5_000, operation_ms: 10_000, ..Limits::production() }
}
