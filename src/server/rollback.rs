//! Rollbacks and refusals to vote, as clients are told them.

use crate::{
    convert::{tid, to_key},
    foresight::convert::steps,
    status::ApiError,
};
use vatic_core::{
    body::Fault,
    command::{Cause, Why},
    delta::Rejection,
    expected::Score,
};
use vatic_proto::v1;

fn plain(cause: v1::RollbackCause, retryable: bool, message: String) -> v1::Rollback {
    v1::Rollback { cause: cause.into(), retryable, message, ..v1::Rollback::default() }
}

/// What came between a snapshot and the writes that rest on it.
fn since_snapshot(why: &Why) -> v1::Rollback {
    let conflict = |message| plain(v1::RollbackCause::WriteConflict, true, message);
    match why {
        Why::WrittenSince { key, at, found } => v1::Rollback {
            key: Some(to_key(key)),
            expected_version: at.0,
            actual_version: found.0,
            ..conflict(format!("{key} was written at {found}, after the snapshot {at}: begin anew"))
        },
        Why::SnapshotTooOld { at, horizon } => conflict(format!(
            "what was removed after the snapshot {at} is known from {horizon} on: begin anew"
        )),
        other => unreachable!("{other:?} has nothing to do with a snapshot"),
    }
}

/// What a collection that enforces forecasts did not let through.
fn by_forecast(why: &Why) -> v1::Rollback {
    use v1::RollbackCause as C;
    match why {
        Why::Unforeseen { collection, score, tolerance } => {
            plain(C::ForecastMismatch, false, unforeseen(collection, *score, *tolerance))
        }
        Why::Quarantined { collection, score, tolerance } => {
            let why = unforeseen(collection, *score, *tolerance);
            let kept = "kept aside while there is room: `vatic anomalies ls --quarantined`";
            plain(C::Quarantined, false, format!("{why}; {kept}"))
        }
        Why::Unjudged { collection, why } => plain(
            C::Unjudged,
            true,
            format!("collection {collection} lets nothing through unjudged, and {why}: begin anew"),
        ),
        other => unreachable!("{other:?} has nothing to do with a forecast"),
    }
}

/// A rollback as clients see it.
pub(crate) fn of_cause(cause: &Cause) -> v1::Rollback {
    use v1::RollbackCause as C;
    let at = cause.group;
    match &cause.why {
        Why::ReadChanged { key, read, found } => v1::Rollback {
            key: Some(to_key(key)),
            expected_version: read.0,
            actual_version: found.0,
            ..plain(
                C::StaleRead,
                true,
                format!("{key} was read at version {read} and is now at {found}: begin anew"),
            )
        },
        Why::RangeChanged { range } => {
            plain(C::StaleRange, true, format!("{range} holds other records now: begin anew"))
        }
        Why::WrittenSince { .. } | Why::SnapshotTooOld { .. } => since_snapshot(&cause.why),
        Why::Locked { key, by } | Why::RangeLocked { key, by } => v1::Rollback {
            key: Some(to_key(key)),
            other_transaction_id: tid(*by),
            ..plain(C::Locked, true, format!("transaction {by} is deciding on {key}: begin anew"))
        },
        Why::Rejected { key, seq, rejection } => v1::Rollback {
            key: Some(to_key(key)),
            ..plain(rejected(rejection), false, format!("transition {seq} on {key}: {rejection}"))
        },
        Why::Quota { wanted, held, promised, limit } => plain(
            C::Quota,
            false,
            format!(
                "group {at} would grow by {wanted} bytes: it holds {held}, {promised} are \
                 promised to transactions that are deciding, and records_bytes_max is {limit}: \
                 delete records"
            ),
        ),
        Why::RequestHeld { by } | Why::RequestMismatch { by } => v1::Rollback {
            other_transaction_id: tid(*by),
            ..plain(
                C::RequestIdTaken,
                false,
                format!("the request id was used by transaction {by}: use a fresh one"),
            )
        },
        Why::RequestExpired { mint, clock } => plain(
            C::RequestIdExpired,
            false,
            format!("the request id was minted at {mint} and expired by {clock}: use a fresh one"),
        ),
        Why::Forced => {
            plain(C::Recovered, true, format!("group {at} did not hear of it in time: begin anew"))
        }
        Why::Abandoned => {
            plain(C::Recovered, true, format!("group {at} ended it without a vote: begin anew"))
        }
        Why::Unforeseen { .. } | Why::Quarantined { .. } | Why::Unjudged { .. } => {
            by_forecast(&cause.why)
        }
        Why::OtherBody => plain(
            C::BodyMismatch,
            false,
            format!("group {at} knows another body under this transaction id"),
        ),
    }
}

/// A refusal to vote as clients see it: an error where the input is at fault, else a rollback.
pub(crate) fn of_fault(fault: &Fault) -> Result<v1::Rollback, ApiError> {
    let cause = match fault {
        Fault::Key(error) => return Err(ApiError::BadKey(error.clone())),
        Fault::Delta { seq } => {
            let (seq, what) = (*seq, fault.to_string());
            return Err(ApiError::BadDelta { seq, what });
        }
        Fault::Limit { limit, max, value } => {
            let limit = limit.name();
            return Err(ApiError::Limit { limit, max: *max, actual: *value });
        }
        Fault::WrongGroup { .. } => return Err(ApiError::NotReady),
        Fault::BodyMismatch { .. } => v1::RollbackCause::BodyMismatch,
        Fault::Judgement { .. } => v1::RollbackCause::ForecastMismatch,
        Fault::Participants { .. } | Fault::Part { .. } | Fault::Chain(_) => {
            v1::RollbackCause::ChainBroken
        }
    };
    let message = fault.to_string();
    Ok(v1::Rollback { cause: cause.into(), message, ..v1::Rollback::default() })
}

/// The names of rollback causes as metrics have them, by their number on the wire.
pub(crate) fn causes() -> Vec<String> {
    let causes = (0..).map_while(|number| v1::RollbackCause::try_from(number).ok());
    let name = |cause: v1::RollbackCause| {
        cause.as_str_name().trim_start_matches("ROLLBACK_CAUSE_").to_ascii_lowercase()
    };
    causes.map(name).collect()
}

fn unforeseen(collection: &str, score: Score, tolerance: Score) -> String {
    format!(
        "it is not what was forecast of it: its score is {:.2}, {:.2} is tolerated, and collection \
         {collection} enforces forecasts",
        steps(score),
        steps(tolerance)
    )
}

fn rejected(rejection: &Rejection) -> v1::RollbackCause {
    match rejection {
        Rejection::Type { .. } => v1::RollbackCause::TypeMismatch,
        Rejection::Overflow { .. } => v1::RollbackCause::Overflow,
        Rejection::Expectation { .. } => v1::RollbackCause::ExpectationFailed,
        Rejection::RecordSize { .. }
        | Rejection::RecordFields { .. }
        | Rejection::ListElements { .. }
        | Rejection::FieldName { .. } => v1::RollbackCause::RecordTooLarge,
    }
}
