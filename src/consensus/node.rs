//! A node: its groups, and the log, store and transport that they share.
//!
//! Why groups are created, never found on disk: what groups there are, and who is in them, is
//! what the meta group decides; a node that opened whatever it found would revive removed ones.
//!
//! Groups are opened in `opening`. Invariant: a shutdown hands leaderships over before it closes
//! anything, and takes no longer than its limit.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use vatic_log::Log;
use vatic_proto::peer::v1::raft_service_server::RaftServiceServer;
use vatic_store::Store;

use crate::error::{ShutdownError, StartError};
use crate::fatal::Fatal;
use crate::group::GroupHandle;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::raft_config::raft_config;
use crate::transport::addresses::Addresses;
use crate::transport::faults::Faults;
use crate::transport::peers::Peers;
use crate::transport::registry::Registry;
use crate::transport::service::Service;

/// What a node is told at its start.
#[derive(Clone)]
pub struct Config {
    /// Nodes of different clusters refuse each other.
    pub cluster: String,
    /// This node's number; never given to another node.
    pub node: u32,
    pub limits: Limits,
    pub fatal: Fatal,
    /// Further services for peers, on the same listener.
    pub routes: Routes,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub node: u32,
    /// Counts the replicas of the group that this node has held.
    pub generation: u32,
    /// Where the node listens for peers, `host:port`.
    pub address: String,
}

/// The consensus of one node. Clones are the same node.
#[derive(Clone)]
pub struct Node {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    pub(crate) log: Arc<Log>,
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) peers: Arc<Peers>,
    pub(crate) registry: Arc<Registry>,
    closing: watch::Sender<bool>,
    pub(crate) open: Mutex<Open>,
}

pub(crate) struct Open {
    /// `None` once the node shuts down.
    pub(crate) groups: Option<BTreeMap<u32, GroupHandle>>,
    server: Option<JoinHandle<()>>,
}

impl Node {
    /// Starts to serve peers on `listener`; there are no groups yet.
    pub async fn start(
        config: Config,
        listener: TcpListener,
        log: Log,
        store: Store,
    ) -> Result<Self, StartError> {
        Self::start_with(config, listener, log, store, Faults::default()).await
    }

    /// As [`Self::start`], and loses the messages that the hook names. Not a field of [`Config`]:
    /// a feature that another crate turns on must not change what a struct literal needs.
    #[cfg(any(test, feature = "faults"))]
    pub async fn start_lossy(
        config: Config,
        listener: TcpListener,
        log: Log,
        store: Store,
        hook: crate::DropHook,
    ) -> Result<Self, StartError> {
        Self::start_with(config, listener, log, store, Faults::new(hook)).await
    }

    async fn start_with(
        config: Config,
        listener: TcpListener,
        log: Log,
        store: Store,
        faults: Faults,
    ) -> Result<Self, StartError> {
        config.limits.check().map_err(|rule| StartError::Limits(rule.into()))?;
        raft_config(&config.limits, 0).map_err(StartError::Limits)?;
        let address = listener.local_addr().map_err(StartError::Listener)?;
        let limits = Arc::new(config.limits.clone());
        let addresses = Arc::new(Addresses::default());
        let registry = Arc::new(Registry::default());
        let (closing, closed) = watch::channel(false);
        let service = Service {
            cluster: config.cluster.as_str().into(),
            node: config.node,
            limits: limits.clone(),
            registry: registry.clone(),
            faults: faults.clone(),
            closing: closed,
        };
        let routes = config.routes.clone();
        let server = tokio::spawn(serve(service, routes, listener, config.fatal.clone()));
        let metrics = Metrics::new();
        let peers = Peers::new(
            config.cluster.clone(),
            config.node,
            limits.clone(),
            metrics.clone(),
            faults,
            addresses.clone(),
        );
        let open = Mutex::new(Open { groups: Some(BTreeMap::new()), server: Some(server) });
        let shared = Shared {
            config,
            limits,
            metrics,
            log: Arc::new(log),
            store,
            address,
            addresses,
            peers,
            registry,
            closing,
            open,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub fn id(&self) -> u32 {
        self.shared.config.node
    }

    /// Where this node listens for peers.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Where a node listens now; it stands above what the memberships say.
    pub fn set_address(&self, node: u32, address: impl Into<String>) {
        self.shared.addresses.set(node, address.into());
    }

    /// The log's disk is full: refuse what can wait.
    pub fn log_is_full(&self) -> bool {
        self.shared.log.is_full()
    }

    /// What log and consensus count.
    pub fn collectors(&self) -> Vec<Box<dyn prometheus::core::Collector>> {
        let mut collectors = self.shared.metrics.collectors();
        collectors.extend(self.shared.log.collectors());
        collectors
    }

    pub async fn group(&self, group: u32) -> Option<GroupHandle> {
        self.shared.open.lock().await.groups.as_ref()?.get(&group).cloned()
    }

    pub async fn groups(&self) -> Vec<GroupHandle> {
        let open = self.shared.open.lock().await;
        open.groups.iter().flat_map(|groups| groups.values().cloned()).collect()
    }

    /// Hands leaderships over, closes the groups, flushes the store, ends the transport. The error
    /// says what was not handed over; the node is closed all the same.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let groups = self.groups().await;
        let deadline = Duration::from_millis(self.shared.limits.handover_deadline_ms);
        let handed = join_all(groups.iter().map(|group| async move {
            let handed = tokio::time::timeout(deadline, group.hand_over()).await;
            (group.group(), matches!(handed, Ok(Ok(()))))
        }));
        let kept: Vec<u32> =
            handed.await.into_iter().filter_map(|(group, ok)| (!ok).then_some(group)).collect();
        self.stop().await;
        let store = self.shared.store.clone();
        // An error: the flush panicked, and with it, by its own hook, the node.
        let _ = tokio::task::spawn_blocking(move || store.flush_now()).await;
        match kept.is_empty() {
            true => Ok(()),
            false => Err(ShutdownError::NotHandedOver { groups: kept, deadline }),
        }
    }

    /// Closes everything at once, as a crash would: nothing is handed over or flushed.
    pub async fn stop(&self) {
        let (groups, server) = {
            let mut open = self.shared.open.lock().await;
            (open.groups.take(), open.server.take())
        };
        self.shared.registry.clear();
        self.shared.closing.send_replace(true);
        join_all(groups.iter().flat_map(|groups| groups.values()).map(GroupHandle::close)).await;
        self.shared.peers.close().await;
        if let Some(mut server) = server
            && tokio::time::timeout(SERVER_DRAIN, &mut server).await.is_err()
        {
            server.abort();
        }
    }
}

/// hyper's graceful shutdown can hang on a connection that is half closed.
const SERVER_DRAIN: Duration = Duration::from_millis(500);

async fn serve(service: Service, routes: Routes, listener: TcpListener, fatal: Fatal) {
    let limits = service.limits.clone();
    let mut closing = service.closing.clone();
    let keepalive = Duration::from_millis(limits.keepalive_ms);
    let service = RaftServiceServer::new(service)
        .max_decoding_message_size(limits.decode_bytes_max)
        .max_encoding_message_size(limits.decode_bytes_max);
    // The server's own option does not reach sockets that it is handed; without it each answer
    // waits for the peer's delayed acknowledgement, some 40 ms.
    let sockets = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder()
        .http2_keepalive_interval(Some(keepalive))
        .http2_keepalive_timeout(Some(keepalive))
        .initial_stream_window_size(crate::transport::peers::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(crate::transport::peers::CONNECTION_WINDOW_BYTES)
        .add_routes(routes.add_service(service))
        .serve_with_incoming_shutdown(sockets, async move {
            // An error: the node is gone, and with it the sender.
            let _ = closing.wait_for(|closing| *closing).await;
        });
    if let Err(error) = server.await {
        fatal.raise(&format!("the peer server has ended: {error}"));
    }
}
