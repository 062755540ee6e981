//! Bounds on what one command may ask of a group.
//!
//! They are part of each group's replicated configuration, not of a node's: a vote that one replica
//! refused for a limit that another did not have would be divergence.

use serde::{Deserialize, Serialize};

/// Most fields in a record: what one delta costs to apply must stay small.
pub const RECORD_FIELDS_MAX: u64 = 1_024;

/// Most elements in a list field, for the same reason.
pub const LIST_ELEMENTS_MAX: u64 = 4_096;

/// Most ranges that one transaction scans in one group: each is locked, and every writer looks at
/// it.
pub const RANGES_MAX: u64 = 64;

/// Bytes of fields that one scan returns at most; it is cut there as by its limit.
pub const SCAN_BYTES_MAX: u64 = 4 << 20;

/// Bytes of kept transactions that one watermark passes, about: applying it reads them all.
pub const FORGET_BYTES_MAX: u64 = 8 << 20;

/// Longest text that a cause quotes, in bytes. A cause travels in decisions, which must always fit.
pub const QUOTE_BYTES_MAX: usize = 64;

/// The bounds; each is refused by name with the value that broke it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Largest record, in bytes as [`crate::value::size_bytes`] counts.
    pub record_bytes_max: u64,
    /// Longest field name, in bytes.
    pub field_name_bytes_max: u64,
    /// Most transitions in one transaction.
    pub transitions_max: u64,
    /// Bytes of all deltas of one transaction.
    pub transaction_bytes_max: u64,
    /// Most keys and ranges that one transaction reads in one group.
    pub reads_max: u64,
    /// Most groups in one transaction.
    pub participants_max: u64,
    /// Most records that a scanned range may hold when it is validated.
    pub range_records_max: u64,
    /// How long a request id stays usable after its mint time, in microseconds.
    pub request_ttl_us: u64,
    /// How long an outcome can be asked for after its decision, in microseconds.
    pub outcome_ttl_us: u64,
    /// For how many of the last entries the chain head is kept.
    pub heads_max: u64,
    /// Most entries that one signed checkpoint covers.
    pub checkpoint_entries_max: u64,
    /// Bytes of the latest versions of all records of a group: [`crate::quota::record_bytes`].
    pub records_bytes_max: u64,
    /// Events that a group's history keeps; the oldest go first.
    pub history_rows_max: u64,
    /// How long the history keeps an event, by the group's clock, in microseconds.
    pub history_ttl_us: u64,
    /// Most events that one command appends to the history.
    pub history_batch_max: u64,
    /// Most bytes of them, encoded.
    pub history_batch_bytes_max: u64,
}

impl Limits {
    /// What a cluster starts with.
    pub fn production() -> Limits {
        Limits {
            record_bytes_max: 1 << 20,
            field_name_bytes_max: 128,
            transitions_max: 100_000,
            transaction_bytes_max: 64 << 20,
            reads_max: 10_000,
            participants_max: 64,
            range_records_max: 10_000,
            request_ttl_us: 3_600_000_000,
            outcome_ttl_us: 3_600_000_000,
            heads_max: 100_000,
            checkpoint_entries_max: 1_024,
            records_bytes_max: 64 << 30,
            history_rows_max: 10_000,
            history_ttl_us: 604_800_000_000,
            history_batch_max: 128,
            history_batch_bytes_max: 256 << 10,
        }
    }

    /// Tiny bounds that reach the corners.
    pub fn simulation() -> Limits {
        Limits {
            record_bytes_max: 256,
            field_name_bytes_max: 16,
            transitions_max: 8,
            transaction_bytes_max: 2_048,
            reads_max: 8,
            participants_max: 4,
            range_records_max: 8,
            request_ttl_us: 1_000,
            outcome_ttl_us: 1_000,
            heads_max: 48,
            checkpoint_entries_max: 8,
            records_bytes_max: 4_096,
            history_rows_max: 6,
            history_ttl_us: 20_000,
            history_batch_max: 3,
            history_batch_bytes_max: 1_024,
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits::production()
    }
}
