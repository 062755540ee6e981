//! Raw gRPC: for what a well-behaved client never sends, and to see answers as they come.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;
use vatic_core::receipt::Receipt;
use vatic_proto::v1::{
    self, record_service_client::RecordServiceClient, transact_request::Frame,
    transact_response::Frame as Answer, transaction_service_client::TransactionServiceClient,
};

/// Longest wait for one frame.
const FRAME_MAX: Duration = Duration::from_secs(20);
/// Frames on their way to the socket.
const FRAMES: usize = 64;
/// Above what a node lets through, so that it is the node that refuses.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// The transaction service on a connection.
pub fn transactions(channel: Channel) -> TransactionServiceClient<Channel> {
    TransactionServiceClient::new(channel).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// The record service on a connection.
pub fn records(channel: Channel) -> RecordServiceClient<Channel> {
    RecordServiceClient::new(channel).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// An error as its `google.rpc.ErrorInfo` tells it.
#[derive(Debug)]
pub struct Refused {
    /// The gRPC code.
    pub code: Code,
    /// `ErrorInfo.reason`.
    pub reason: String,
    /// `ErrorInfo.metadata`.
    pub metadata: HashMap<String, String>,
}

/// Takes an error apart; panics where it has no ErrorInfo of ours.
pub fn refused(status: &Status) -> Refused {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("an error without ErrorInfo: {status:?}"));
    assert_eq!(info.domain, vatic_proto::reason::DOMAIN, "{status:?}");
    assert!(!status.message().is_empty(), "{status:?}");
    Refused { code: status.code(), reason: info.reason, metadata: info.metadata }
}

/// A `Transact` stream, frame by frame.
#[derive(Debug)]
pub struct Stream {
    frames: mpsc::Sender<v1::TransactRequest>,
    answers: Streaming<v1::TransactResponse>,
    seq: u64,
    id: u64,
    frame_max: Duration,
}

impl Stream {
    /// Opens a stream and begins a transaction with the server's defaults.
    pub async fn begin(channel: Channel) -> Stream {
        let stream = Stream::open(channel).await;
        stream.send(Frame::Begin(v1::BeginFrame::default())).await;
        stream
    }

    /// Opens a stream and sends nothing.
    pub async fn open(channel: Channel) -> Stream {
        let (frames, sent) = mpsc::channel(FRAMES);
        let mut service = transactions(channel);
        let opened = service.transact(ReceiverStream::new(sent));
        let answers = timeout(FRAME_MAX, opened).await.expect("a stream opens in time");
        let answers = answers.expect("a stream opens").into_inner();
        Stream { frames, answers, seq: 0, id: 0, frame_max: FRAME_MAX }
    }

    /// Waits longer for each frame: what is asked for is large.
    pub fn be_patient(&mut self, frame_max: Duration) {
        self.frame_max = frame_max;
    }

    /// Sends a frame as it is. A stream that has ended takes no more, which its answers tell.
    pub async fn send(&self, frame: Frame) {
        let _ = self.frames.send(v1::TransactRequest { frame: Some(frame) }).await;
    }

    /// Sends a message that holds no frame.
    pub async fn send_nothing(&self) {
        let _ = self.frames.send(v1::TransactRequest { frame: None }).await;
    }

    /// Sends no more, and goes on listening.
    pub fn close(&mut self) {
        self.frames = mpsc::channel(FRAMES).0;
    }

    /// The next answer, or the error that ends the stream; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Answer>, Status> {
        let answer = timeout(self.frame_max, self.answers.message()).await;
        let answer = answer.expect("a frame comes in time")?;
        Ok(answer.map(|answer| answer.frame.expect("a frame is of some kind")))
    }

    /// The next answer that is of interest.
    pub async fn find<T>(&mut self, wanted: impl Fn(&Answer) -> Option<T>) -> Result<T, Status> {
        loop {
            let answer = self.next().await?;
            let answer = answer.expect("the stream does not end before the answer");
            if let Some(found) = wanted(&answer) {
                return Ok(found);
            }
            if let Answer::Outcome(ended) = answer {
                panic!("the transaction ended meanwhile: {ended:?}");
            }
        }
    }

    /// Reads a record.
    pub async fn read(&mut self, key: &v1::Key) -> v1::RecordRead {
        self.id += 1;
        let read_id = self.id;
        self.send(Frame::Read(v1::ReadFrame { read_id, key: Some(key.clone()) })).await;
        let result = self.find(|answer| match answer {
            Answer::ReadResult(result) if result.read_id == read_id => result.read.clone(),
            _ => None,
        });
        result.await.expect("a read is answered")
    }

    /// Scans a range.
    pub async fn scan(&mut self, range: v1::ScanRange) -> Vec<v1::Record> {
        self.id += 1;
        let scan_id = self.id;
        self.send(Frame::Scan(v1::ScanFrame { scan_id, range: Some(range) })).await;
        let mut records = Vec::new();
        loop {
            let chunk = self.find(|answer| match answer {
                Answer::ScanChunk(chunk) if chunk.scan_id == scan_id => Some(chunk.clone()),
                _ => None,
            });
            let chunk = chunk.await.expect("a scan is answered");
            records.extend(chunk.records);
            if chunk.end {
                return records;
            }
        }
    }

    /// Sends a transition without waiting.
    pub async fn write(&mut self, delta: v1::Delta) {
        self.seq += 1;
        self.send(Frame::Transition(crate::values::transition(self.seq, delta))).await;
    }

    /// The same of the core's bytes, as they are.
    pub async fn write_encoded(&mut self, delta: Vec<u8>) {
        self.seq += 1;
        let body = v1::transition::Body::Encoded(delta.into());
        let transition = v1::Transition { seq: self.seq, body: Some(body), digest: None };
        self.send(Frame::Transition(transition)).await;
    }

    /// Waits until everything sent was acknowledged.
    pub async fn acknowledged(&mut self) {
        self.try_acknowledged().await.expect("a transition is acknowledged");
    }

    /// The same where the stream may be ended instead.
    pub async fn try_acknowledged(&mut self) -> Result<(), Status> {
        let last = self.seq;
        let ack = self.find(|answer| match answer {
            Answer::Ack(ack) if ack.seq == last => Some(()),
            _ => None,
        });
        ack.await
    }

    /// Waits for `begun` and answers the transaction's id.
    pub async fn id(&mut self) -> prost::bytes::Bytes {
        let begun = self.find(|answer| match answer {
            Answer::Begun(begun) => Some(begun.transaction_id.clone()),
            _ => None,
        });
        begun.await.expect("a transaction begins")
    }

    /// Seals the stream, without waiting.
    pub async fn seal(&self) {
        self.send(Frame::Commit(v1::CommitFrame { count: self.seq, head: None })).await;
    }

    /// Seals the stream and waits for its outcome.
    pub async fn commit(mut self) -> v1::Outcome {
        self.seal().await;
        self.outcome().await.expect("a sealed stream has an outcome")
    }

    /// The outcome, then the end of the stream; or the error that ends it.
    pub async fn outcome(&mut self) -> Result<v1::Outcome, Status> {
        let outcome = self.find(|answer| match answer {
            Answer::Outcome(ended) => ended.outcome.clone(),
            _ => None,
        });
        let outcome = outcome.await?;
        assert!(self.next().await?.is_none(), "nothing follows an outcome");
        Ok(outcome)
    }

    /// The error that ends the stream.
    pub async fn error(&mut self) -> Status {
        loop {
            match self.next().await {
                Err(status) => return status,
                Ok(Some(Answer::Outcome(ended))) => panic!("an outcome, not an error: {ended:?}"),
                Ok(Some(_)) => {}
                Ok(None) => panic!("the stream ended without an error"),
            }
        }
    }
}

/// The rollback in an outcome; panics where there is none.
pub fn rollback(outcome: &v1::Outcome) -> &v1::Rollback {
    assert_eq!(outcome.state(), v1::outcome::State::RolledBack, "{outcome:?}");
    let rollback = outcome.rollback.as_ref().expect("a rollback says why");
    assert!(!rollback.message.is_empty(), "{rollback:?}");
    rollback
}

/// What a receipt proves, apart from who has signed it by now.
pub fn proofs(outcome: &v1::Outcome) -> Receipt {
    let receipt = outcome.receipt.as_ref().expect("a commit has a receipt");
    let receipt = Receipt::from_bytes(&receipt.encoded).expect("a receipt can be read");
    Receipt { endorsements: Vec::new(), ..receipt }
}

/// The version of a commit; panics where it was rolled back.
pub fn committed(outcome: &v1::Outcome) -> u64 {
    assert_eq!(outcome.state(), v1::outcome::State::Committed, "{outcome:?}");
    assert!(outcome.commit_version > 0 && outcome.receipt.is_some(), "{outcome:?}");
    outcome.commit_version
}
