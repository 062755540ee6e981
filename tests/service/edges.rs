//! What tools ask of a node: health, reflection, the cluster's account of itself.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use vatic_tests::cluster::{Cluster, GROUPS, NODES};
use vatic_tests::wait::{SOON, until};

pub(crate) async fn health_and_reflection_answer(cluster: &Cluster) {
    for at in 0..NODES {
        let mut health = HealthClient::new(cluster.channel(at));
        let services = [
            "",
            "vatic.v1.TransactionService",
            "vatic.v1.RecordService",
            "vatic.v1.AnomalyService",
        ];
        for service in services.into_iter().chain(["vatic.v1.ClusterService"]) {
            until("the service says that it serves", SOON, || {
                let mut health = health.clone();
                async move {
                    let request = HealthCheckRequest { service: service.into() };
                    let answer = health.check(request).await;
                    let answer = answer.unwrap_or_else(|error| panic!("{service:?}: {error}"));
                    (answer.into_inner().status() == ServingStatus::Serving).then_some(())
                }
            })
            .await;
        }
        let unknown = HealthCheckRequest { service: "vatic.v1.Nothing".into() };
        assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
        let listed = reflect(cluster, at, MessageRequest::ListServices(String::new())).await;
        let Some(MessageResponse::ListServicesResponse(list)) = listed.message_response else {
            panic!("{listed:?}");
        };
        let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
        for service in services.into_iter().skip(1).chain(["vatic.v1.ClusterService"]) {
            assert!(names.iter().any(|name| name == service), "{service} in {names:?}");
            let file = MessageRequest::FileContainingSymbol(service.into());
            let described = reflect(cluster, at, file).await.message_response;
            let Some(MessageResponse::FileDescriptorResponse(file)) = described else {
                panic!("{service}: {described:?}");
            };
            assert!(!file.file_descriptor_proto.is_empty());
        }
    }
}

async fn reflect(
    cluster: &Cluster,
    at: usize,
    question: MessageRequest,
) -> ServerReflectionResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut reflection = ServerReflectionClient::new(cluster.channel(at));
    let asked = reflection.server_reflection_info(tokio_stream::once(request));
    let mut answers = asked.await.unwrap().into_inner();
    let answer = tokio::time::timeout(Duration::from_secs(10), answers.next()).await;
    answer.expect("it comes in time").expect("there is one").unwrap()
}

pub(crate) async fn cluster_tells_members_groups_and_agreement(cluster: &Cluster) {
    for at in 0..NODES {
        // An election, or a node that has no time, shows in a single look.
        let seen = until("all members and leaders are seen", SOON, || async {
            let seen = cluster.client_of(at).cluster(false).await.ok()?;
            let reached = seen.members.iter().all(|member| member.reachable);
            let led = seen.groups.iter().all(|group| group.leader.is_some());
            (seen.ready && reached && led).then_some(seen)
        })
        .await;
        assert_eq!(seen.node_id, at as u64 + 1);
        assert!(seen.ring_epoch >= 1, "{seen:?}");
        let endpoints: Vec<&str> =
            seen.members.iter().map(|member| member.client_endpoint.as_str()).collect();
        assert_eq!(endpoints, cluster.endpoints());
        let groups: Vec<u32> = seen.groups.iter().map(|group| group.group).collect();
        assert_eq!(groups, (0..=GROUPS).collect::<Vec<_>>());
        assert!(seen.groups.iter().all(|group| group.replicas.len() == NODES));
    }
}
