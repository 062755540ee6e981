//! Calls to other nodes: one channel to each, opened at first use and kept.

use crate::peer::{PeerReply, PeerRequest};
use std::{collections::BTreeMap, sync::Mutex, time::Duration};
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use vatic_core::codec;
use vatic_proto::peer::v1::{CallRequest, node_service_client::NodeServiceClient};

const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Channels to the other nodes.
pub(crate) struct PeerClients {
    cluster: String,
    addresses: BTreeMap<u32, String>,
    channels: Mutex<BTreeMap<u32, Channel>>,
}

impl PeerClients {
    pub(crate) fn new(cluster: String, addresses: BTreeMap<u32, String>) -> PeerClients {
        PeerClients { cluster, addresses, channels: Mutex::default() }
    }

    /// Asks a node; `None` where no answer came in time.
    pub(crate) async fn call(
        &self,
        node: u32,
        request: &PeerRequest,
        deadline: Instant,
    ) -> Option<PeerReply> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut client = NodeServiceClient::new(self.channel(node)?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let call = CallRequest {
            cluster: self.cluster.clone(),
            deadline_ms: left.as_millis() as u32,
            body: codec::encode(request).into(),
        };
        let answer = tokio::time::timeout(left, client.call(call)).await;
        match answer {
            Ok(Ok(response)) => codec::decode(&response.into_inner().body).ok(),
            Ok(Err(status)) => {
                tracing::debug!(node, %status, "a peer did not answer");
                None
            }
            Err(_) => None,
        }
    }

    fn channel(&self, node: u32) -> Option<Channel> {
        let mut channels = self.channels.lock().expect("no holder panics");
        if let Some(channel) = channels.get(&node) {
            return Some(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addresses.get(&node)?));
        let endpoint = endpoint
            .ok()?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        channels.insert(node, channel.clone());
        Some(channel)
    }
}
