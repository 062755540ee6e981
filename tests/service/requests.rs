//! Request ids: whatever is asked under one id is done once, and always answered alike.

use std::time::{SystemTime, UNIX_EPOCH};

use tonic::transport::Channel;
use tonic::{Code, Response, Status};
use vatic_client::{Outcome, OutcomeOf, Request};
use vatic_proto::reason;
use vatic_proto::v1::{self, transaction_service_client::TransactionServiceClient};
use vatic_tests::cluster::{Cluster, NODES};
use vatic_tests::values::{add, core_key, expect_absent, fields, key, number, transitions};
use vatic_tests::wait::{SOON, until};
use vatic_tests::wire::{self, committed, refused};

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn submission(name: &v1::Key, id: &'static [u8], mint_unix_ms: u64, by: i64) -> v1::SubmitRequest {
    let route_key = name.partition.clone();
    v1::SubmitRequest {
        request_id: Some(v1::RequestId { id: id.into(), route_key, mint_unix_ms }),
        transitions: transitions(vec![add(name, by)]),
        ..Default::default()
    }
}

pub(crate) async fn request_repeated_through_another_node_is_answered_with_the_original(
    cluster: &Cluster,
) {
    let name = key("repeated", &cluster.partition(1, 0).await, "");
    let request = submission(&name, b"repeated through each", now_ms(), 5);
    let mut original: Option<v1::Outcome> = None;
    for at in [0, 1, 2, 0] {
        let mut service = wire::transactions(cluster.channel(at));
        let answer = service.submit(request.clone()).await.unwrap().into_inner();
        let outcome = answer.outcome.unwrap();
        committed(&outcome);
        assert_eq!(outcome.replayed, original.is_some());
        let original = original.get_or_insert(outcome.clone());
        assert_eq!(outcome.transaction_id, original.transaction_id);
        assert_eq!(outcome.commit_version, original.commit_version);
        assert_eq!(wire::proofs(&outcome), wire::proofs(original));
    }
    let other = v1::SubmitRequest { transitions: transitions(vec![add(&name, 6)]), ..request };
    for at in 0..NODES {
        let mut service = wire::transactions(cluster.channel(at));
        let error = refused(&service.submit(other.clone()).await.unwrap_err());
        assert_eq!(error.code, Code::Aborted);
        assert_eq!(error.metadata["cause"], "ROLLBACK_CAUSE_REQUEST_ID_TAKEN");
    }
    let found = cluster.client().get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), 5);
}

/// Its own effect stands in its way when it is repeated: in the group that knows of the request, in
/// another one that is asked first, and in one that is asked last.
pub(crate) async fn request_that_undid_what_it_expects_is_answered_with_the_original(
    cluster: &Cluster,
) {
    for (turn, route, touched) in [(0, 1, &[1][..]), (1, 1, &[1, 2]), (2, 2, &[1, 2])] {
        let mut deltas = Vec::new();
        for group in touched {
            let name = key("undone", &cluster.partition(*group, 0).await, &turn.to_string());
            deltas.extend([expect_absent(&name), add(&name, 1)]);
        }
        let route_key = cluster.partition(route, 0).await;
        let id = format!("undoes {turn}").into_bytes().into();
        let request = v1::SubmitRequest {
            request_id: Some(v1::RequestId { id, route_key, mint_unix_ms: now_ms() }),
            transitions: transitions(deltas),
            ..Default::default()
        };
        let mut ids = Vec::new();
        for at in [0, 1, 2] {
            let mut service = wire::transactions(cluster.channel(at));
            let outcome = service.submit(request.clone()).await.unwrap().into_inner().outcome;
            let outcome = outcome.unwrap();
            committed(&outcome);
            assert_eq!(outcome.replayed, at > 0);
            ids.push(outcome.transaction_id);
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "one attempt committed, and all name it");
    }
}

/// The answer to a request, which is sent again where nobody leads or knows for a moment.
async fn answered(
    service: TransactionServiceClient<Channel>,
    request: v1::SubmitRequest,
) -> Result<Response<v1::SubmitResponse>, Status> {
    until("the request is answered", SOON, || {
        let (mut service, request) = (service.clone(), request.clone());
        async move {
            let answer = service.submit(request).await;
            let error = answer.as_ref().err().map(refused);
            let again = error.is_some_and(|error| {
                error.reason == reason::OUTCOME_UNKNOWN
                    || matches!(error.code, Code::Unavailable | Code::DeadlineExceeded)
            });
            (!again).then_some(answer)
        }
    })
    .await
}

pub(crate) async fn requests_sent_at_once_apply_once(cluster: &Cluster) {
    let name = key("at-once", &cluster.partition(2, 0).await, "");
    let request = submission(&name, b"sent by all at once", now_ms(), 1);
    let sent: Vec<_> = (0..9)
        .map(|turn| {
            let service = wire::transactions(cluster.channel(turn % NODES));
            tokio::spawn(answered(service, request.clone()))
        })
        .collect();
    let mut seen = Vec::new();
    for answer in sent {
        match answer.await.unwrap() {
            Ok(answer) => seen.push(answer.into_inner().outcome.unwrap().transaction_id),
            // Beside one that is deciding: may be tried again, and must not have been applied.
            Err(status) => assert_eq!(refused(&status).code, Code::Aborted),
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one attempt committed, and all that commit name it");
    let found = cluster.client().get(&core_key(&name)).await.unwrap();
    assert_eq!(number(found.as_ref()), 1);
    let asked = Request::mint();
    let delta = vatic_core::delta::Delta {
        key: core_key(&name),
        op: vatic_core::delta::Op::Put(fields(9)),
    };
    let done = cluster.client().submit_as(&asked, &[delta]).await.unwrap();
    for at in 0..NODES {
        match cluster.client_of(at).outcome(OutcomeOf::Request(&asked)).await.unwrap() {
            Outcome::Committed(found) => assert_eq!(found.tid, done.tid),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn expired_request_is_refused(cluster: &Cluster) {
    let name = key("expired", &cluster.partition(3, 0).await, "");
    let mut service = wire::transactions(cluster.channel(0));
    let two_hours_ms = 2 * 3_600_000;
    let request = submission(&name, b"minted long ago", now_ms() - two_hours_ms, 1);
    let error = refused(&service.submit(request).await.unwrap_err());
    assert_eq!(error.code, Code::Aborted);
    assert_eq!(error.metadata["cause"], "ROLLBACK_CAUSE_REQUEST_ID_EXPIRED");
    assert!(cluster.client().get(&core_key(&name)).await.unwrap().is_none());
}
