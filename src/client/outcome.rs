//! How a transaction ended, as callers see it.

use std::fmt;

use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::key::Key;

use crate::evidence::Evidence;
use crate::foresight::{Resolution, Unjudged, Verdict};

/// The answer to the question how a transaction ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Its effects are there.
    Committed(Box<Committed>),
    /// Its effects never were and never will be.
    RolledBack(Box<Rollback>),
    /// Nothing is known of it: never seen, or long forgotten.
    Unknown,
}

/// A commit, with the proof of it.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The attempt that committed.
    pub tid: Tid,
    /// The version of every record that it wrote.
    pub version: Timestamp,
    /// The groups that voted, ascending.
    pub participants: Vec<GroupId>,
    /// True: it is the outcome of an earlier attempt at the same request.
    pub replayed: bool,
    /// Attempts that the gateway made of it, each under an id of its own; 0: not known.
    pub attempts: u32,
    /// How it was judged, if it was.
    pub verdict: Option<Verdict>,
    /// Why it was not, where it was to be.
    pub unjudged: Option<Unjudged>,
    /// Under which strategy it was voted on, where it was invalid and that is resolved.
    pub resolution: Option<Resolution>,
    /// The receipt with what was sent. Asked for by id alone, nothing that was sent is in it.
    pub evidence: Evidence,
}

/// A rollback: why, and over what.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollback {
    /// The attempt.
    pub tid: Option<Tid>,
    /// Why.
    pub cause: Cause,
    /// The record at fault, where there is one.
    pub key: Option<Key>,
    /// The version read or expected there; 0: absence, or none at stake.
    pub expected: Timestamp,
    /// The version found there; 0: absence, or none at stake.
    pub actual: Timestamp,
    /// The transaction that was in the way, where known.
    pub other: Option<Tid>,
    /// For people.
    pub message: String,
    /// Whether the same transaction, begun anew, may commit.
    pub retryable: bool,
    /// How it was judged, if it was.
    pub verdict: Option<Verdict>,
    /// Why it was not, where it was to be.
    pub unjudged: Option<Unjudged>,
    /// Under which strategy it was voted on, where it was invalid and that is resolved.
    pub resolution: Option<Resolution>,
}

/// Why a transaction was rolled back: `vatic.v1.RollbackCause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Cause {
    Unspecified,
    StaleRead,
    StaleRange,
    Locked,
    ExpectationFailed,
    TypeMismatch,
    Overflow,
    RecordTooLarge,
    Quota,
    ForecastMismatch,
    BodyMismatch,
    RequestIdTaken,
    RequestIdExpired,
    ChainBroken,
    Recovered,
    ClientAbort,
    IdleTimeout,
    WriteConflict,
    Quarantined,
    Unjudged,
}

impl Cause {
    /// Lower-case, words joined by `_`.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Unspecified => "unspecified",
            Cause::StaleRead => "stale_read",
            Cause::StaleRange => "stale_range",
            Cause::Locked => "locked",
            Cause::ExpectationFailed => "expectation_failed",
            Cause::TypeMismatch => "type_mismatch",
            Cause::Overflow => "overflow",
            Cause::RecordTooLarge => "record_too_large",
            Cause::Quota => "quota",
            Cause::ForecastMismatch => "forecast_mismatch",
            Cause::BodyMismatch => "body_mismatch",
            Cause::RequestIdTaken => "request_id_taken",
            Cause::RequestIdExpired => "request_id_expired",
            Cause::ChainBroken => "chain_broken",
            Cause::Recovered => "recovered",
            Cause::ClientAbort => "client_abort",
            Cause::IdleTimeout => "idle_timeout",
            Cause::WriteConflict => "write_conflict",
            Cause::Quarantined => "quarantined",
            Cause::Unjudged => "unjudged",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rolled back: {}", self.cause)?;
        if let Some(key) = &self.key {
            write!(f, " on {key}")?;
        }
        if self.expected != self.actual {
            write!(f, " (version {} expected, {} found)", self.expected, self.actual)?;
        }
        if let Some(other) = &self.other {
            write!(f, ", over transaction {other}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        if let Some(tid) = &self.tid {
            write!(f, "; transaction {tid}")?;
        }
        if self.retryable { f.write_str("; begun anew it may commit") } else { Ok(()) }
    }
}
