//! Every `tonic::Status` that clients see is made here, in one exhaustive match.
//!
//! Each carries a `google.rpc.ErrorInfo` with a reason and every dynamic value, so that a program
//! need not parse the message.
//!
//! Invariant: a status stays small, whatever the client sent. It travels in HTTP/2 headers, and
//! headers over the peer's limit (16 KiB is common) end the whole connection, other calls included.

use crate::cluster::CallError;
use prost::Message;
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status, body::Body, codegen::http};
use tonic_types::{ErrorDetails, StatusExt};
use vatic_core::{
    draft::DraftError,
    finding::Unjudged,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    key::KeyError,
};
use vatic_proto::{reason, v1};

/// Longest text in a status, in bytes: three components of a key and what is said of them.
const TEXT_BYTES_MAX: usize = 1_024;

/// When to come back after a refusal for want of room.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// What a call can fail with.
#[derive(Debug)]
pub(crate) enum ApiError {
    BadKey(KeyError),
    BadDelta { seq: u64, what: String },
    BadRequestId { what: &'static str },
    BadSequence { expected: u64, actual: u64 },
    BadCount { expected: u64, actual: u64 },
    BadFrame { what: String },
    Limit { limit: &'static str, max: u64, actual: u64 },
    DigestMismatch { seq: u64, expected: Hash, actual: Hash },
    NoLeader { group: GroupId },
    NotReady,
    QueueFull { limit: &'static str, max: u64 },
    NoRoom { limit: String, max: u64 },
    Overloaded { retry_us: u64 },
    ShuttingDown,
    Deadline { deadline_ms: u64 },
    Late { group: GroupId },
    SnapshotTooOld { at: Timestamp, horizon: Timestamp },
    SnapshotTooNew { at: Timestamp, clock: Timestamp },
    OutcomeUnknown { tid: Tid },
    Unjudged { collection: String, home: GroupId, why: Unjudged },
    RolledBack(Box<v1::Outcome>),
}

type Details = Vec<(&'static str, String)>;

impl ApiError {
    /// What it says to a client.
    pub(crate) fn said(self) -> String {
        Status::from(self).message().to_owned()
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        if let ApiError::RolledBack(outcome) = error {
            return rolled_back(&outcome);
        }
        let retry = match error {
            ApiError::QueueFull { .. } | ApiError::NoRoom { .. } | ApiError::Unjudged { .. } => {
                Some(RETRY_AFTER)
            }
            ApiError::Overloaded { retry_us } => Some(Duration::from_micros(retry_us)),
            _ => None,
        };
        let (code, reason, message, metadata) = describe(error);
        let message = clipped(message);
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(name, value)| (name.to_owned(), clipped(value))).collect();
        let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, metadata);
        if retry.is_some() {
            details.set_retry_info(retry);
        }
        Status::with_error_details(code, message, details)
    }
}

/// The same status as a message, for one of many answers on a stream.
pub(crate) fn as_message(error: ApiError) -> tonic_types::pb::Status {
    let status = Status::from(error);
    let details = tonic_types::pb::Status::decode(status.details());
    details.expect("every status made here carries itself in its details")
}

impl ApiError {
    /// As the whole answer of a call.
    pub(crate) fn into_http(self) -> http::Response<Body> {
        Status::from(self).into_http()
    }
}

/// The message of an answer that is all status; empty where it is none.
pub(crate) fn message(headers: &http::HeaderMap) -> String {
    let status = Status::from_header_map(headers);
    status.map(|status| status.message().to_owned()).unwrap_or_default()
}

impl From<DraftError> for ApiError {
    fn from(error: DraftError) -> ApiError {
        let what = error.to_string();
        match error {
            DraftError::Key(error) => ApiError::BadKey(error),
            DraftError::Delta { seq, .. } => ApiError::BadDelta { seq, what },
            DraftError::Digest { seq, expected, sent } => {
                ApiError::DigestMismatch { seq, expected, actual: sent }
            }
            DraftError::Sequence { expected, sent } => {
                ApiError::BadSequence { expected, actual: sent }
            }
            DraftError::Limit { limit, max, actual } => ApiError::Limit { limit, max, actual },
            DraftError::NoRing => ApiError::NotReady,
            DraftError::Unrepeatable { .. } | DraftError::Empty | DraftError::Rejected { .. } => {
                ApiError::BadFrame { what }
            }
        }
    }
}

impl From<CallError> for ApiError {
    fn from(error: CallError) -> ApiError {
        match error {
            CallError::NoLeader { group } => ApiError::NoLeader { group },
            CallError::Late { group } => ApiError::Late { group },
            CallError::TooLarge { limit, max, actual, .. } => {
                ApiError::Limit { limit, max, actual }
            }
            CallError::Full { limit, max, .. } => ApiError::NoRoom { limit, max },
        }
    }
}

/// Code, reason, message and metadata of every error but a rollback.
fn describe(error: ApiError) -> (Code, &'static str, String, Details) {
    match error {
        ApiError::RolledBack(outcome) => {
            (Code::Aborted, reason::ROLLED_BACK, rollback_message(&outcome), vec![])
        }
        ApiError::BadKey(_)
        | ApiError::BadDelta { .. }
        | ApiError::BadRequestId { .. }
        | ApiError::BadSequence { .. }
        | ApiError::BadCount { .. }
        | ApiError::BadFrame { .. }
        | ApiError::Limit { .. } => {
            let (reason, message, metadata) = describe_bad_input(error);
            (Code::InvalidArgument, reason, message, metadata)
        }
        ApiError::DigestMismatch { seq, expected, actual } => (
            Code::DataLoss,
            reason::DIGEST_MISMATCH,
            format!("the digest of transition {seq} is not that of the bytes that arrived"),
            vec![
                ("seq", seq.to_string()),
                ("expected", expected.to_hex()),
                ("actual", actual.to_hex()),
            ],
        ),
        ApiError::QueueFull { limit, max } => (
            Code::ResourceExhausted,
            reason::QUEUE_FULL,
            format!("{limit} is reached; ask again later"),
            vec![("limit", limit.into()), ("max", max.to_string())],
        ),
        ApiError::NoRoom { limit, max } => (
            Code::ResourceExhausted,
            reason::QUEUE_FULL,
            format!("a node has no room: {limit} of {max} is reached; ask again later"),
            vec![("limit", limit), ("max", max.to_string())],
        ),
        ApiError::Overloaded { retry_us } => (
            Code::ResourceExhausted,
            reason::OVERLOADED,
            "this node is asked for more than it can do; come back later".into(),
            vec![("retry_ms", (retry_us / 1_000).to_string())],
        ),
        ApiError::OutcomeUnknown { tid } => (
            Code::Unknown,
            reason::OUTCOME_UNKNOWN,
            format!("transaction {tid} was sealed and its outcome is not known: ask GetOutcome"),
            vec![("transaction_id", tid.to_string())],
        ),
        ApiError::SnapshotTooOld { .. } | ApiError::SnapshotTooNew { .. } => {
            describe_snapshot(error)
        }
        ApiError::NoLeader { .. }
        | ApiError::Late { .. }
        | ApiError::NotReady
        | ApiError::ShuttingDown
        | ApiError::Unjudged { .. }
        | ApiError::Deadline { .. } => describe_unavailable(error),
    }
}

fn describe_bad_input(error: ApiError) -> (&'static str, String, Details) {
    match error {
        ApiError::BadKey(error) => {
            let key = key_text(&error).to_owned();
            (reason::BAD_KEY, error.to_string(), vec![("key", key)])
        }
        ApiError::BadDelta { seq, what } => {
            let message = format!("transition {seq}: {what}");
            (reason::BAD_DELTA, message, vec![("seq", seq.to_string())])
        }
        ApiError::BadRequestId { what } => (reason::BAD_REQUEST_ID, what.into(), vec![]),
        ApiError::BadSequence { expected, actual } => (
            reason::BAD_SEQUENCE,
            format!("transition {actual} arrived where {expected} was due"),
            vec![("expected", expected.to_string()), ("actual", actual.to_string())],
        ),
        ApiError::BadCount { expected, actual } => (
            reason::BAD_SEQUENCE,
            format!("the commit counts {actual} transitions, {expected} arrived"),
            vec![("expected", expected.to_string()), ("actual", actual.to_string())],
        ),
        ApiError::Limit { limit, max, actual } => (
            reason::LIMIT_EXCEEDED,
            format!("{limit} is {max}, the request has {actual}"),
            vec![("limit", limit.into()), ("max", max.to_string()), ("actual", actual.to_string())],
        ),
        ApiError::BadFrame { what } => (reason::BAD_FRAME, what, vec![]),
        other => unreachable!("{other:?} is not bad input"),
    }
}

fn describe_unavailable(error: ApiError) -> (Code, &'static str, String, Details) {
    match error {
        ApiError::NoLeader { group } => (
            Code::Unavailable,
            reason::NO_LEADER,
            format!("group {group} has no leader that answers; ask again"),
            vec![("group", group.to_string())],
        ),
        ApiError::NotReady => (
            Code::Unavailable,
            reason::NO_LEADER,
            "this node does not know the ring yet; ask again".into(),
            vec![("group", GroupId::META.to_string())],
        ),
        ApiError::ShuttingDown => (
            Code::Unavailable,
            reason::SHUTTING_DOWN,
            "this node is shutting down; ask another".into(),
            vec![],
        ),
        ApiError::Unjudged { collection, home, why } => (
            Code::Unavailable,
            reason::UNJUDGED,
            format!(
                "collection {collection} lets nothing through unjudged, and {why}: nothing was \
                 committed, send it again"
            ),
            vec![
                ("missing", why.name().into()),
                ("waited_ms", why.waited_ms().to_string()),
                ("collection", collection),
                ("group", home.to_string()),
            ],
        ),
        ApiError::Deadline { deadline_ms } => (
            Code::DeadlineExceeded,
            reason::DEADLINE,
            format!("the deadline of {deadline_ms} ms passed; nothing was committed"),
            vec![("deadline_ms", deadline_ms.to_string())],
        ),
        ApiError::Late { group } => (
            Code::DeadlineExceeded,
            reason::DEADLINE,
            format!(
                "the leader of group {group} had no answer by the deadline: an undecided \
                     transaction may be in the way"
            ),
            vec![("group", group.to_string())],
        ),
        other => unreachable!("{other:?} does not say unavailable"),
    }
}

fn describe_snapshot(error: ApiError) -> (Code, &'static str, String, Details) {
    match error {
        ApiError::SnapshotTooOld { at, horizon } => (
            Code::FailedPrecondition,
            reason::SNAPSHOT_TOO_OLD,
            format!("snapshot {at} is below the horizon {horizon}: versions it needs may be gone"),
            vec![("at", at.to_string()), ("horizon", horizon.to_string())],
        ),
        ApiError::SnapshotTooNew { at, clock } => (
            Code::FailedPrecondition,
            reason::SNAPSHOT_TOO_NEW,
            format!("snapshot {at} lies too far ahead of the clock {clock}"),
            vec![("at", at.to_string()), ("clock", clock.to_string())],
        ),
        other => unreachable!("{other:?} is not about a snapshot"),
    }
}

/// ABORTED with the whole outcome beside the error info.
fn rolled_back(outcome: &v1::Outcome) -> Status {
    let mut rollback = outcome.rollback.clone().unwrap_or_default();
    rollback.message = clipped(rollback.message);
    let message = rollback.message.clone();
    let key = rollback.key.as_ref().map(|key| format!("{}/{}", key.collection, key.partition));
    let tid = Tid::from_bytes(&outcome.transaction_id).map(|tid| tid.to_string());
    let info = tonic_types::pb::ErrorInfo {
        reason: reason::ROLLED_BACK.into(),
        domain: reason::DOMAIN.into(),
        metadata: HashMap::from([
            ("cause".to_owned(), rollback.cause().as_str_name().to_owned()),
            ("key".to_owned(), key.unwrap_or_default()),
            ("transaction_id".to_owned(), tid.unwrap_or_default()),
        ]),
    };
    let outcome = v1::Outcome { rollback: Some(rollback), ..outcome.clone() };
    let details = tonic_types::pb::Status {
        code: Code::Aborted as i32,
        message: message.clone(),
        details: vec![
            any("google.rpc.ErrorInfo", info.encode_to_vec()),
            any("vatic.v1.Outcome", outcome.encode_to_vec()),
        ],
    };
    Status::with_details(Code::Aborted, message, details.encode_to_vec().into())
}

fn any(name: &str, value: Vec<u8>) -> prost_types::Any {
    prost_types::Any { type_url: format!("type.googleapis.com/{name}"), value }
}

/// The start of a text that is too long, at a character's boundary.
fn clipped(mut text: String) -> String {
    const MARK: &str = "...";
    if text.len() > TEXT_BYTES_MAX {
        let mut end = TEXT_BYTES_MAX - MARK.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(MARK);
    }
    text
}

fn rollback_message(outcome: &v1::Outcome) -> String {
    outcome.rollback.as_ref().map_or_else(String::new, |rollback| rollback.message.clone())
}

fn key_text(error: &KeyError) -> &str {
    match error {
        KeyError::Empty { key, .. }
        | KeyError::Long { key, .. }
        | KeyError::Slash { key, .. }
        | KeyError::Encoded { key, .. }
        | KeyError::Reserved { key } => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What h2 takes by default.
    const HEADER_BYTES_MAX: usize = 16 << 10;

    #[test]
    fn text_is_clipped_at_a_character_and_short_text_is_kept() {
        assert_eq!(clipped("short".into()), "short");
        let long = clipped("é".repeat(TEXT_BYTES_MAX));
        assert!(long.len() <= TEXT_BYTES_MAX && long.ends_with("é..."), "{}", long.len());
    }

    #[test]
    fn status_about_a_huge_key_or_value_fits_the_headers() {
        let huge = "k".repeat(1 << 20);
        let rollback = v1::Rollback { message: huge.clone(), ..v1::Rollback::default() };
        let outcome = v1::Outcome { rollback: Some(rollback), ..v1::Outcome::default() };
        for error in [
            ApiError::BadKey(KeyError::Reserved { key: huge.clone() }),
            ApiError::BadDelta { seq: 1, what: huge.clone() },
            ApiError::BadFrame { what: huge },
            ApiError::RolledBack(Box::new(outcome)),
        ] {
            let status = Status::from(error);
            // In base64, and the message a second time in percent signs.
            let bytes = status.details().len() * 4 / 3 + status.message().len() * 3;
            assert!(bytes < HEADER_BYTES_MAX, "{bytes}");
        }
    }
}
