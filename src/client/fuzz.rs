//! The decoders of the client, for fuzzing: bytes in, and whether they were taken for something.

use std::collections::HashMap;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use vatic_proto::{reason, v1};

use crate::chains::Chains;
use crate::cluster::Cluster;
use crate::error::ClientError;
use crate::{conflicts, convert};

/// What a node answers: an outcome, or a record.
pub fn answer(bytes: &[u8]) -> bool {
    let outcome = v1::Outcome::decode(bytes);
    let outcome = outcome.is_ok_and(|it| match convert::outcome_in(it, vec![vec![1]]) {
        Ok(crate::Outcome::Committed(committed)) => {
            // A receipt that a node made up must not verify, and must not end the client.
            let _ = committed.evidence.verify();
            true
        }
        Ok(outcome) => {
            let _ = format!("{outcome:?}");
            true
        }
        Err(_) => false,
    });
    let record = v1::Record::decode(bytes).is_ok_and(|it| convert::record_in(it).is_ok());
    outcome || record
}

/// What a node tells beside that: of its cluster, of conflicts, of what it foresees.
pub fn told(bytes: &[u8]) -> bool {
    let cluster = v1::ClusterResponse::decode(bytes).is_ok_and(|it| Cluster::read(it).is_ok());
    let chains = v1::GroupChains::decode(bytes).is_ok_and(|it| Chains::read(it).is_ok());
    let conflict = v1::Conflict::decode(bytes).is_ok_and(|it| conflicts::conflict(it).is_ok());
    let record = v1::RecordOutlook::decode(bytes).is_ok_and(|it| conflicts::record(it).is_ok());
    let strategy = v1::StrategyOutlook::decode(bytes);
    let strategy = strategy.is_ok_and(|it| conflicts::strategy(it).is_ok());
    let forecast = v1::ForecastFrame::decode(bytes).map(convert::forecast_in).is_ok();
    let warning = v1::WarningFrame::decode(bytes);
    let warning = warning.is_ok_and(|it| convert::warning_in(it).is_ok());
    let anomaly = v1::Anomaly::decode(bytes).is_ok_and(|it| convert::anomaly_in(1, it).is_ok());
    let policy = v1::Policy::decode(bytes).is_ok_and(|it| convert::policy_in(&it).is_ok());
    let what = [cluster, chains, conflict, record, strategy, forecast, warning, anomaly, policy];
    what.contains(&true)
}

/// The details of a status that a call ended with: a rollback, or why it was refused. Nothing else
/// is made of them.
pub fn refusal(bytes: &[u8]) -> bool {
    let status = Status::with_details(Code::Aborted, "refused", bytes.to_vec().into());
    let error = ClientError::from_status(status, "http://127.0.0.1:7400");
    assert!(!error.to_string().is_empty(), "an error says what is wrong");
    let _ = (error.class(), error.retryable(), error.may_have_happened(), error.retry_after());
    match error {
        ClientError::Refused(refusal) => !refusal.reason.is_empty(),
        ClientError::RolledBack(_) | ClientError::OutcomeUnknown { .. } => true,
        _ => false,
    }
}

/// A cluster of one node, a conflict, a forecast, a warning, and a policy.
pub fn some_told() -> Vec<Vec<u8>> {
    let key = || v1::Key { collection: "account".to_owned(), ..v1::Key::default() };
    let member = v1::Member { node_id: 1, public_key: vec![3; 32].into(), ..Default::default() };
    let replica = v1::Replica { chain_digest: vec![5; 32].into(), ..Default::default() };
    let group = v1::Group { group: 1, replicas: vec![replica], ..Default::default() };
    let (members, groups) = (vec![member], vec![group]);
    let cluster = v1::ClusterResponse { node_id: 1, members, groups, ..Default::default() };
    let rollback = Some(v1::Rollback { key: Some(key()), ..Default::default() });
    let transaction_id = vec![7; 20].into();
    let conflict = v1::Conflict { transaction_id, rollback, ..Default::default() };
    let forecast =
        v1::ForecastFrame { transitions: 8, expected_transitions: 20, ..Default::default() };
    let warning = v1::WarningFrame {
        what: v1::warning_frame::What::Overwritten.into(),
        key: Some(key()),
        read_version: 7,
        ..Default::default()
    };
    let policy = v1::Policy {
        collection: "account".to_owned(),
        validation: v1::Validation::Enforce.into(),
        strategy: v1::Strategy::Rebase.into(),
    };
    vec![
        cluster.encode_to_vec(),
        conflict.encode_to_vec(),
        forecast.encode_to_vec(),
        warning.encode_to_vec(),
        policy.encode_to_vec(),
    ]
}

/// A rollback with its outcome, and a refusal that says when to come again.
pub fn refusals() -> Vec<Vec<u8>> {
    let outcome = v1::Outcome {
        state: v1::outcome::State::RolledBack.into(),
        rollback: Some(v1::Rollback { retryable: true, ..Default::default() }),
        ..Default::default()
    };
    let mut rolled_back =
        tonic_types::Status { details: vec![Default::default()], ..Default::default() };
    rolled_back.details[0].type_url = "type.googleapis.com/vatic.v1.Outcome".to_owned();
    rolled_back.details[0].value = outcome.encode_to_vec();
    let mut why = ErrorDetails::with_error_info("OVERLOADED", reason::DOMAIN, HashMap::new());
    why.set_retry_info(Some(Duration::from_millis(50)));
    let refused = Status::with_error_details(Code::ResourceExhausted, "overloaded", why);
    vec![rolled_back.encode_to_vec(), refused.details().to_vec()]
}

/// A rollback, a commit without a receipt that could be read, and a record.
pub fn answers() -> Vec<Vec<u8>> {
    let key = v1::Key {
        collection: "account".to_owned(),
        partition: "ada".to_owned(),
        sort: String::new(),
    };
    let committed = v1::Outcome {
        state: v1::outcome::State::Committed.into(),
        transaction_id: vec![7; 20].into(),
        commit_version: 9,
        receipt: Some(v1::Receipt { encoded: vec![1, 2, 3].into(), ..Default::default() }),
        ..Default::default()
    };
    let rolled_back = v1::Outcome {
        state: v1::outcome::State::RolledBack.into(),
        rollback: Some(v1::Rollback { key: Some(key.clone()), ..Default::default() }),
        ..Default::default()
    };
    let number = v1::Value { kind: Some(v1::value::Kind::IntValue(5)) };
    let fields = [("balance".to_owned(), number)].into();
    let record = v1::Record { key: Some(key), fields, version: 3 };
    vec![committed.encode_to_vec(), rolled_back.encode_to_vec(), record.encode_to_vec()]
}
