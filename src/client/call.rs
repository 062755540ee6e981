//! One unary call: to whom, how long, and how often.
//!
//! The loop is the same for all calls: ask the likely leader, let a dead endpoint rest, pause with
//! jitter, and stop at the operation's deadline. Only calls that may be repeated come through here:
//! reads, and writes with a request id.
//!
//! Invariant: an operation ends by its deadline with all that it does, whatever became of it.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status};
use vatic_proto::v1::anomaly_service_client::AnomalyServiceClient;
use vatic_proto::v1::cluster_service_client::ClusterServiceClient;
use vatic_proto::v1::conflict_service_client::ConflictServiceClient;
use vatic_proto::v1::policy_service_client::PolicyServiceClient;
use vatic_proto::v1::queue_service_client::QueueServiceClient;
use vatic_proto::v1::record_service_client::RecordServiceClient;
use vatic_proto::v1::transaction_service_client::TransactionServiceClient;

use crate::backoff::Backoff;
use crate::client::Client;
use crate::error::ClientError;
use crate::pool::Node;

/// Of a write's time an eighth is kept for asking what became of it.
const SETTLING_SHARE: u32 = 8;

/// The attempts of one operation: who is asked next, and when it is over.
pub(crate) struct Attempts<'a> {
    client: &'a Client,
    backoff: Backoff,
    end: Instant,
}

impl<'a> Attempts<'a> {
    /// As many as there is time for until `end`.
    pub(crate) fn new(client: &'a Client, end: Instant) -> Self {
        Attempts { client, backoff: Backoff::new(client.limits()), end }
    }

    /// The same for what writes: leaves the time to ask what became of an attempt that was lost.
    pub(crate) fn before_settling(client: &'a Client, end: Instant) -> Self {
        let left = end.saturating_duration_since(Instant::now());
        Self::new(client, end - left / SETTLING_SHARE)
    }

    /// The node for the next attempt.
    pub(crate) fn node(&self, partition: Option<&str>) -> Node {
        let inner = &self.client.inner;
        let learnt = partition.and_then(|partition| inner.routes.find(partition));
        inner.pool.pick(learnt.as_deref())
    }

    /// The same where the caller knows who likely leads.
    pub(crate) fn node_or(&self, leader: Option<&str>) -> Node {
        self.client.inner.pool.pick(leader)
    }

    /// Takes note of a failure; waits, or answers false where there is no attempt left.
    pub(crate) async fn again(
        &mut self,
        error: &ClientError,
        node: Option<&Node>,
        partition: Option<&str>,
    ) -> bool {
        let inner = &self.client.inner;
        if matches!(error, ClientError::Unreachable { .. } | ClientError::Deadline { .. }) {
            node.into_iter().for_each(|node| inner.pool.failed(&node.endpoint));
        }
        // Who has too much to do leads all the same.
        if let Some(partition) = partition.filter(|_| error.retry_after().is_none()) {
            inner.routes.forget(partition);
        }
        let Some(pause) = self.backoff.next(error.retry_after()) else { return false };
        if Instant::now() + pause >= self.end {
            return false;
        }
        sleep(pause).await;
        true
    }

    /// When the last of them must be over.
    pub(crate) fn end(&self) -> Instant {
        self.end
    }
}

impl Client {
    /// When an operation that begins now must be over.
    pub(crate) fn operation_end(&self) -> Instant {
        Instant::now() + Duration::from_millis(self.limits().operation_ms)
    }

    /// How long one call may take of an operation that ends then.
    pub(crate) fn call_limit(&self, end: Instant) -> Duration {
        let left = end.saturating_duration_since(Instant::now());
        left.min(Duration::from_millis(self.limits().call_ms))
    }

    /// Asks until somebody answers for good. Answers who did.
    pub(crate) async fn call<T, F, Answer>(
        &self,
        what: &'static str,
        partition: Option<&str>,
        ask: F,
    ) -> Result<(T, Node), ClientError>
    where
        F: Fn(Node) -> Answer,
        Answer: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_until(self.operation_end(), what, partition, ask).await
    }

    /// The same as a part of an operation that ends then.
    pub(crate) async fn call_until<T, F, Answer>(
        &self,
        end: Instant,
        what: &'static str,
        partition: Option<&str>,
        ask: F,
    ) -> Result<(T, Node), ClientError>
    where
        F: Fn(Node) -> Answer,
        Answer: Future<Output = Result<Response<T>, Status>>,
    {
        let mut attempts = Attempts::new(self, end);
        loop {
            let node = attempts.node(partition);
            let error = match self.ask_once(what, &node, end, ask(node.clone())).await {
                Ok(answer) => return Ok((answer, node)),
                Err(error) => error,
            };
            tracing::debug!(what, endpoint = %node.endpoint, %error, "call failed");
            if !error.retryable() || !attempts.again(&error, Some(&node), partition).await {
                return Err(error);
            }
        }
    }

    /// One attempt, bounded by the call's deadline and the operation's.
    pub(crate) async fn ask_once<T>(
        &self,
        what: &'static str,
        node: &Node,
        end: Instant,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, ClientError> {
        let limit = self.call_limit(end);
        match timeout(limit, answer).await {
            Ok(Ok(response)) => {
                self.inner.pool.worked(&node.endpoint);
                Ok(response.into_inner())
            }
            Ok(Err(status)) => Err(ClientError::from_status(status, &node.endpoint)),
            Err(_) => Err(ClientError::Deadline { what, limit_ms: limit.as_millis() as u64 }),
        }
    }

    pub(crate) fn transactions(&self, node: &Node) -> TransactionServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        TransactionServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }

    pub(crate) fn records(&self, node: &Node) -> RecordServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        RecordServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }

    pub(crate) fn conflict_service(&self, node: &Node) -> ConflictServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        ConflictServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }

    pub(crate) fn policy_service(&self, node: &Node) -> PolicyServiceClient<Channel> {
        PolicyServiceClient::new(node.channel.clone())
    }

    pub(crate) fn queue_service(&self, node: &Node) -> QueueServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        QueueServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }

    pub(crate) fn anomalies(&self, node: &Node) -> AnomalyServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        AnomalyServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }

    pub(crate) fn clusters(&self, node: &Node) -> ClusterServiceClient<Channel> {
        let bytes_max = self.limits().message_bytes_max;
        ClusterServiceClient::new(node.channel.clone())
            .max_decoding_message_size(bytes_max)
            .max_encoding_message_size(bytes_max)
    }
}
