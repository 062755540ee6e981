//! A server that does what a script says, on a real socket, with receipts that verify.
//!
//! It keeps what it committed, so that tests can count effects: a run that doubled one would show.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};
use vatic_core::body::{Body, Participant};
use vatic_core::chain::{Seal, Segment, link};
use vatic_core::codec;
use vatic_core::finding::Finding;
use vatic_core::footprint::Footprint;
use vatic_core::hash::Hash;
use vatic_core::id::{GroupId, Tid, Timestamp};
use vatic_core::merkle::Path;
use vatic_core::receipt::{Proof, Receipt};
use vatic_core::strategy::Basis;
use vatic_proto::v1;
use vatic_proto::v1::transact_request::Frame;
use vatic_proto::v1::transact_response::Frame as Answer;
use vatic_proto::v1::transaction_service_server::{TransactionService, TransactionServiceServer};

const LINGER: Duration = Duration::from_millis(10);

/// What the server does with the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    Commit,
    /// Commits, and ends the stream a while after it has said so.
    CommitAndLinger,
    RollBack {
        retryable: bool,
    },
    /// Rolls back at the first transition, without waiting for the seal.
    RollBackEarly,
    /// Breaks the stream at the seal, having committed or not.
    Lose {
        committed: bool,
    },
    /// Breaks the stream at the seal, and has never heard of the transaction.
    LoseUnheard,
    /// Says nothing from the seal on, and commits nothing.
    Hang,
    /// Acknowledges another digest than that of what was sent.
    WrongAck,
    /// Commits with the receipt of another stream.
    WrongReceipt,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    script: VecDeque<Act>,
    pub(crate) begun: u64,
    /// How many streams the client ended as well; it resets the others.
    pub(crate) ended_whole: u64,
    pub(crate) commits: Vec<(Tid, Option<v1::RequestId>, v1::Outcome)>,
    /// Attempts that can no longer commit.
    dead: Vec<Tid>,
    /// Never answers GetOutcome.
    pub(crate) mute: bool,
    /// Answers GetOutcome with UNAVAILABLE this many times.
    pub(crate) deaf: u32,
}

#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) book: Arc<Mutex<Book>>,
    pub(crate) endpoint: String,
}

impl Fake {
    pub(crate) async fn start(script: &[Act]) -> Fake {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let book = Book { script: script.iter().copied().collect(), ..Book::default() };
        let fake = Fake { book: Arc::new(Mutex::new(book)), endpoint };
        let service = TransactionServiceServer::new(fake.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        fake
    }
}

type Answers = Pin<Box<dyn Stream<Item = Result<v1::TransactResponse, Status>> + Send>>;

#[tonic::async_trait]
impl TransactionService for Fake {
    type TransactStream = Answers;

    async fn transact(
        &self,
        request: Request<Streaming<v1::TransactRequest>>,
    ) -> Result<Response<Answers>, Status> {
        let (sender, receiver) = mpsc::channel(64);
        let act = {
            let mut book = self.book.lock().unwrap();
            book.begun += 1;
            book.script.pop_front().unwrap_or(Act::Commit)
        };
        let play = Play::new(self.book.clone(), act, sender);
        tokio::spawn(play.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let request = request.into_inner();
        if self.book.lock().unwrap().script.front() == Some(&Act::Hang) {
            return std::future::pending().await;
        }
        let mut book = self.book.lock().unwrap();
        let held = book.commits.iter().find(|(_, id, _)| *id == request.request_id);
        if let Some((.., outcome)) = held {
            let outcome = Some(v1::Outcome { replayed: true, ..outcome.clone() });
            return Ok(Response::new(v1::SubmitResponse { outcome }));
        }
        let act = book.script.pop_front().unwrap_or(Act::Commit);
        let deltas: Vec<Bytes> = request.transitions.iter().map(encoded).collect();
        book.begun += 1;
        let tid = tid(book.begun);
        let outcome = committed(tid, Hash([5; 32]), &deltas);
        if act != (Act::Lose { committed: false }) {
            book.commits.push((tid, request.request_id, outcome.clone()));
        }
        match act {
            Act::Lose { .. } => Err(Status::unavailable("connection reset")),
            _ => Ok(Response::new(v1::SubmitResponse { outcome: Some(outcome) })),
        }
    }

    async fn get_outcome(
        &self,
        request: Request<v1::GetOutcomeRequest>,
    ) -> Result<Response<v1::GetOutcomeResponse>, Status> {
        if self.book.lock().unwrap().mute {
            return std::future::pending().await;
        }
        let mut book = self.book.lock().unwrap();
        if book.deaf > 0 {
            book.deaf -= 1;
            return Err(Status::unavailable("deaf"));
        }
        let found = match request.into_inner().by.unwrap() {
            v1::get_outcome_request::By::TransactionId(bytes) => {
                let tid = Tid::from_bytes(&bytes).unwrap();
                let dead = book.dead.contains(&tid).then(|| rolled_back(tid, true));
                book.commits.iter().find(|(of, ..)| *of == tid).map(|(.., o)| o.clone()).or(dead)
            }
            v1::get_outcome_request::By::RequestId(id) => {
                let held = book.commits.iter().find(|(_, of, _)| of.as_ref() == Some(&id));
                held.map(|(.., outcome)| outcome.clone())
            }
        };
        let unknown =
            || v1::Outcome { state: v1::outcome::State::Unknown.into(), ..v1::Outcome::default() };
        let outcome = Some(found.unwrap_or_else(unknown));
        Ok(Response::new(v1::GetOutcomeResponse { outcome }))
    }
}

/// One attempt as the server plays it.
struct Play {
    book: Arc<Mutex<Book>>,
    act: Act,
    sender: mpsc::Sender<Result<v1::TransactResponse, Status>>,
    tid: Tid,
    seed: Hash,
    head: Hash,
    deltas: Vec<Bytes>,
    request: Option<v1::RequestId>,
}

impl Play {
    fn new(
        book: Arc<Mutex<Book>>,
        act: Act,
        sender: mpsc::Sender<Result<v1::TransactResponse, Status>>,
    ) -> Self {
        let tid = tid(book.lock().unwrap().begun);
        let seed = Hash([tid.nonce as u8; 32]);
        Play { book, act, sender, tid, seed, head: seed, deltas: vec![], request: None }
    }

    async fn run(mut self, mut frames: Streaming<v1::TransactRequest>) {
        while let Ok(Some(request)) = frames.message().await {
            if !self.take(request.frame.unwrap()).await {
                break;
            }
        }
        if self.act == Act::CommitAndLinger {
            tokio::time::sleep(LINGER).await;
        }
        drop(self.sender);
        let rest = loop {
            match frames.message().await {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        if rest.is_ok() {
            self.book.lock().unwrap().ended_whole += 1;
        }
    }

    /// False where the stream is over.
    async fn take(&mut self, frame: Frame) -> bool {
        match frame {
            Frame::Begin(begin) => {
                self.request = begin.request_id;
                let transaction_id = Bytes::copy_from_slice(&self.tid.to_bytes());
                let seed = Bytes::copy_from_slice(&self.seed.0);
                self.say(Answer::Begun(v1::BegunFrame { transaction_id, seed, route: None })).await;
            }
            Frame::Read(read) => {
                let result = v1::RecordRead { key: read.key, ..v1::RecordRead::default() };
                let read_id = read.read_id;
                let result = v1::ReadResultFrame { read_id, read: Some(result) };
                self.say(Answer::ReadResult(result)).await;
            }
            Frame::Transition(transition) => return self.take_transition(transition).await,
            Frame::Commit(commit) => {
                assert_eq!(commit.count, self.deltas.len() as u64);
                assert_eq!(commit.head.as_deref(), Some(self.head.0.as_slice()));
                self.seal().await;
                return false;
            }
            Frame::Abort(_) => {
                self.end(rolled_back(self.tid, false)).await;
                return false;
            }
            Frame::Scan(_) => unreachable!("no test scans here"),
        }
        true
    }

    async fn take_transition(&mut self, transition: v1::Transition) -> bool {
        if self.act == Act::RollBackEarly {
            self.end(rolled_back(self.tid, true)).await;
            return false;
        }
        let delta = encoded(&transition);
        self.head = link(&self.head, transition.seq, &delta);
        self.deltas.push(delta);
        let digest = if self.act == Act::WrongAck { Hash::ZERO } else { self.head };
        let digest = Bytes::copy_from_slice(&digest.0);
        self.say(Answer::Ack(v1::AckFrame { seq: transition.seq, digest })).await;
        true
    }

    async fn seal(&mut self) {
        let commit = committed(self.tid, self.seed, &self.deltas);
        match self.act {
            Act::Commit | Act::CommitAndLinger | Act::WrongAck => {
                if let Some(held) = self.held() {
                    return self.end(v1::Outcome { replayed: true, ..held }).await;
                }
                self.keep(&commit);
                self.end(commit).await;
            }
            Act::LoseUnheard => {
                let _ = self.sender.send(Err(Status::unavailable("connection reset"))).await;
            }
            Act::WrongReceipt => {
                let mut other = committed(self.tid, self.seed, &[]);
                other.transaction_id = commit.transaction_id;
                self.end(other).await;
            }
            Act::Lose { committed } => {
                if committed {
                    self.keep(&commit);
                } else {
                    self.book.lock().unwrap().dead.push(self.tid);
                }
                let _ = self.sender.send(Err(Status::unavailable("connection reset"))).await;
            }
            Act::RollBack { retryable } => self.end(rolled_back(self.tid, retryable)).await,
            Act::Hang => std::future::pending().await,
            Act::RollBackEarly => unreachable!("it ended at the first transition"),
        }
    }

    /// The outcome of an earlier attempt at the same request.
    fn held(&self) -> Option<v1::Outcome> {
        let book = self.book.lock().unwrap();
        let mut commits = book.commits.iter();
        let held = commits.find(|(_, id, _)| id.is_some() && *id == self.request);
        held.map(|(.., outcome)| outcome.clone())
    }

    fn keep(&self, outcome: &v1::Outcome) {
        let kept = (self.tid, self.request.clone(), outcome.clone());
        self.book.lock().unwrap().commits.push(kept);
    }

    async fn end(&self, outcome: v1::Outcome) {
        self.say(Answer::Outcome(v1::OutcomeFrame { outcome: Some(outcome) })).await;
    }

    async fn say(&self, answer: Answer) {
        let response = v1::TransactResponse { frame: Some(answer) };
        let _ = self.sender.send(Ok(response)).await;
    }
}

fn tid(nonce: u64) -> Tid {
    Tid { mint: Timestamp(1), home: GroupId(1), nonce }
}

fn encoded(transition: &v1::Transition) -> Bytes {
    match transition.body.clone() {
        Some(v1::transition::Body::Encoded(bytes)) => bytes,
        other => panic!("encoded bytes were expected, not {other:?}"),
    }
}

fn rolled_back(tid: Tid, retryable: bool) -> v1::Outcome {
    let cause = v1::RollbackCause::StaleRead.into();
    v1::Outcome {
        state: v1::outcome::State::RolledBack.into(),
        transaction_id: Bytes::copy_from_slice(&tid.to_bytes()),
        rollback: Some(v1::Rollback { cause, retryable, ..v1::Rollback::default() }),
        ..v1::Outcome::default()
    }
}

fn committed(tid: Tid, seed: Hash, deltas: &[Bytes]) -> v1::Outcome {
    let receipt = receipt(tid, seed, deltas);
    let wire = v1::Receipt {
        encoded: codec::encode(&receipt).into(),
        participants: vec![1],
        ..v1::Receipt::default()
    };
    v1::Outcome {
        state: v1::outcome::State::Committed.into(),
        transaction_id: Bytes::copy_from_slice(&tid.to_bytes()),
        commit_version: receipt.ts.0,
        receipt: Some(wire),
        ..v1::Outcome::default()
    }
}

fn receipt(tid: Tid, seed: Hash, deltas: &[Bytes]) -> Receipt {
    let count = deltas.len() as u64;
    let head = (1..).zip(deltas).fold(seed, |digest, (seq, delta)| link(&digest, seq, delta));
    let group = GroupId(1);
    let segment = Segment { group, first: 1, last: count, before: seed, after: head };
    let participant = Participant { group, part: Hash::ZERO, footprint: Footprint::default() };
    let body = Body {
        tid,
        seal: Seal { seed, count, head },
        segments: if count == 0 { vec![] } else { vec![segment] },
        participants: vec![participant],
        claim: None,
        finding: Finding::Nothing,
        basis: Basis::Reads,
    };
    let proof = Proof {
        group,
        index: 4,
        ts: Timestamp(77),
        images: Hash::ZERO,
        command: Hash::ZERO,
        path: Path { index: 0, count: 1, siblings: vec![] },
        before: Hash::ZERO,
    };
    Receipt::new(body, Timestamp(77), vec![proof])
}
