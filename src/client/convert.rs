//! The edge: generated wire types on one side, the core's types on the other.
//!
//! Invariant: no other file of the client takes a generated type apart into values. What a server
//! sends is checked for shape here; a message that lacks a part is a broken protocol, not a
//! default.

use std::time::Duration;

use bytes::Bytes;
use vatic_core::hash::Hash;
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::key::{Key, KeyRange};
use vatic_core::policy::{Policy, Validation};
use vatic_core::strategy::Strategy;
use vatic_core::value::{Fields, Scalar, Value};
use vatic_proto::v1;

use crate::anomalies::Anomaly;
use crate::evidence::Evidence;
use crate::foresight::{
    Disturbance, Forecast, Foresight, Missing, Notice, Resolution, SoFar, Unjudged, Verdict,
    Warning,
};
use crate::outcome::{Cause, Committed, Outcome, Rollback};
use crate::reads::Record;
use crate::request::Request;

/// What is wrong with a message.
pub(crate) type Malformed = &'static str;

pub(crate) fn key_out(key: &Key) -> v1::Key {
    v1::Key {
        collection: key.collection.clone(),
        partition: key.partition.clone(),
        sort: key.sort.clone(),
    }
}

pub(crate) fn key_in(key: v1::Key) -> Key {
    Key { collection: key.collection, partition: key.partition, sort: key.sort }
}

pub(crate) fn range_out(range: &KeyRange, limit: u32) -> v1::ScanRange {
    v1::ScanRange {
        collection: range.collection.clone(),
        partition: range.partition.clone(),
        from_sort: range.from.clone(),
        to_sort: range.to.clone().unwrap_or_default(),
        limit,
    }
}

pub(crate) fn request_out(request: &Request) -> Option<v1::RequestId> {
    let (id, route, mint_unix_ms) = request.parts()?;
    let id = Bytes::copy_from_slice(id);
    Some(v1::RequestId { id, route_key: route.to_owned(), mint_unix_ms })
}

pub(crate) fn transition_out(seq: u64, delta: &[u8]) -> v1::Transition {
    let encoded = Bytes::copy_from_slice(delta);
    v1::Transition { seq, body: Some(v1::transition::Body::Encoded(encoded)), digest: None }
}

pub(crate) fn record_in(record: v1::Record) -> Result<Record, Malformed> {
    let key = key_in(record.key.ok_or("a record without key")?);
    let fields = record
        .fields
        .into_iter()
        .map(|(name, value)| Ok((name, value_in(value)?)))
        .collect::<Result<Fields, Malformed>>()?;
    Ok(Record { key, fields, version: Timestamp(record.version) })
}

pub(crate) fn tid_in(bytes: &[u8]) -> Result<Tid, Malformed> {
    Tid::from_bytes(bytes).ok_or("a transaction id that is not 20 bytes")
}

pub(crate) fn hash_in(bytes: &[u8]) -> Result<Hash, Malformed> {
    Ok(Hash(bytes.try_into().map_err(|_| "a digest that is not 32 bytes")?))
}

/// The outcome; `deltas` is what was sent, as far as the caller has it.
pub(crate) fn outcome_in(outcome: v1::Outcome, deltas: Vec<Vec<u8>>) -> Result<Outcome, Malformed> {
    match outcome.state() {
        v1::outcome::State::Committed => {
            let receipt = outcome.receipt.ok_or("a commit without receipt")?;
            Ok(Outcome::Committed(Box::new(Committed {
                tid: tid_in(&outcome.transaction_id)?,
                version: Timestamp(outcome.commit_version),
                participants: receipt.participants.into_iter().map(GroupId).collect(),
                replayed: outcome.replayed,
                attempts: outcome.attempts,
                verdict: outcome.verdict.map(verdict_in),
                unjudged: outcome.unjudged.map(unjudged_in),
                resolution: outcome.resolution.and_then(resolution_in),
                evidence: Evidence { deltas, receipt: receipt.encoded.to_vec() },
            })))
        }
        v1::outcome::State::RolledBack => {
            let rollback = rollback(&outcome).ok_or("a rollback without cause")?;
            Ok(Outcome::RolledBack(Box::new(rollback)))
        }
        v1::outcome::State::Unknown => Ok(Outcome::Unknown),
        v1::outcome::State::Unspecified => Err("an outcome without state"),
    }
}

pub(crate) fn rollback(outcome: &v1::Outcome) -> Option<Rollback> {
    let rollback = rollback_in(outcome.rollback.as_ref()?, &outcome.transaction_id);
    let verdict = outcome.verdict.map(verdict_in);
    let unjudged = outcome.unjudged.map(unjudged_in);
    let resolution = outcome.resolution.and_then(resolution_in);
    Some(Rollback { verdict, unjudged, resolution, ..rollback })
}

/// Why the transaction with this id was rolled back.
pub(crate) fn rollback_in(rollback: &v1::Rollback, transaction_id: &[u8]) -> Rollback {
    Rollback {
        tid: Tid::from_bytes(transaction_id),
        cause: cause_in(rollback.cause()),
        key: rollback.key.clone().map(key_in),
        expected: Timestamp(rollback.expected_version),
        actual: Timestamp(rollback.actual_version),
        other: Tid::from_bytes(&rollback.other_transaction_id),
        message: rollback.message.clone(),
        retryable: rollback.retryable,
        verdict: None,
        unjudged: None,
        resolution: None,
    }
}

/// None: that of the collection of the first record that is touched.
pub(crate) fn strategy_out(strategy: Option<Strategy>) -> v1::Strategy {
    match strategy {
        None => v1::Strategy::Unspecified,
        Some(Strategy::Optimistic) => v1::Strategy::Optimistic,
        Some(Strategy::Rebase) => v1::Strategy::Rebase,
        Some(Strategy::Snapshot) => v1::Strategy::Snapshot,
        Some(Strategy::Lock) => v1::Strategy::Lock,
        Some(Strategy::LastWriterWins) => v1::Strategy::LastWriterWins,
        Some(Strategy::Adaptive) => v1::Strategy::Adaptive,
    }
}

pub(crate) fn policy_in(policy: &v1::Policy) -> Result<Policy, Malformed> {
    let validation = validation_in(policy.validation())?;
    let strategy = strategy_in(policy.strategy()).ok_or("a policy without a strategy")?;
    Ok(Policy { validation, strategy })
}

pub(crate) fn validation_in(told: v1::Validation) -> Result<Validation, Malformed> {
    let named = |validation: &Validation| validation_out(Some(*validation)) == told;
    Validation::ALL.into_iter().find(named).ok_or("no validation of a known name")
}

pub(crate) fn strategy_in(told: v1::Strategy) -> Option<Strategy> {
    Strategy::ALL.into_iter().find(|strategy| strategy_out(Some(*strategy)) == told)
}

pub(crate) fn validation_out(validation: Option<Validation>) -> v1::Validation {
    match validation {
        None => v1::Validation::Unspecified,
        Some(Validation::Observe) => v1::Validation::Observe,
        Some(Validation::Resolve) => v1::Validation::Resolve,
        Some(Validation::Enforce) => v1::Validation::Enforce,
        Some(Validation::Quarantine) => v1::Validation::Quarantine,
    }
}

pub(crate) fn foresight_out(foresight: Foresight) -> v1::Foresight {
    let Foresight { forecasts, warnings, abort_early, abort_strayed } = foresight;
    v1::Foresight { forecasts, warnings, abort_early, abort_strayed }
}

pub(crate) fn forecast_in(frame: v1::ForecastFrame) -> Forecast {
    Forecast {
        transitions: frame.transitions,
        expected_transitions: frame.expected_transitions,
        strayed: frame.strayed,
        expected_participants: frame.expected_participants,
        exemplars: frame.exemplars,
        forecaster: frame.forecaster,
        spread: frame.spread,
        conflict_ppm: frame.conflict_ppm,
        version: frame.version,
        so_far: frame.so_far.map(so_far_in),
    }
}

/// `None` for what this client does not know.
pub(crate) fn warning_in(frame: v1::WarningFrame) -> Result<Option<Notice>, Malformed> {
    let what = match frame.what() {
        v1::warning_frame::What::Strayed => {
            let so_far = frame.so_far.ok_or("a stray without its distance")?;
            return Ok(Some(Notice::Strayed(so_far_in(so_far))));
        }
        v1::warning_frame::What::Overwritten => Disturbance::Overwritten,
        v1::warning_frame::What::Locked => Disturbance::Locked,
        v1::warning_frame::What::Unspecified => return Ok(None),
    };
    Ok(Some(Notice::Warning(Warning {
        what,
        key: key_in(frame.key.ok_or("a warning without key")?),
        read: Timestamp(frame.read_version),
        found: Timestamp(frame.found_version),
        other: Tid::from_bytes(&frame.other_transaction_id),
    })))
}

fn so_far_in(so_far: v1::SoFar) -> SoFar {
    SoFar {
        valid: so_far.valid,
        from_transitions: so_far.from_transitions,
        transitions: so_far.transitions,
        distance: so_far.distance,
        score: so_far.score,
        tolerance: so_far.tolerance,
    }
}

pub(crate) fn verdict_in(verdict: v1::Verdict) -> Verdict {
    let us = Duration::from_micros;
    Verdict {
        valid: verdict.valid,
        transitions: verdict.transitions,
        expected_transitions: verdict.expected_transitions,
        actual_transitions: verdict.actual_transitions,
        distance: verdict.distance,
        score: verdict.score,
        tolerance: verdict.tolerance,
        spread: verdict.spread,
        round_trip: us(verdict.round_trip_us),
        mean_round_trip: us(verdict.mean_round_trip_us),
        in_flight: verdict.in_flight,
    }
}

/// `None` for strategies that this client does not know.
fn resolution_in(resolution: v1::Resolution) -> Option<Resolution> {
    let why = match resolution.why() {
        v1::resolution::Why::Unspecified => "unspecified",
        v1::resolution::Why::Cheapest => "cheapest",
        v1::resolution::Why::Fixed => "fixed",
        v1::resolution::Why::Unrated => "unrated",
    };
    Some(Resolution {
        own: strategy_in(resolution.own())?,
        chosen: strategy_in(resolution.chosen())?,
        why,
        conflict_ppm: resolution.conflict_ppm,
        latency: resolution.latency_us.map(Duration::from_micros),
        own_latency: resolution.own_latency_us.map(Duration::from_micros),
        freed: resolution.freed,
    })
}

fn unjudged_in(unjudged: v1::Unjudged) -> Unjudged {
    let missing = match unjudged.missing() {
        v1::unjudged::Missing::Unspecified => Missing::Unspecified,
        v1::unjudged::Missing::Exemplars => Missing::Exemplars,
        v1::unjudged::Missing::History => Missing::History,
        v1::unjudged::Missing::Steps => Missing::Steps,
        v1::unjudged::Missing::Forecast => Missing::Forecast,
        v1::unjudged::Missing::Tolerance => Missing::Tolerance,
    };
    Unjudged { missing, waited: Duration::from_millis(unjudged.waited_ms.into()) }
}

pub(crate) fn anomaly_in(node_id: u64, anomaly: v1::Anomaly) -> Result<Anomaly, Malformed> {
    Ok(Anomaly {
        node_id,
        sequence: anomaly.sequence,
        at_unix_ms: anomaly.at_unix_ms,
        tid: tid_in(&anomaly.transaction_id)?,
        class: anomaly.class,
        verdict: verdict_in(anomaly.verdict.ok_or("an anomaly without verdict")?),
        p_value: anomaly.p_value,
        drifting: anomaly.drifting,
        quarantined: anomaly.quarantined,
        running: anomaly.running,
        strays: anomaly.strays.into_iter().map(|stray| (stray.token, stray.more)).collect(),
    })
}

fn cause_in(cause: v1::RollbackCause) -> Cause {
    match cause {
        v1::RollbackCause::Unspecified => Cause::Unspecified,
        v1::RollbackCause::StaleRead => Cause::StaleRead,
        v1::RollbackCause::StaleRange => Cause::StaleRange,
        v1::RollbackCause::Locked => Cause::Locked,
        v1::RollbackCause::ExpectationFailed => Cause::ExpectationFailed,
        v1::RollbackCause::TypeMismatch => Cause::TypeMismatch,
        v1::RollbackCause::Overflow => Cause::Overflow,
        v1::RollbackCause::RecordTooLarge => Cause::RecordTooLarge,
        v1::RollbackCause::Quota => Cause::Quota,
        v1::RollbackCause::ForecastMismatch => Cause::ForecastMismatch,
        v1::RollbackCause::BodyMismatch => Cause::BodyMismatch,
        v1::RollbackCause::RequestIdTaken => Cause::RequestIdTaken,
        v1::RollbackCause::RequestIdExpired => Cause::RequestIdExpired,
        v1::RollbackCause::ChainBroken => Cause::ChainBroken,
        v1::RollbackCause::Recovered => Cause::Recovered,
        v1::RollbackCause::ClientAbort => Cause::ClientAbort,
        v1::RollbackCause::IdleTimeout => Cause::IdleTimeout,
        v1::RollbackCause::WriteConflict => Cause::WriteConflict,
        v1::RollbackCause::Quarantined => Cause::Quarantined,
        v1::RollbackCause::Unjudged => Cause::Unjudged,
    }
}

fn value_in(value: v1::Value) -> Result<Value, Malformed> {
    match value.kind.ok_or("a value without kind")? {
        v1::value::Kind::ListValue(list) => {
            let scalars = list.values.into_iter().map(|value| match value.kind {
                Some(kind) => scalar_in(kind),
                None => Err("a value without kind"),
            });
            Ok(Value::List(scalars.collect::<Result<_, _>>()?))
        }
        kind => Ok(Value::One(scalar_in(kind)?)),
    }
}

fn scalar_in(kind: v1::value::Kind) -> Result<Scalar, Malformed> {
    match kind {
        v1::value::Kind::BoolValue(value) => Ok(Scalar::Bool(value)),
        v1::value::Kind::IntValue(value) => Ok(Scalar::I64(value)),
        v1::value::Kind::DoubleValue(value) => Ok(Scalar::F64(value.to_bits())),
        v1::value::Kind::StringValue(value) => Ok(Scalar::String(value)),
        v1::value::Kind::BytesValue(value) => Ok(Scalar::Bytes(value.to_vec())),
        v1::value::Kind::ListValue(_) => Err("a list in a list"),
    }
}

#[cfg(test)]
#[path = "convert_test.rs"]
mod convert_test;
