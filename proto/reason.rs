//! The reasons of `google.rpc.ErrorInfo` that a server gives and a client reads.
//!
//! Why here: both ends must agree on them to the letter, as on field numbers. The service
//! comments in the `.proto` files say which call gives which, under which status code.

/// `ErrorInfo.domain` of every error.
pub const DOMAIN: &str = "vatic.dev";

/// INVALID_ARGUMENT: a key that a client may not name. Metadata: `key`.
pub const BAD_KEY: &str = "BAD_KEY";
/// INVALID_ARGUMENT: a delta that cannot be read: no operation, a value that is none, or bytes in
/// no known encoding. Metadata: `seq`.
pub const BAD_DELTA: &str = "BAD_DELTA";
/// INVALID_ARGUMENT: a request id of the wrong size, or without a route key.
pub const BAD_REQUEST_ID: &str = "BAD_REQUEST_ID";
/// INVALID_ARGUMENT: a transition out of order. Metadata: `expected`, `actual`.
pub const BAD_SEQUENCE: &str = "BAD_SEQUENCE";
/// INVALID_ARGUMENT: a frame that does not belong there, such as a second begin.
pub const BAD_FRAME: &str = "BAD_FRAME";
/// INVALID_ARGUMENT: a limit of the configuration. Metadata: `limit`, `max`, `actual`.
pub const LIMIT_EXCEEDED: &str = "LIMIT_EXCEEDED";
/// ABORTED: a rollback; the `vatic.v1.Outcome` is in the details beside the ErrorInfo.
/// Metadata: `cause`, `key`, `transaction_id`.
pub const ROLLED_BACK: &str = "ROLLED_BACK";
/// UNAVAILABLE: the group elects; ask again. Metadata: `group`.
pub const NO_LEADER: &str = "NO_LEADER";
/// UNAVAILABLE: this node drains; ask another.
pub const SHUTTING_DOWN: &str = "SHUTTING_DOWN";
/// RESOURCE_EXHAUSTED: ask later (RetryInfo says when). Metadata: `limit`, `max`.
pub const QUEUE_FULL: &str = "QUEUE_FULL";
/// RESOURCE_EXHAUSTED: the node is asked for more than it can do; nothing was done. RetryInfo says
/// when to come back. Metadata: `retry_ms`.
pub const OVERLOADED: &str = "OVERLOADED";
/// FAILED_PRECONDITION: the snapshot version is below the horizon. Metadata: `at`, `horizon`.
pub const SNAPSHOT_TOO_OLD: &str = "SNAPSHOT_TOO_OLD";
/// FAILED_PRECONDITION: the snapshot version is beyond the clock's bound. Metadata: `at`, `clock`.
pub const SNAPSHOT_TOO_NEW: &str = "SNAPSHOT_TOO_NEW";
/// DATA_LOSS: the client's digest and the node's differ. Metadata: `seq`, `expected`, `actual`.
pub const DIGEST_MISMATCH: &str = "DIGEST_MISMATCH";
/// DEADLINE_EXCEEDED. Metadata: `deadline_ms`, and nothing was committed; or `group`, whose leader
/// had no answer yet, for an undecided transaction in the way, say.
pub const DEADLINE: &str = "DEADLINE";
/// A collection that the transaction writes enforces forecasts, and it cannot be judged now:
/// nothing was voted. Retryable.
pub const UNJUDGED: &str = "UNJUDGED";
/// UNKNOWN: sealed, and the answer was lost: ask GetOutcome. Metadata: `transaction_id`.
pub const OUTCOME_UNKNOWN: &str = "OUTCOME_UNKNOWN";
