//! Statuses of the wire become the errors that the retry rules build on.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_proto::{reason, v1};

use crate::error::{Class, ClientError};
use crate::outcome::Cause;

const AT: &str = "http://127.0.0.1:1";

fn refusal(code: Code, reason: &str, metadata: &[(&str, &str)]) -> ClientError {
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, metadata);
    details.set_retry_info(Some(Duration::from_millis(7)));
    ClientError::from_status(Status::with_error_details(code, "no", details), AT)
}

fn rolled_back(retryable: bool) -> Status {
    let tid = Tid { mint: Timestamp(9), home: GroupId(2), nonce: 3 };
    let outcome = v1::Outcome {
        state: v1::outcome::State::RolledBack.into(),
        transaction_id: Bytes::copy_from_slice(&tid.to_bytes()),
        rollback: Some(v1::Rollback {
            cause: v1::RollbackCause::StaleRead.into(),
            key: Some(v1::Key {
                collection: "checking".into(),
                partition: "c1".into(),
                sort: String::new(),
            }),
            expected_version: 4,
            actual_version: 5,
            message: "read it again".into(),
            retryable,
            ..Default::default()
        }),
        ..Default::default()
    };
    let any = prost_types::Any {
        type_url: "type.googleapis.com/vatic.v1.Outcome".to_owned(),
        value: outcome.encode_to_vec(),
    };
    let status = tonic_types::Status { code: 10, message: String::new(), details: vec![any] };
    Status::with_details(Code::Aborted, "rolled back", status.encode_to_vec().into())
}

#[test]
fn group_without_a_leader_is_worth_another_attempt() {
    let error = refusal(Code::Unavailable, reason::NO_LEADER, &[("group", "2")]);
    assert!(error.retryable());
    assert!(!error.may_have_happened());
    assert_eq!(error.retry_after(), Some(Duration::from_millis(7)));
    assert_eq!(error.class(), Class::Unavailable);
}

#[test]
fn limit_is_a_usage_error_that_shows_its_numbers() {
    let error = refusal(
        Code::InvalidArgument,
        reason::LIMIT_EXCEEDED,
        &[("limit", "keys_max"), ("max", "8")],
    );
    assert_eq!(error.class(), Class::Usage);
    assert!(!error.retryable());
    assert!(error.to_string().contains("limit=keys_max, max=8"), "{error}");
}

#[test]
fn aborted_with_an_outcome_is_a_typed_rollback() {
    let ClientError::RolledBack(rollback) = ClientError::from_status(rolled_back(true), AT) else {
        panic!("a rollback was expected");
    };
    assert_eq!(rollback.cause, Cause::StaleRead);
    assert_eq!(rollback.expected, Timestamp(4));
    assert_eq!(rollback.actual, Timestamp(5));
    assert_eq!(rollback.key.as_ref().unwrap().to_string(), "checking/c1");
    assert!(rollback.retryable);
    assert!(!ClientError::from_status(rolled_back(false), AT).retryable());
}

#[test]
fn unknown_outcome_keeps_the_transaction_id() {
    let tid = Tid { mint: Timestamp(1), home: GroupId(1), nonce: 1 };
    let text = tid.to_string();
    let error = refusal(Code::Unknown, reason::OUTCOME_UNKNOWN, &[("transaction_id", &text)]);
    assert!(
        matches!(&error, ClientError::OutcomeUnknown { tid: Some(found), .. } if *found == tid)
    );
    assert_eq!(error.class(), Class::Unknown);
    assert!(!error.retryable());
}

#[test]
fn status_without_our_domain_is_the_transport_s() {
    let error = ClientError::from_status(Status::unavailable("broken pipe"), AT);
    assert!(error.retryable());
    assert!(error.may_have_happened());
    let foreign = ErrorDetails::with_error_info("NO_LEADER", "example.org", HashMap::new());
    let status = Status::with_error_details(Code::NotFound, "proxy", foreign);
    assert!(!ClientError::from_status(status, AT).retryable());
}

/// The connection's end, in a code that vatic's own refusals have too.
#[test]
fn stream_that_its_connection_took_along_may_have_happened() {
    let calm = Status::from(h2::Error::from(h2::Reason::ENHANCE_YOUR_CALM));
    assert_eq!(calm.code(), Code::ResourceExhausted);
    let error = ClientError::from_status(calm, AT);
    assert!(matches!(error, ClientError::Unreachable { sent: true, .. }), "{error:?}");
    assert!(error.retryable() && error.may_have_happened());
}

#[test]
fn refusal_without_a_reason_may_have_happened_unless_it_was_never_let_in() {
    for code in [Code::ResourceExhausted, Code::OutOfRange, Code::NotFound] {
        let error = ClientError::from_status(Status::new(code, "proxy"), AT);
        assert!(error.may_have_happened(), "{error}");
    }
    for code in [Code::Unimplemented, Code::Unauthenticated, Code::PermissionDenied] {
        let error = ClientError::from_status(Status::new(code, "proxy"), AT);
        assert!(!error.may_have_happened(), "{error}");
    }
    let error = refusal(Code::ResourceExhausted, reason::QUEUE_FULL, &[]);
    assert!(!error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn refused_connection_cannot_have_happened() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let channel = tonic::transport::Endpoint::from_shared(endpoint.clone()).unwrap().connect_lazy();
    let mut client = v1::cluster_service_client::ClusterServiceClient::new(channel);
    let status = client.cluster(v1::ClusterRequest::default()).await.unwrap_err();
    let error = ClientError::from_status(status, &endpoint);
    assert!(error.retryable(), "{error}");
    assert!(!error.may_have_happened(), "{error}");
}
