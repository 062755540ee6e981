//! The client itself: endpoints, options, and what is asked in one call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tonic::Status;
use tonic::metadata::MetadataValue;
use vatic_core::strategy::Strategy;
use vatic_proto::{metadata, v1};

use crate::cluster::Cluster;
use crate::convert;
use crate::error::ClientError;
use crate::limits::Limits;
use crate::outcome::Outcome;
use crate::pool::{Node, Pool};
use crate::request::OutcomeOf;
use crate::routes::Routes;

/// Longest wait for one node's account of the cluster, before another one is asked: it has its own
/// at hand, and waits for others' for a second. What stands still must not take all the time.
const ACCOUNT_MAX: Duration = Duration::from_millis(1_500);

/// A client of one cluster. Cheap to clone; clones share connections and what was learnt.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pool: Pool,
    pub(crate) routes: Routes,
    pub(crate) options: Options,
}

/// How a client behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Deadlines, pauses and sizes.
    pub limits: Limits,
    /// Which node is asked.
    pub routing: Routing,
    /// Who asks: request ids are unique for each principal.
    pub principal: String,
    /// Priority class of what is submitted, 0 to 255: where a node is asked for more than it can
    /// do, the lower are refused first.
    pub priority: u8,
    /// What is done about conflicts; `None`: what the collection of the first record touched says.
    pub strategy: Option<Strategy>,
}

/// Which node is asked first. Each fails over to the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Routing {
    /// The leader of the group concerned, as far as hints say; otherwise they take turns.
    #[default]
    Leaders,
    /// The first endpoint given that works, which then routes.
    InOrder,
}

impl Client {
    /// Connects to at least one of the endpoints (`http://HOST:PORT`) and learns the others from
    /// it. Errors: `Input` for an endpoint that cannot be, `Unreachable` where none answers.
    pub async fn connect(endpoints: &[String], options: Options) -> Result<Client, ClientError> {
        let client = Client::lazy(endpoints, options)?;
        let known = client.cluster_of(true, false).await?;
        for member in known.members {
            if !member.client_endpoint.is_empty() {
                client.inner.pool.learn(&member.client_endpoint)?;
            }
        }
        Ok(client)
    }

    /// A client that connects when it is first used, and knows only the endpoints given until then.
    pub fn lazy(endpoints: &[String], options: Options) -> Result<Client, ClientError> {
        if options.principal.parse::<MetadataValue<_>>().is_err() {
            let what = format!("principal {:?} is not printable ASCII", options.principal);
            return Err(ClientError::Input(what));
        }
        let pool = Pool::new(endpoints, options.routing == Routing::InOrder, &options.limits)?;
        let routes = Routes::new(options.limits.routes_max);
        Ok(Client { inner: Arc::new(Inner { pool, routes, options }) })
    }

    /// Every endpoint known.
    pub fn endpoints(&self) -> Vec<String> {
        self.inner.pool.endpoints()
    }

    /// How a transaction or request ended. An undecided one is recovered first.
    pub async fn outcome(&self, of: OutcomeOf<'_>) -> Result<Outcome, ClientError> {
        self.outcome_until(self.operation_end(), of).await
    }

    /// The same as a part of an operation that ends then.
    pub(crate) async fn outcome_until(
        &self,
        end: Instant,
        of: OutcomeOf<'_>,
    ) -> Result<Outcome, ClientError> {
        let (by, partition) = match of {
            OutcomeOf::Transaction(tid) => {
                let id = bytes::Bytes::copy_from_slice(&tid.to_bytes());
                (v1::get_outcome_request::By::TransactionId(id), None)
            }
            OutcomeOf::Request(request) => {
                let Some(wire) = convert::request_out(request) else { return Ok(Outcome::Unknown) };
                let partition = wire.route_key.clone();
                (v1::get_outcome_request::By::RequestId(wire), Some(partition))
            }
        };
        let message = v1::GetOutcomeRequest { by: Some(by) };
        let (answer, node) = self
            .call_until(end, "GetOutcome", partition.as_deref(), |node| {
                let request = self.request_until(end, message.clone());
                let mut service = self.transactions(&node);
                async move { service.get_outcome(request).await }
            })
            .await?;
        let outcome = answer.outcome.ok_or_else(|| node.broke("GetOutcome without outcome"))?;
        convert::outcome_in(outcome, Vec::new()).map_err(|what| node.broke(what))
    }

    /// The cluster as one of its nodes sees it. `with_state_digest` makes every replica read its
    /// whole state.
    pub async fn cluster(&self, with_state_digest: bool) -> Result<Cluster, ClientError> {
        self.cluster_of(false, with_state_digest).await
    }

    /// What the answering node knows by itself; no other node is asked.
    pub async fn cluster_locally(&self) -> Result<Cluster, ClientError> {
        self.cluster_of(true, false).await
    }

    async fn cluster_of(&self, local: bool, with_digest: bool) -> Result<Cluster, ClientError> {
        let message = v1::ClusterRequest { with_state_digest: with_digest, local_only: local };
        let limit = if with_digest { self.call_limit(self.operation_end()) } else { ACCOUNT_MAX };
        let (answer, node) = self
            .call("Cluster", None, |node| {
                let request = self.request(message);
                let mut service = self.clusters(&node);
                async move {
                    let late = |_| Err(Status::deadline_exceeded("it does not answer in time"));
                    timeout(limit, service.cluster(request)).await.unwrap_or_else(late)
                }
            })
            .await?;
        Cluster::read(answer).map_err(|what| node.broke(what))
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.inner.options.limits
    }

    /// A request with its principal and its `grpc-timeout`.
    pub(crate) fn request<T>(&self, message: T) -> tonic::Request<T> {
        self.request_until(self.operation_end(), message)
    }

    /// The same as a part of an operation that ends then.
    pub(crate) fn request_until<T>(&self, end: Instant, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.set_timeout(self.call_limit(end));
        self.sign(&mut request);
        request
    }

    /// Says who asks.
    pub(crate) fn sign<T>(&self, request: &mut tonic::Request<T>) {
        let principal = &self.inner.options.principal;
        if let (false, Ok(value)) = (principal.is_empty(), principal.parse()) {
            request.metadata_mut().insert(metadata::PRINCIPAL, value);
        }
    }

    /// Keeps the leader that an answer named.
    pub(crate) fn learn_route(&self, partition: &str, route: Option<v1::RouteHint>) {
        let Some(route) = route.filter(|route| !route.leader_endpoint.is_empty()) else { return };
        if self.inner.options.routing == Routing::Leaders {
            self.inner.routes.learn(partition, &route.leader_endpoint);
        }
    }
}

impl Node {
    pub(crate) fn broke(&self, what: &str) -> ClientError {
        ClientError::Protocol { endpoint: self.endpoint.to_string(), what: what.to_owned() }
    }
}
