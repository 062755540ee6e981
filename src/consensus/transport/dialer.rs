//! The task behind a lane: keeps one stream to the peer open, writes requests, matches replies.
//!
//! Why one task for both directions: it never waits for room to write without also reading
//! replies, so two nodes that are both full cannot wait for each other.
//!
//! Invariants: a sequence number is used once on a stream; when the stream ends every request on
//! it fails, and while there is no stream every request fails at once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use vatic_proto::peer::v1::raft_service_client::RaftServiceClient;
use vatic_proto::peer::v1::{
    Envelope, ExchangeRequest, ExchangeResponse, Hello, Lane as LaneKind, Reply, ReplyStatus,
};

use super::lane::{Outgoing, ReplyResult, SendError};
use super::peers::{Connection, Peers};
use super::service::FORMAT;

/// Messages that may wait for the connection's flow control.
const FEED_DEPTH: usize = 4;
/// Requests taken from the queue at once.
const TAKE_MAX: usize = 256;
/// Below so many pending requests it is not worth looking for dead ones.
const SWEEP_MIN: usize = 128;

pub(crate) struct Dialer {
    peers: Arc<Peers>,
    node: u32,
    kind: LaneKind,
    connection: Arc<Connection>,
    requests: mpsc::Receiver<Outgoing>,
}

struct Stream {
    feed: mpsc::Sender<ExchangeRequest>,
    replies: Streaming<ExchangeResponse>,
}

/// The queue is closed: nobody can send any more.
struct Closed;

impl Dialer {
    pub(crate) fn new(
        peers: Arc<Peers>,
        node: u32,
        kind: LaneKind,
        connection: Arc<Connection>,
        requests: mpsc::Receiver<Outgoing>,
    ) -> Self {
        Self { peers, node, kind, connection, requests }
    }

    pub(crate) async fn run(mut self) {
        let mut attempts = 0u32;
        loop {
            let Some(first) = self.requests.recv().await else { return };
            match self.dial().await {
                Ok(stream) => {
                    attempts = 0;
                    if self.exchange(stream, first).await.is_err() {
                        return;
                    }
                }
                Err(reason) => {
                    tracing::debug!(peer = self.node, lane = ?self.kind, reason, "no stream");
                    drop(first);
                    attempts += 1;
                    if self.back_off(attempts).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn dial(&self) -> Result<Stream, String> {
        let limits = &self.peers.limits;
        let address = self.peers.addresses.of(self.node).ok_or("its address is not known")?;
        let channel = self.connection.channel(&address, limits)?;
        let (feed, messages) = mpsc::channel(FEED_DEPTH);
        let hello = Hello {
            cluster: self.peers.cluster.clone(),
            node: self.peers.node,
            lane: self.kind.into(),
        };
        let first = ExchangeRequest { format: FORMAT, hello: Some(hello), envelopes: vec![] };
        feed.try_send(first).map_err(|error| error.to_string())?;

        let mut client = RaftServiceClient::new(channel)
            .max_decoding_message_size(limits.decode_bytes_max)
            .max_encoding_message_size(limits.decode_bytes_max);
        let deadline = Duration::from_millis(limits.connect_deadline_ms);
        let opened = tokio::time::timeout(deadline, client.exchange(ReceiverStream::new(messages)));
        match opened.await {
            Ok(Ok(response)) => Ok(Stream { feed, replies: response.into_inner() }),
            Ok(Err(status)) => Err(status.to_string()),
            Err(_) => Err(format!("no stream within {deadline:?}")),
        }
    }

    /// Until the stream ends. Dropping what is pending fails it as disconnected.
    async fn exchange(&mut self, stream: Stream, first: Outgoing) -> Result<(), Closed> {
        let Stream { feed, mut replies } = stream;
        let mut pending = Pending::default();
        let mut taken = VecDeque::from([first]);
        let mut inbox = Vec::new();
        let mut ready = None;
        loop {
            taken.extend(inbox.drain(..));
            if ready.is_none() {
                ready = self.message(&mut taken, &mut pending);
            }
            tokio::select! {
                biased;
                reply = replies.message() => match reply {
                    Ok(Some(response)) => pending.complete(response, self.node),
                    Ok(None) | Err(_) => return Ok(()),
                },
                permit = feed.reserve(), if ready.is_some() => match permit {
                    Ok(permit) => permit.send(ready.take().expect("the branch is guarded")),
                    Err(_) => return Ok(()),
                },
                count = self.requests.recv_many(&mut inbox, TAKE_MAX), if taken.is_empty() => {
                    if count == 0 {
                        return Err(Closed);
                    }
                }
            }
        }
    }

    /// Takes as many requests as one message holds; the rest stays in `taken`, in order.
    fn message(
        &self,
        taken: &mut VecDeque<Outgoing>,
        pending: &mut Pending,
    ) -> Option<ExchangeRequest> {
        let mut envelopes: Vec<Envelope> = Vec::new();
        let mut bytes = 0;
        while let Some(request) = taken.pop_front() {
            let size = request.envelope.body.len();
            if !envelopes.is_empty() && bytes + size > self.peers.limits.message_bytes_max {
                taken.push_front(request);
                break;
            }
            let nobody_waits = request.reply.is_closed();
            if nobody_waits || self.peers.faults.drops(self.peers.node, self.node) {
                continue;
            }
            bytes += size;
            let sequence = pending.register(request.reply);
            envelopes.push(Envelope { sequence, ..request.envelope });
        }
        (!envelopes.is_empty()).then_some(ExchangeRequest {
            format: FORMAT,
            hello: None,
            envelopes,
        })
    }

    /// Waits before the next attempt; fails meanwhile what is sent.
    async fn back_off(&mut self, attempts: u32) -> Result<(), Closed> {
        let limits = &self.peers.limits;
        let wait = (limits.reconnect_min_ms << attempts.min(16).saturating_sub(1))
            .min(limits.reconnect_max_ms);
        let until = tokio::time::sleep(Duration::from_millis(wait));
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                () = &mut until => return Ok(()),
                request = self.requests.recv() => match request {
                    Some(request) => drop(request),
                    None => return Err(Closed),
                }
            }
        }
    }
}

/// The requests on a stream that wait for their replies.
#[derive(Default)]
struct Pending {
    next_sequence: u64,
    /// Ordered, so that a stream's end fails them in the same order in every simulated run.
    waiting: BTreeMap<u64, oneshot::Sender<ReplyResult>>,
    sweep_at: usize,
}

impl Pending {
    fn register(&mut self, reply: oneshot::Sender<ReplyResult>) -> u64 {
        self.sweep();
        self.next_sequence += 1;
        let before = self.waiting.insert(self.next_sequence, reply);
        debug_assert!(before.is_none(), "a sequence number was used twice");
        self.next_sequence
    }

    fn complete(&mut self, response: ExchangeResponse, peer: u32) {
        if response.format != FORMAT {
            tracing::warn!(peer, format = response.format, "a reply of an unknown format");
            return;
        }
        for Reply { sequence, status, body } in response.replies {
            let Some(slot) = self.waiting.remove(&sequence) else { continue };
            let status = ReplyStatus::try_from(status).unwrap_or(ReplyStatus::Unspecified);
            let _ = slot.send(match status {
                ReplyStatus::Ok => Ok(body),
                refused => Err(SendError::Refused(refused)),
            });
        }
    }

    /// Forgets those whose deadline passed: a peer that never answers must not cost memory.
    fn sweep(&mut self) {
        if self.waiting.len() >= self.sweep_at {
            self.waiting.retain(|_, slot| !slot.is_closed());
            self.sweep_at = (2 * self.waiting.len()).max(SWEEP_MIN);
        }
    }
}
