//! One pipeline stream to one node: gathers operations into messages, hands answers out.
//!
//! Why a task: what many callers ask while a message is on its way goes into the next one, so the
//! messages are as large as the callers are many, without a timer.
//!
//! Invariants: an id is used once on a stream; every operation ends: answered, or failed with its
//! stream, and then it is said whether it was sent. One task reads and writes, so that it never
//! waits for room to write without reading.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use vatic_proto::v1::operation::Call;
use vatic_proto::v1::pipeline_service_client::PipelineServiceClient;
use vatic_proto::v1::{Operation, OperationResult, PipelineRequest, PipelineResponse};

use crate::client::Client;
use crate::error::ClientError;
use crate::pool::Node;

/// Messages that may wait for the connection's flow control; more would only be smaller.
const FEED_DEPTH: usize = 2;
/// Operations in one message.
const TAKE_MAX: usize = 512;

type Answer = oneshot::Sender<Result<OperationResult, ClientError>>;

struct Asked {
    operation: Operation,
    answer: Answer,
}

/// The near end of a stream. It opens when first used, and again after it broke.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Asked>,
    node: Node,
}

impl Lane {
    pub(crate) fn new(client: Client, node: Node) -> Lane {
        let (queue, asked) = mpsc::channel(client.limits().operations_in_flight_max);
        tokio::spawn(Far { client, node: node.clone(), asked }.run());
        Lane { queue, node }
    }

    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Asks once; bounded by the deadline of a call.
    pub(crate) async fn ask(
        &self,
        call: Call,
        what: &'static str,
        limit: Duration,
    ) -> Result<OperationResult, ClientError> {
        let (answer, answered) = oneshot::channel();
        let limit_ms = limit.as_millis() as u64;
        let deadline_ms = u32::try_from(limit_ms).unwrap_or(u32::MAX);
        let operation = Operation { id: 0, deadline_ms, call: Some(call) };
        let asking = async {
            let asked = Asked { operation, answer };
            self.queue.send(asked).await.map_err(|_| lost(&self.node, false))?;
            answered.await.unwrap_or_else(|_| Err(lost(&self.node, true)))
        };
        let result = timeout(limit, asking).await;
        result.unwrap_or(Err(ClientError::Deadline { what, limit_ms }))
    }
}

struct Far {
    client: Client,
    node: Node,
    asked: mpsc::Receiver<Asked>,
}

struct Stream {
    feed: mpsc::Sender<PipelineRequest>,
    answers: Streaming<PipelineResponse>,
}

impl Far {
    /// Until the near ends are gone.
    async fn run(mut self) {
        while let Some(first) = self.asked.recv().await {
            match self.open().await {
                Ok(stream) => {
                    let mut exchange = Exchange::new(&self.node, first);
                    let error = exchange.run(stream, &mut self.asked).await;
                    exchange.fail(&error);
                }
                Err(error) => self.refuse(first, &error),
            }
        }
    }

    async fn open(&self) -> Result<Stream, ClientError> {
        let limits = self.client.limits();
        let (feed, messages) = mpsc::channel(FEED_DEPTH);
        let mut request = tonic::Request::new(ReceiverStream::new(messages));
        self.client.sign(&mut request);
        let mut service = PipelineServiceClient::new(self.node.channel.clone())
            .max_decoding_message_size(limits.message_bytes_max)
            .max_encoding_message_size(limits.message_bytes_max);
        let opening = service.pipeline(request);
        let end = self.client.operation_end();
        let answers = self.client.ask_once("Pipeline", &self.node, end, opening).await?;
        Ok(Stream { feed, answers })
    }

    /// Nothing was sent: everything that waits fails alike.
    fn refuse(&mut self, first: Asked, error: &ClientError) {
        let error = unsent(error);
        let _ = first.answer.send(Err(error.clone()));
        while let Ok(asked) = self.asked.try_recv() {
            let _ = asked.answer.send(Err(error.clone()));
        }
    }
}

/// What happens on one stream.
struct Exchange<'a> {
    node: &'a Node,
    last_id: u64,
    waiting: HashMap<u64, Answer>,
    gathered: Vec<Asked>,
}

impl<'a> Exchange<'a> {
    fn new(node: &'a Node, first: Asked) -> Self {
        Exchange { node, last_id: 0, waiting: HashMap::new(), gathered: vec![first] }
    }

    /// Runs until the stream ends, and says how.
    async fn run(&mut self, stream: Stream, asked: &mut mpsc::Receiver<Asked>) -> ClientError {
        let Stream { feed, mut answers } = stream;
        loop {
            tokio::select! {
                biased;
                message = answers.message() => match message {
                    Ok(Some(message)) => self.complete(message),
                    Ok(None) => return lost(self.node, true),
                    Err(status) => return ClientError::from_status(status, &self.node.endpoint),
                },
                count = asked.recv_many(&mut self.gathered, TAKE_MAX),
                    if self.gathered.is_empty() =>
                {
                    if count == 0 {
                        // The near ends are gone, and with them all who could wait.
                        return lost(self.node, true);
                    }
                    // Whoever is about to ask gets into the same message.
                    yield_now().await;
                    while self.gathered.len() < TAKE_MAX
                        && let Ok(more) = asked.try_recv()
                    {
                        self.gathered.push(more);
                    }
                }
                Ok(permit) = feed.reserve(), if !self.gathered.is_empty() => {
                    permit.send(self.message());
                }
            }
        }
    }

    fn message(&mut self) -> PipelineRequest {
        let asked = self.gathered.drain(..).filter(|asked| !asked.answer.is_closed());
        let operations = asked.map(|asked| {
            self.last_id += 1;
            self.waiting.insert(self.last_id, asked.answer);
            Operation { id: self.last_id, ..asked.operation }
        });
        PipelineRequest { operations: operations.collect() }
    }

    fn complete(&mut self, message: PipelineResponse) {
        for result in message.results {
            // Not there: who asked has given up, and the answer is nobody's.
            if let Some(answer) = self.waiting.remove(&result.id) {
                let _ = answer.send(Ok(result));
            }
        }
    }

    fn fail(self, error: &ClientError) {
        let unsent = unsent(error);
        for asked in self.gathered {
            let _ = asked.answer.send(Err(unsent.clone()));
        }
        for answer in self.waiting.into_values() {
            let _ = answer.send(Err(lost(self.node, true)));
        }
    }
}

fn lost(node: &Node, sent: bool) -> ClientError {
    let message = "the pipeline broke".to_owned();
    ClientError::Unreachable { endpoint: node.endpoint.to_string(), message, sent }
}

/// The same failure for an operation that was never sent.
fn unsent(error: &ClientError) -> ClientError {
    match error {
        ClientError::Unreachable { endpoint, message, .. } => ClientError::Unreachable {
            endpoint: endpoint.clone(),
            message: message.clone(),
            sent: false,
        },
        // By a proxy, say: of what was sent it might have passed something on.
        ClientError::Refused(refusal) if refusal.reason.is_empty() => ClientError::Unreachable {
            endpoint: refusal.endpoint.clone(),
            message: refusal.to_string(),
            sent: false,
        },
        ClientError::Deadline { what, limit_ms } => ClientError::Unreachable {
            endpoint: String::new(),
            message: format!("{what} took longer than {limit_ms} ms to open"),
            sent: false,
        },
        other => other.clone(),
    }
}
