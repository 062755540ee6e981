//! The wire of one streamed transaction: frames out, frames in, one deadline over both.
//!
//! Why sending also listens: the server acknowledges while it reads. If it could not get rid of its
//! acknowledgements it would stop reading, and both ends would wait for each other. So whoever
//! waits for room takes what has arrived meanwhile.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use vatic_proto::v1;
use vatic_proto::v1::transact_request::Frame;
use vatic_proto::v1::transact_response::Frame as Answer;

use crate::client::Client;
use crate::error::ClientError;
use crate::pool::Node;

/// How long the end of a stream is waited for behind its outcome.
const END_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) node: Node,
    /// Not set behind the outcome: the request is over.
    frames: Option<mpsc::Sender<v1::TransactRequest>>,
    /// Likewise: who reads on is a task of its own.
    answers: Option<Streaming<v1::TransactResponse>>,
    end: Instant,
    limit_ms: u64,
}

impl Wire {
    /// Opens the stream with its first frame. `end` bounds everything on it.
    pub(crate) async fn open(
        client: &Client,
        node: Node,
        mut begin: v1::BeginFrame,
        end: Instant,
    ) -> Result<Wire, ClientError> {
        let limits = client.limits();
        let end = end.min(Instant::now() + Duration::from_millis(limits.stream_ms));
        let left_ms = end.saturating_duration_since(Instant::now()).as_millis();
        begin.deadline_ms = u32::try_from(left_ms.max(1)).unwrap_or(u32::MAX);

        let (frames, queue) = mpsc::channel(limits.frames_in_flight_max.max(1));
        let begin = v1::TransactRequest { frame: Some(Frame::Begin(begin)) };
        frames.try_send(begin).expect("a new channel has room for one frame");
        let mut request = tonic::Request::new(ReceiverStream::new(queue));
        client.sign(&mut request);
        let mut service = client.transactions(&node);
        let answers = client.ask_once("Transact", &node, end, service.transact(request)).await?;
        Ok(Wire {
            node,
            frames: Some(frames),
            answers: Some(answers),
            end,
            limit_ms: limits.stream_ms,
        })
    }

    /// Sends the frame, and empties `frame`; or, where there is no room, answers what arrived.
    pub(crate) async fn push(
        &mut self,
        frame: &mut Option<Frame>,
    ) -> Result<Option<Answer>, ClientError> {
        let (Some(frames), Some(answers)) = (&self.frames, &mut self.answers) else {
            return Err(self.over());
        };
        let arrived = tokio::select! {
            biased;
            permit = frames.reserve() => match permit {
                Ok(permit) => {
                    permit.send(v1::TransactRequest { frame: frame.take() });
                    return Ok(None);
                }
                // The server closed its side: what it says next tells why.
                Err(_) => None,
            },
            arrived = answers.message() => Some(arrived),
            () = sleep_until(self.end) => return Err(self.late()),
        };
        match arrived {
            Some(arrived) => self.read(arrived).map(Some),
            None => self.next().await.map(Some),
        }
    }

    /// The next frame of the server.
    pub(crate) async fn next(&mut self) -> Result<Answer, ClientError> {
        let Some(answers) = &mut self.answers else { return Err(self.over()) };
        match timeout_at(self.end, answers.message()).await {
            Ok(arrived) => self.read(arrived),
            Err(_) => Err(self.late()),
        }
    }

    /// The same, waited for until a moment: `None` where nothing comes by then.
    pub(crate) async fn next_until(
        &mut self,
        until: Instant,
    ) -> Result<Option<Answer>, ClientError> {
        let Some(answers) = &mut self.answers else { return Err(self.over()) };
        match timeout_at(until.min(self.end), answers.message()).await {
            Ok(arrived) => self.read(arrived).map(Some),
            Err(_) if until < self.end => Ok(None),
            Err(_) => Err(self.late()),
        }
    }

    fn read(
        &mut self,
        arrived: Result<Option<v1::TransactResponse>, Status>,
    ) -> Result<Answer, ClientError> {
        match arrived {
            Ok(Some(response)) => {
                let frame = response.frame;
                if matches!(frame, Some(Answer::Outcome(_))) {
                    self.read_to_the_end();
                }
                frame.ok_or_else(|| self.node.broke("a frame without content"))
            }
            Ok(None) => Err(self.over()),
            Err(status) => Err(ClientError::from_status(status, &self.node.endpoint)),
        }
    }

    /// Ends the stream whole, behind its outcome. One that is dropped before its trailers is reset,
    /// and HTTP/2 gives up a connection on which frames of many reset streams arrived
    /// (`http2_max_local_error_reset_streams` of tonic's `Endpoint`, 1,024), with all that runs on
    /// it.
    fn read_to_the_end(&mut self) {
        self.frames = None;
        let Some(mut answers) = self.answers.take() else { return };
        tokio::spawn(async move {
            let rest = async { while let Ok(Some(_)) = answers.message().await {} };
            let _ = timeout(END_WAIT, rest).await;
        });
    }

    fn over(&self) -> ClientError {
        ClientError::Unreachable {
            endpoint: self.node.endpoint.to_string(),
            message: "the stream ended without an outcome".to_owned(),
            sent: true,
        }
    }

    fn late(&self) -> ClientError {
        ClientError::Deadline { what: "Transact", limit_ms: self.limit_ms }
    }
}
