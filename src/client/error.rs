//! What can go wrong, as a closed set, and what each error allows the caller to do next.
//!
//! A status of the wire is read here and nowhere else: its `google.rpc.ErrorInfo` says the reason,
//! and an ABORTED one carries the whole `vatic.v1.Outcome`.
//!
//! Invariant: what the public calls that write return is `OutcomeUnknown` if the effect may have
//! happened, and only then. Single attempts may fail with less certain errors
//! ([`ClientError::may_have_happened`]); who makes attempts settles them.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use vatic_core::delta::Rejection;
use vatic_core::id::Tid;
use vatic_core::key::KeyError;
use vatic_proto::{reason, v1};

use crate::convert;
use crate::evidence::EvidenceFault;
use crate::outcome::Rollback;

/// Any failure of a client's call.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// The transaction was rolled back, for good or after the last attempt.
    #[error("{0}")]
    RolledBack(Box<Rollback>),
    /// The cluster refused the call and did nothing; or somebody else did, who gave no reason, and
    /// may have passed it on before.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// No answer, or the connection broke.
    #[error("no answer from {endpoint}: {message}")]
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What the transport said.
        message: String,
        /// False: there was no connection, so the call cannot have arrived.
        sent: bool,
    },
    /// Time ran out.
    #[error("{what} took longer than {limit_ms} ms")]
    Deadline {
        /// What was being done.
        what: &'static str,
        /// The limit that it met.
        limit_ms: u64,
    },
    /// The transaction may have committed or not: ask for its outcome, do not send it again.
    #[error("the outcome of {} is unknown: {message}", named(tid, request))]
    OutcomeUnknown {
        /// The attempt, where it got as far as having an id.
        tid: Option<Tid>,
        /// The request, as [`crate::Request`] reads it back, where there is one.
        request: Option<String>,
        /// What was last heard.
        message: String,
    },
    /// What came back does not prove what was sent.
    #[error("the proof does not hold: {0}")]
    Evidence(#[from] EvidenceFault),
    /// The server broke the protocol.
    #[error("{endpoint} broke the protocol: {what}")]
    Protocol {
        /// Who.
        endpoint: String,
        /// How.
        what: String,
    },
    /// A key that cannot be.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A delta that cannot apply to what this transaction has read and written.
    #[error("{0}")]
    Delta(#[from] Rejection),
    /// The call makes no sense; nothing was sent.
    #[error("{0}")]
    Input(String),
    /// The transaction's own closure gave up.
    #[error("{0}")]
    Caller(Arc<dyn Error + Send + Sync>),
}

/// A refusal by the cluster, typed by its reason.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// One of [`vatic_proto::reason`], or empty where the server gave none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Every dynamic value of the message.
    pub metadata: BTreeMap<String, String>,
    /// When to ask again, where the server says so.
    pub retry_after: Option<Duration>,
    /// Who refused.
    pub endpoint: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = if self.reason.is_empty() { "no reason" } else { &self.reason };
        write!(f, "{} ({:?}, {reason}", self.message, self.code)?;
        for (name, value) in &self.metadata {
            write!(f, ", {name}={value}")?;
        }
        f.write_str(")")
    }
}

/// Errors by what a caller can do about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The call itself is wrong.
    Usage,
    /// Nobody could answer in time.
    Unavailable,
    /// Others were faster, or an expectation did not hold.
    Conflict,
    /// A proof does not hold.
    Verification,
    /// It may have happened.
    Unknown,
}

impl ClientError {
    /// Ends a transaction from within its closure: it is rolled back and not tried again.
    pub fn caller(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        ClientError::Caller(Arc::from(error.into()))
    }

    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        match self {
            ClientError::RolledBack(_) | ClientError::Delta(_) | ClientError::Caller(_) => {
                Class::Conflict
            }
            ClientError::Unreachable { .. } | ClientError::Deadline { .. } => Class::Unavailable,
            ClientError::OutcomeUnknown { .. } => Class::Unknown,
            ClientError::Evidence(_) => Class::Verification,
            ClientError::Protocol { .. } => Class::Unavailable,
            ClientError::Key(_) | ClientError::Input(_) => Class::Usage,
            ClientError::Refused(refusal) => refusal.class(),
        }
    }

    /// Whether the same call, made again, may succeed.
    pub fn retryable(&self) -> bool {
        match self {
            ClientError::RolledBack(rollback) => rollback.retryable,
            ClientError::Unreachable { .. } | ClientError::Deadline { .. } => true,
            ClientError::Refused(refusal) => refusal.class() == Class::Unavailable,
            _ => false,
        }
    }

    /// Whether the call may have had its effect all the same.
    pub(crate) fn may_have_happened(&self) -> bool {
        match self {
            ClientError::Unreachable { sent, .. } => *sent,
            ClientError::Deadline { .. }
            | ClientError::OutcomeUnknown { .. }
            | ClientError::Protocol { .. } => true,
            ClientError::Refused(refusal) => refusal.may_have_happened(),
            _ => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            ClientError::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }

    /// Reads a status that a call ended with.
    pub(crate) fn from_status(status: Status, endpoint: &str) -> Self {
        if let Some(rollback) = rollback_in(&status) {
            return ClientError::RolledBack(Box::new(rollback));
        }
        let info = status.get_details_error_info().filter(|info| info.domain == reason::DOMAIN);
        let Some(info) = info else { return bare(status, endpoint) };
        if info.reason == reason::OUTCOME_UNKNOWN {
            let tid = info.metadata.get("transaction_id").and_then(|text| text.parse().ok());
            let message = status.message().to_owned();
            return ClientError::OutcomeUnknown { tid, request: None, message };
        }
        ClientError::Refused(Box::new(Refusal {
            code: status.code(),
            reason: info.reason,
            message: status.message().to_owned(),
            metadata: info.metadata.into_iter().collect(),
            retry_after: status.get_details_retry_info().and_then(|retry| retry.retry_delay),
            endpoint: endpoint.to_owned(),
        }))
    }
}

impl Refusal {
    fn class(&self) -> Class {
        match self.code {
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => {
                Class::Unavailable
            }
            Code::Aborted => Class::Conflict,
            Code::DataLoss => Class::Verification,
            _ => Class::Usage,
        }
    }

    /// A refusal without a reason is not the cluster's: whoever refused (a proxy, the transport)
    /// may have passed the call on before. Only codes that mean "never let in" exclude it.
    fn may_have_happened(&self) -> bool {
        let kept_out = [Code::Unimplemented, Code::Unauthenticated, Code::PermissionDenied]
            .contains(&self.code);
        self.code == Code::DeadlineExceeded || (self.reason.is_empty() && !kept_out)
    }
}

/// A status without our ErrorInfo comes from the transport or from a proxy.
fn bare(status: Status, endpoint: &str) -> ClientError {
    let endpoint = endpoint.to_owned();
    // Whatever its code: ENHANCE_YOUR_CALM, which ends a whole connection, is RESOURCE_EXHAUSTED.
    let of_the_connection = status.source().is_some();
    match status.code() {
        code if of_the_connection
            || matches!(
                code,
                Code::Unavailable
                    | Code::Unknown
                    | Code::Internal
                    | Code::Cancelled
                    | Code::DeadlineExceeded
            ) =>
        {
            let message = format!("{code:?}: {}", status.message());
            ClientError::Unreachable { endpoint, message, sent: !never_connected(&status) }
        }
        code => ClientError::Refused(Box::new(Refusal {
            code,
            reason: String::new(),
            message: match status.message() {
                "" => code.description().to_owned(),
                message => message.to_owned(),
            },
            metadata: BTreeMap::new(),
            retry_after: None,
            endpoint,
        })),
    }
}

fn never_connected(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn rollback_in(status: &Status) -> Option<Rollback> {
    let details = tonic_types::Status::decode(status.details()).ok()?.details;
    let any = details.into_iter().find(|any| any.type_url.ends_with("/vatic.v1.Outcome"))?;
    let outcome = v1::Outcome::decode(any.value.as_slice()).ok()?;
    convert::rollback(&outcome)
}

fn named(tid: &Option<Tid>, request: &Option<String>) -> String {
    match (tid, request) {
        (Some(tid), Some(request)) => format!("transaction {tid}, request {request},"),
        (Some(tid), None) => format!("transaction {tid}"),
        (None, Some(request)) => format!("request {request}"),
        (None, None) => "the transaction".to_owned(),
    }
}

#[cfg(test)]
#[path = "error_test.rs"]
mod error_test;
