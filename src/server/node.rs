//! A node's life: open the disk, join the groups, serve, and leave in order.

use crate::{
    api::Gateway,
    attest, bootstrap,
    cluster::Cluster,
    compare,
    config::{Config, ConfigError},
    conflicts,
    diary::Diaries,
    foresight::{self, Foresight},
    identity, load, oversize,
    peer_service::PeerService,
    placement, queue,
    rebuild::{self, AtRest},
    scrub,
    signer::Signer,
    sweep,
    telemetry::{admin, readiness},
    time,
};
use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    task::JoinSet,
};
use tonic::{
    server::NamedService,
    service::Routes,
    transport::{Server as Transport, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::health_server::{Health, HealthServer},
    server::HealthReporter,
};
use tower::util::MapResponseLayer;
use vatic_consensus::{Fatal, GroupHandle, Node};
use vatic_core::id::GroupId;
use vatic_log::{FileDisk, Log};
use vatic_proto::{
    FILE_DESCRIPTOR_SET,
    peer::v1::node_service_server::NodeServiceServer,
    v1::{
        anomaly_service_server::AnomalyServiceServer, cluster_service_server::ClusterServiceServer,
        conflict_service_server::ConflictServiceServer,
        pipeline_service_server::PipelineServiceServer, policy_service_server::PolicyServiceServer,
        queue_service_server::QueueServiceServer, record_service_server::RecordServiceServer,
        transaction_service_server::TransactionServiceServer,
    },
};
use vatic_store::Store;

/// Messages between nodes carry whole parts: above the largest command.
const PEER_MESSAGE_BYTES_MAX: usize = 64 << 20;
const KEEPALIVE: Duration = Duration::from_secs(5);
/// What clients may send ahead on a stream and on a connection. Why these: of frames that wait, h2
/// sums up what each lacks of 256 bytes, and ends a connection where that is more than half of its
/// window. So one stream cannot get there by frames of 16 bytes, nor can eight by frames of 86.
const STREAM_WINDOW_BYTES: u32 = 256 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 8 << 20;
/// hyper's graceful shutdown can hang on a half-closed connection.
const CLOSE_MAX: Duration = Duration::from_millis(500);
/// How long the last conflicts that were seen may take to be written.
const WRITE_LAST_MS: u64 = 500;

/// Why a node does not start or ended badly.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The configuration does not hold together.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// A listener or the data directory.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What came of it.
        source: io::Error,
    },
    /// The data directory is another node's, or was made with other counts of groups or replicas.
    #[error("{path} is another's: {differences}")]
    Identity {
        /// The file that says whose directory it is.
        path: String,
        /// Each setting that differs, with both values.
        differences: String,
    },
    /// The log does not open.
    #[error("log: {0}")]
    Log(String),
    /// The state does not open.
    #[error("store: {0}")]
    Store(String),
    /// A group does not open.
    #[error("consensus: {0}")]
    Consensus(String),
    /// The client server ended.
    #[error("client server: {0}")]
    Serve(String),
}

/// A running node.
pub struct Server {
    cluster: Arc<Cluster>,
    client_addr: SocketAddr,
    health: HealthReporter,
    closing: watch::Sender<bool>,
    tasks: JoinSet<()>,
    readiness: JoinSet<()>,
    sweeps: JoinSet<()>,
    failed: oneshot::Receiver<ServerError>,
}

/// Runs a node until `shutdown` resolves or it cannot serve any more, then closes it in order.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
    let mut server = Server::start(config).await?;
    let ended = tokio::select! {
        biased;
        () = shutdown => Ok(()),
        Ok(error) = &mut server.failed => Err(error),
    };
    server.shutdown().await;
    ended
}

impl Server {
    /// Opens log and state, joins the groups and serves; returns once clients can connect.
    pub async fn start(config: Config) -> Result<Server, ServerError> {
        config.check()?;
        let clients = bind("client_listen", &config.client_listen).await?;
        let peers = bind("peer_listen", &config.peer_listen).await?;
        let client_addr = clients.local_addr().map_err(|source| io_error("client", source))?;
        let endpoint = config.client_endpoint.clone();
        let endpoint = endpoint.unwrap_or_else(|| format!("http://{client_addr}"));
        let watched = admin::Watched::default();
        let mut tasks = JoinSet::new();
        if let Some(address) = &config.admin_listen {
            let listener = bind("admin_listen", address).await?;
            tasks.spawn(admin::serve(listener, watched.clone()));
        }
        let Disk { files, log, signer, at_rest } = open_disk(&config).await?;
        let store = at_rest.store.clone();
        let service = PeerService::default();
        let routes = Routes::new(
            NodeServiceServer::new(service.clone())
                .max_decoding_message_size(PEER_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(PEER_MESSAGE_BYTES_MAX),
        );
        let consensus = start_consensus(&config, peers, log, store.clone(), routes).await?;
        let groups = open_groups(&config, &consensus, &at_rest).await?;
        let diaries = at_rest.diaries;
        let cluster = Cluster::new(config, endpoint, signer, consensus, store, groups, diaries);
        let cluster = Arc::new(cluster);
        let foresight = Foresight::start(&cluster.config.limits, cluster.forecasters.clone());
        let (foresight, intake) =
            foresight.map_err(|source| io_error("a thread to learn on", source))?;
        cluster.metrics.include(files.collectors());
        cluster.metrics.include(cluster.conflicts.history.collectors());
        cluster.metrics.include(foresight.collectors());
        let _ = service.cluster.set(cluster.clone());
        let _ = watched.set(cluster.clone());
        let mut sweeps = sweep::start(&cluster);
        attest::start(&cluster, &mut sweeps);
        compare::start(&cluster, &mut sweeps);
        scrub::start(&cluster, &mut sweeps);
        rebuild::start(&cluster, &mut sweeps);
        load::start(&cluster, &mut sweeps);
        conflicts::start(&cluster, &mut sweeps);
        foresight::courses::start(&cluster, intake, &mut sweeps);
        let gateway = Gateway { cluster: cluster.clone(), foresight };
        queue::start(&gateway, &mut sweeps);
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::NotServing).await;
        let mut readiness = JoinSet::new();
        readiness.spawn(follow_readiness(cluster.clone(), health.clone()));
        let (closing, closed) = watch::channel(false);
        tasks.spawn(bootstrap::follow_meta(cluster.clone()));
        let (fails, failed) = oneshot::channel();
        let served = serve_clients(gateway, clients, health_service, closed);
        tasks.spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the client server ended");
                // Nobody waits for it any more: the node is closing.
                let _ = fails.send(error);
            }
        });
        Ok(Server { cluster, client_addr, health, closing, tasks, readiness, sweeps, failed })
    }

    /// Where clients connect.
    pub fn client_addr(&self) -> SocketAddr {
        self.client_addr
    }

    /// Says that it does not serve, stops taking transactions, lets running ones end up to a limit,
    /// hands leaderships over, flushes and closes.
    pub async fn shutdown(mut self) {
        let cluster = &self.cluster;
        cluster.streams.close();
        cluster.submits.close();
        // First of all: it would say otherwise.
        self.readiness.shutdown().await;
        set_health(&self.health, ServingStatus::NotServing).await;
        let drain = Duration::from_millis(cluster.config.limits.drain_ms);
        let drained = async {
            while !(cluster.is_idle() && cluster.driving.is_empty()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!(?drain, "streams or operations were still open when the drain ended");
        }
        self.sweeps.shutdown().await;
        conflicts::write_all(cluster, time::deadline_in(WRITE_LAST_MS)).await;
        self.closing.send_replace(true);
        tokio::time::sleep(CLOSE_MAX).await;
        self.tasks.shutdown().await;
        if let Err(error) = cluster.consensus.shutdown().await {
            tracing::warn!(%error, "not every leadership was handed over");
        }
    }
}

async fn bind(what: &str, address: &str) -> Result<TcpListener, ServerError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| io_error(&format!("{what} {address}"), source))
}

/// What lies in the data directory.
struct Disk {
    files: Arc<FileDisk>,
    log: Log,
    signer: Signer,
    at_rest: AtRest,
}

async fn open_disk(config: &Config) -> Result<Disk, ServerError> {
    let dir = config.data_dir.clone();
    let (log_limits, store_limits) = (config.log_limits.clone(), config.store_limits.clone());
    let (cluster, node, own) = (config.cluster.clone(), config.node, config.clone());
    let (diaries, diaries_bytes_max) =
        (config.record_events.clone(), config.limits.diaries_bytes_max);
    let opening = move || {
        let io = |source| io_error(&dir.display().to_string(), source);
        std::fs::create_dir_all(&dir).map_err(io)?;
        identity::check(&own)?;
        let key = identity::key(&dir)?;
        let files = Arc::new(FileDisk::open(dir.join("log")).map_err(io)?);
        let log = Log::open(files.clone(), log_limits)
            .map_err(|error| ServerError::Log(error.to_string()))?;
        let store =
            Store::open_with(dir.join("state"), store_limits, rebuild::on_fatal(dir.clone()))
                .map_err(|error| ServerError::Store(error.to_string()))?;
        let damaged = rebuild::damaged(&dir, &store).map_err(io)?;
        let diaries = diaries.map(|folder| Diaries::open(folder, diaries_bytes_max));
        let diaries = diaries.transpose().map_err(|source| io_error("record_events", source))?;
        let signer = Signer::new(cluster, node, key);
        let at_rest = AtRest { store, damaged, diaries };
        Ok(Disk { files, log, signer, at_rest })
    };
    let opened = tokio::task::spawn_blocking(opening).await;
    opened.map_err(|error| ServerError::Store(error.to_string()))?
}

async fn start_consensus(
    config: &Config,
    listener: TcpListener,
    log: Log,
    store: Store,
    routes: Routes,
) -> Result<Node, ServerError> {
    let consensus = vatic_consensus::Config {
        cluster: config.cluster.clone(),
        node: config.node,
        limits: config.consensus_limits.clone(),
        fatal: Fatal::abort(),
        routes,
    };
    let started = Node::start(consensus, listener, log, store).await;
    started.map_err(|error| ServerError::Consensus(error.to_string()))
}

async fn open_groups(
    config: &Config,
    consensus: &Node,
    at_rest: &AtRest,
) -> Result<BTreeMap<GroupId, GroupHandle>, ServerError> {
    let mut groups = BTreeMap::new();
    for group in (0..=config.groups).map(GroupId) {
        let nodes = placement::nodes_of(group, &config.members, config.replicas);
        if !nodes.contains(&config.node) {
            continue;
        }
        let handle = rebuild::open(config, consensus, group, at_rest).await?;
        groups.insert(group, handle);
    }
    Ok(groups)
}

/// The node as a whole, which has no name, and each service of it.
async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in [
        "",
        TransactionServiceServer::<Gateway>::NAME,
        RecordServiceServer::<Gateway>::NAME,
        PipelineServiceServer::<Gateway>::NAME,
        ClusterServiceServer::<Gateway>::NAME,
        ConflictServiceServer::<Gateway>::NAME,
        QueueServiceServer::<Gateway>::NAME,
        PolicyServiceServer::<Gateway>::NAME,
        AnomalyServiceServer::<Gateway>::NAME,
    ] {
        health.set_service_status(service, status).await;
    }
}

/// What `/readyz` says, the health service says too.
async fn follow_readiness(cluster: Arc<Cluster>, health: HealthReporter) {
    let status = |ready| if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    readiness::follow(cluster, |ready| set_health(&health, status(ready))).await;
}

async fn serve_clients(
    gateway: Gateway,
    listener: TcpListener,
    health: HealthServer<impl Health>,
    mut closed: watch::Receiver<bool>,
) -> Result<(), ServerError> {
    let bytes_max = gateway.cluster.config.limits.message_bytes_max;
    let message_bytes_max = bytes_max as usize;
    let described = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let sound = "the descriptors are those that this build compiled";
    let reflection = described().build_v1().expect(sound);
    // What many clients still ask for.
    let reflection_before = described().build_v1alpha().expect(sound);
    // The builder's own option does not reach sockets that it is handed.
    let sockets = TcpIncoming::from(listener).with_nodelay(Some(true));
    let served = Transport::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(MapResponseLayer::new(move |answer| oversize::named(answer, bytes_max)))
        .add_service(health)
        .add_service(reflection)
        .add_service(reflection_before)
        .add_service(
            TransactionServiceServer::new(gateway.clone())
                .max_decoding_message_size(message_bytes_max),
        )
        .add_service(
            PipelineServiceServer::new(gateway.clone())
                .max_decoding_message_size(message_bytes_max),
        )
        .add_service(
            RecordServiceServer::new(gateway.clone()).max_decoding_message_size(message_bytes_max),
        )
        .add_service(AnomalyServiceServer::new(gateway.clone()))
        .add_service(ClusterServiceServer::new(gateway.clone()))
        .add_service(PolicyServiceServer::new(gateway.clone()))
        .add_service(
            ConflictServiceServer::new(gateway.clone())
                .max_decoding_message_size(message_bytes_max),
        )
        .add_service(QueueServiceServer::new(gateway).max_decoding_message_size(message_bytes_max))
        .serve_with_incoming_shutdown(sockets, async move {
            // An error: the node is gone, and with it the sender.
            let _ = closed.wait_for(|closing| *closing).await;
        });
    served.await.map_err(|error| ServerError::Serve(error.to_string()))
}

fn io_error(what: &str, source: io::Error) -> ServerError {
    ServerError::Io { what: what.into(), source }
}
