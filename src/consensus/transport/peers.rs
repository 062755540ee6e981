//! The peers of this node: for each a connection, and a dialer task for each lane on it.
//!
//! Why one connection for all lanes of a peer: HTTP/2 shares it fairly between streams, and one
//! keepalive tells for all whether the peer is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};
use vatic_proto::peer::v1::Lane as LaneKind;

use super::addresses::Addresses;
use super::dialer::Dialer;
use super::faults::Faults;
use super::lane::Lane;
use crate::limits::Limits;
use crate::metrics::Metrics;

/// The lanes to one peer.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) control: Lane,
    pub(crate) append: Lane,
    pub(crate) snapshot: Lane,
}

/// Everything that sending to peers shares.
pub(crate) struct Peers {
    pub(crate) cluster: String,
    pub(crate) node: u32,
    pub(crate) limits: Arc<Limits>,
    pub(crate) metrics: Metrics,
    pub(crate) faults: Faults,
    pub(crate) addresses: Arc<Addresses>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    peers: BTreeMap<u32, Peer>,
    dialers: JoinSet<()>,
    closed: bool,
}

impl Peers {
    pub(crate) fn new(
        cluster: String,
        node: u32,
        limits: Arc<Limits>,
        metrics: Metrics,
        faults: Faults,
        addresses: Arc<Addresses>,
    ) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { cluster, node, limits, metrics, faults, addresses, open })
    }

    /// The lanes to `node`; its dialers start with the first call.
    pub(crate) fn peer(self: &Arc<Self>, node: u32) -> Peer {
        let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(peer) = open.peers.get(&node) {
            return peer.clone();
        }
        let connection = Arc::new(Connection::default());
        let peer = Peer {
            control: self.lane(&mut open, node, LaneKind::Control, &connection),
            append: self.lane(&mut open, node, LaneKind::Append, &connection),
            snapshot: self.lane(&mut open, node, LaneKind::Snapshot, &connection),
        };
        open.peers.insert(node, peer.clone());
        peer
    }

    fn lane(
        self: &Arc<Self>,
        open: &mut Open,
        node: u32,
        kind: LaneKind,
        connection: &Arc<Connection>,
    ) -> Lane {
        let (lane, requests) = Lane::new(self.limits.lane_queue_depth_max);
        if !open.closed {
            let dialer = Dialer::new(self.clone(), node, kind, connection.clone(), requests);
            open.dialers.spawn(dialer.run());
        }
        lane
    }

    /// Ends all dialers; what is queued or sent later fails as disconnected.
    pub(crate) async fn close(&self) {
        let mut dialers = {
            let mut open = self.open.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            open.closed = true;
            open.peers.clear();
            std::mem::take(&mut open.dialers)
        };
        dialers.shutdown().await;
    }
}

/// The connection to one peer, which its lanes share. It follows the peer's address.
#[derive(Default)]
pub(crate) struct Connection {
    current: Mutex<Option<(String, Channel)>>,
}

impl Connection {
    /// `Err` says what is wrong with the address.
    pub(crate) fn channel(&self, address: &str, limits: &Limits) -> Result<Channel, String> {
        let mut current = self.current.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((known, channel)) = &*current
            && known == address
        {
            return Ok(channel.clone());
        }
        let channel = endpoint(address, limits)?.connect_lazy();
        *current = Some((address.to_owned(), channel.clone()));
        Ok(channel)
    }
}

/// Room for a snapshot's bytes in flight must not be room that the control lane lacks.
pub(crate) const STREAM_WINDOW_BYTES: u32 = 2 << 20;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

fn endpoint(address: &str, limits: &Limits) -> Result<Endpoint, String> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| format!("the address {address:?} is not host:port: {error}"))?;
    let keepalive = Duration::from_millis(limits.keepalive_ms);
    Ok(endpoint
        .connect_timeout(Duration::from_millis(limits.connect_deadline_ms))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(keepalive)
        .keep_alive_timeout(keepalive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES))
}
