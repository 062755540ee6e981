//! Whoever stands between the nodes and does to their messages what no network promises not to do:
//! some are repeated, some overtaken by the next one, some lost.
//!
//! Each meddler stands for one node towards all others, and speaks gRPC with both sides: TCP would
//! put bytes in order again. The first message of a stream says who speaks, and is let through.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status, Streaming};
use vatic_proto::peer::v1::node_service_client::NodeServiceClient;
use vatic_proto::peer::v1::node_service_server::{NodeService, NodeServiceServer};
use vatic_proto::peer::v1::raft_service_client::RaftServiceClient;
use vatic_proto::peer::v1::raft_service_server::{RaftService, RaftServiceServer};
use vatic_proto::peer::v1::{AskRequest, AskResponse, ExchangeRequest, ExchangeResponse};

use crate::seeded::Seeded;

/// Of so many messages one is repeated, and one overtaken.
const ONE_IN: u64 = 16;
/// Of so many one is lost: whoever waits for it does so until its deadline.
const LOST_ONE_IN: u64 = 256;
/// A message waits so long for one that overtakes it.
const HELD_MAX: Duration = Duration::from_millis(20);
const FOREVER: Duration = Duration::from_secs(1 << 20);
const MESSAGE_BYTES_MAX: usize = 256 << 20;
/// Messages under way in one direction of a stream.
const UNDER_WAY: usize = 64;

/// What was done to messages.
#[derive(Debug)]
pub struct Meddling {
    seed: u64,
    streams: AtomicU64,
    over: AtomicBool,
    repeated: AtomicU64,
    overtaken: AtomicU64,
    lost: AtomicU64,
}

impl Meddling {
    /// The seed decides which messages of each stream it happens to.
    pub fn of(seed: u64) -> Meddling {
        let (streams, over, repeated, overtaken, lost) = Default::default();
        Meddling { seed, streams, over, repeated, overtaken, lost }
    }

    /// From now on messages are passed on as they are.
    pub fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// How many messages were repeated, overtaken and lost so far.
    pub fn counts(&self) -> [u64; 3] {
        [&self.repeated, &self.overtaken, &self.lost].map(|count| count.load(Ordering::Acquire))
    }

    fn stream(&self) -> Seeded {
        Seeded::new(self.seed.wrapping_add(self.streams.fetch_add(1, Ordering::AcqRel) << 32))
    }
}

/// A meddler before each address. They last as long as the runtime. Answers where they listen.
pub async fn meddlers(addresses: &[String], meddling: &Arc<Meddling>) -> io::Result<Vec<String>> {
    let mut listening = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        listening.push(listener.local_addr()?.to_string());
        let far = Endpoint::from_shared(format!("http://{address}")).map_err(io::Error::other)?;
        let between = Between { far: far.connect_lazy(), meddling: meddling.clone() };
        let raft = RaftServiceServer::new(between.clone());
        let node = NodeServiceServer::new(between);
        let serving = Server::builder()
            .add_service(raft.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(node.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(serving);
    }
    Ok(listening)
}

#[derive(Debug, Clone)]
struct Between {
    far: Channel,
    meddling: Arc<Meddling>,
}

impl Between {
    /// Passes one direction on.
    fn pass_on<T, M>(&self, from: Streaming<T>, as_sent: fn(T) -> M) -> ReceiverStream<M>
    where
        T: Clone + Send + 'static,
        M: Send + 'static,
    {
        let (to, passed) = mpsc::channel(UNDER_WAY);
        tokio::spawn(pass_on(from, to, as_sent, self.meddling.clone()));
        ReceiverStream::new(passed)
    }
}

async fn pass_on<T: Clone, M>(
    mut from: Streaming<T>,
    to: mpsc::Sender<M>,
    as_sent: fn(T) -> M,
    meddling: Arc<Meddling>,
) {
    let mut chance = meddling.stream();
    let (mut first, mut held) = (true, None);
    loop {
        let mut passed = Vec::new();
        match timeout(if held.is_some() { HELD_MAX } else { FOREVER }, from.message()).await {
            Ok(Ok(Some(message))) => {
                let spared = std::mem::take(&mut first) || meddling.over.load(Ordering::Acquire);
                if !spared && chance.below(LOST_ONE_IN) == 0 {
                    meddling.lost.fetch_add(1, Ordering::AcqRel);
                } else if !spared && held.is_none() && chance.below(ONE_IN) == 0 {
                    held = Some(message);
                    continue;
                } else if !spared && chance.below(ONE_IN) == 0 {
                    meddling.repeated.fetch_add(1, Ordering::AcqRel);
                    passed.extend([message.clone(), message]);
                } else {
                    passed.push(message);
                }
                let overtaken = held.is_some() && !passed.is_empty();
                meddling.overtaken.fetch_add(u64::from(overtaken), Ordering::AcqRel);
            }
            Ok(Ok(None) | Err(_)) => {
                meddling.lost.fetch_add(u64::from(held.is_some()), Ordering::AcqRel);
                return;
            }
            // None came to overtake it.
            Err(_) => {}
        }
        passed.extend(held.take());
        for message in passed {
            if to.send(as_sent(message)).await.is_err() {
                return;
            }
        }
    }
}

#[tonic::async_trait]
impl RaftService for Between {
    type ExchangeStream = ReceiverStream<Result<ExchangeResponse, Status>>;

    async fn exchange(
        &self,
        request: Request<Streaming<ExchangeRequest>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let requests = self.pass_on(request.into_inner(), |message| message);
        let mut far =
            RaftServiceClient::new(self.far.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let replies = far.exchange(requests).await?.into_inner();
        Ok(Response::new(self.pass_on(replies, Ok)))
    }
}

#[tonic::async_trait]
impl NodeService for Between {
    type AskStream = ReceiverStream<Result<AskResponse, Status>>;

    async fn ask(
        &self,
        request: Request<Streaming<AskRequest>>,
    ) -> Result<Response<Self::AskStream>, Status> {
        let questions = self.pass_on(request.into_inner(), |message| message);
        let mut far =
            NodeServiceClient::new(self.far.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let answers = far.ask(questions).await?.into_inner();
        Ok(Response::new(self.pass_on(answers, Ok)))
    }
}
