//! Questions to other nodes: two long-lived streams to each, opened at first use and again after
//! they broke.
//!
//! Why streams: a call of its own costs more than most questions, and a busy node asks its peers
//! many at once; what was asked while a message was on its way goes into the next one. Why two: the
//! answer to a large read must not stand in the way of a vote's.
//!
//! Invariant: a question whose stream broke has no answer, whether it arrived or not.

use crate::peer::{PeerReply, PeerRequest};
use fail::fail_point;
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Streaming,
    transport::{Channel, Endpoint},
};
use vatic_core::codec;
use vatic_proto::peer::v1::{
    AskRequest, AskResponse, Question, node_service_client::NodeServiceClient,
};

const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// Largest question: a message holds it, and what frames it.
pub(crate) const QUESTION_BYTES_MAX: usize = MESSAGE_BYTES_MAX - (64 << 10);
/// That an answer will be late must be heard before the deadline. Of a short one, an eighth.
const ANSWER_MARGIN: Duration = Duration::from_millis(20);
/// Questions share a message up to this size.
const SHARED_BYTES_MAX: usize = 1 << 20;
/// Questions that may wait for a stream; whoever asks more waits.
const QUEUE_DEPTH: usize = 1_024;
/// Messages that may wait for the connection's flow control; more would only be smaller.
const FEED_DEPTH: usize = 2;
const OPEN_MAX: Duration = Duration::from_secs(2);
/// Below so many unanswered questions it is not worth looking for those that nobody waits for.
const SWEEP_MIN: usize = 256;

/// Streams to the other nodes.
pub(crate) struct PeerClients {
    cluster: String,
    addresses: BTreeMap<u32, String>,
    lanes: Mutex<BTreeMap<(u32, Kind), mpsc::Sender<Asked>>>,
}

/// Which of a node's streams.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Transactions,
    Commands,
    Reads,
}

struct Asked {
    question: Question,
    answer: oneshot::Sender<prost::bytes::Bytes>,
}

impl PeerClients {
    pub(crate) fn new(cluster: String, addresses: BTreeMap<u32, String>) -> PeerClients {
        PeerClients { cluster, addresses, lanes: Mutex::default() }
    }

    /// Asks a node; `None` where no answer came in time.
    pub(crate) async fn call(
        &self,
        node: u32,
        request: &PeerRequest,
        deadline: Instant,
    ) -> Option<PeerReply> {
        let left = deadline.saturating_duration_since(Instant::now());
        let kind = match request {
            // Its own: what it waits for are votes, which must not queue behind it.
            PeerRequest::Coordinate { .. } => Kind::Transactions,
            PeerRequest::Propose { .. }
            | PeerRequest::Settled { .. }
            | PeerRequest::SetAside { .. } => Kind::Commands,
            PeerRequest::Read { .. }
            | PeerRequest::Heads { .. }
            | PeerRequest::StateDigest { .. }
            | PeerRequest::Witness { .. }
            | PeerRequest::Status { .. }
            | PeerRequest::Explain { .. }
            | PeerRequest::Foresee { .. }
            | PeerRequest::Shadow { .. }
            | PeerRequest::LeaveStage { .. }
            | PeerRequest::Learnt => Kind::Reads,
        };
        let lane = self.lane(node, kind)?;
        let body: prost::bytes::Bytes = codec::encode(request).into();
        if body.len() > QUESTION_BYTES_MAX {
            // The stream would break, and with it what others ask.
            return Some(PeerReply::Unsendable { question_bytes: body.len() as u64 });
        }
        let deadline_ms = (left - ANSWER_MARGIN.min(left / 8)).as_millis() as u32;
        let question = Question { id: 0, deadline_ms, body };
        let (answer, answered) = oneshot::channel();
        let asking = async {
            lane.send(Asked { question, answer }).await.ok()?;
            if matches!(request, PeerRequest::Coordinate { .. }) {
                fail_point!("server::seal_sent");
            }
            answered.await.ok()
        };
        let body = tokio::time::timeout(left, asking).await.ok()??;
        codec::decode(&body).ok()
    }

    fn lane(&self, node: u32, kind: Kind) -> Option<mpsc::Sender<Asked>> {
        let mut lanes = self.lanes.lock().expect("no holder panics");
        if let Some(lane) = lanes.get(&(node, kind)) {
            return Some(lane.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addresses.get(&node)?));
        let endpoint = endpoint
            .ok()?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true);
        let (lane, asked) = mpsc::channel(QUEUE_DEPTH);
        let channel = endpoint.connect_lazy();
        tokio::spawn(run(self.cluster.clone(), node, channel, asked));
        lanes.insert((node, kind), lane.clone());
        Some(lane)
    }
}

/// Until the node closes.
async fn run(cluster: String, node: u32, channel: Channel, mut asked: mpsc::Receiver<Asked>) {
    while let Some(first) = asked.recv().await {
        match tokio::time::timeout(OPEN_MAX, open(&cluster, channel.clone())).await {
            Ok(Ok((feed, answers))) => {
                let lane = Lane { last_id: 0, waiting: HashMap::new(), gathered: vec![first] };
                lane.run(feed, answers, &mut asked).await;
            }
            failed => {
                let reason = failed.map(|opened| opened.err().map(|status| status.to_string()));
                tracing::debug!(node, ?reason, "a peer cannot be asked");
                // Without an answer their askers look for another node.
                drop(first);
                while asked.try_recv().is_ok() {}
            }
        }
    }
}

type Opened = (mpsc::Sender<AskRequest>, Streaming<AskResponse>);

async fn open(cluster: &str, channel: Channel) -> Result<Opened, tonic::Status> {
    let (feed, messages) = mpsc::channel(FEED_DEPTH);
    let hello = AskRequest { cluster: cluster.to_owned(), questions: Vec::new() };
    let messages = futures::stream::iter([hello]).chain(ReceiverStream::new(messages));
    let mut client = NodeServiceClient::new(channel)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    Ok((feed, client.ask(messages).await?.into_inner()))
}

/// One stream while it holds.
struct Lane {
    last_id: u64,
    waiting: HashMap<u64, oneshot::Sender<prost::bytes::Bytes>>,
    gathered: Vec<Asked>,
}

impl Lane {
    async fn run(
        mut self,
        feed: mpsc::Sender<AskRequest>,
        mut answers: Streaming<AskResponse>,
        asked: &mut mpsc::Receiver<Asked>,
    ) {
        loop {
            tokio::select! {
                biased;
                message = answers.message() => match message {
                    Ok(Some(message)) => self.complete(message),
                    Ok(None) | Err(_) => return,
                },
                Ok(permit) = feed.reserve(), if !self.gathered.is_empty() => {
                    permit.send(self.message());
                }
                count = asked.recv_many(&mut self.gathered, QUEUE_DEPTH),
                    if self.gathered.is_empty() =>
                {
                    if count == 0 {
                        return;
                    }
                }
            }
        }
    }

    /// As many questions as share a message; the rest stays, in order.
    fn message(&mut self) -> AskRequest {
        let mut bytes = 0;
        let fits = self.gathered.iter().take_while(|asked| {
            let before = bytes;
            bytes += asked.question.body.len();
            before == 0 || bytes <= SHARED_BYTES_MAX
        });
        let fits = fits.count();
        if self.waiting.len() >= SWEEP_MIN.max(2 * fits) {
            self.waiting.retain(|_, answer| !answer.is_closed());
        }
        let taken = self.gathered.drain(..fits).filter(|asked| !asked.answer.is_closed());
        let questions = taken.map(|asked| {
            self.last_id += 1;
            self.waiting.insert(self.last_id, asked.answer);
            Question { id: self.last_id, ..asked.question }
        });
        AskRequest { cluster: String::new(), questions: questions.collect() }
    }

    fn complete(&mut self, message: AskResponse) {
        for answer in message.answers {
            // Not there: whoever asked has given up.
            if let Some(asker) = self.waiting.remove(&answer.id) {
                let _ = asker.send(answer.body);
            }
        }
    }
}

#[cfg(test)]
#[path = "peer_client_test.rs"]
mod tests;
