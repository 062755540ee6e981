//! The far end of a lane: takes requests off the stream, hands them to replicas, sends replies.
//!
//! Why requests of different groups do not wait for each other: each control request has a task,
//! each append pipeline has a session; only the bound on requests in service stops the reading.
//!
//! Invariants: replies are written as they come, several in a message; reading never waits for
//! writing; a request that is given up makes room like one that is answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::AppendEntriesResponse;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tonic::{Status, Streaming};
use vatic_proto::peer::v1::{
    Envelope, ExchangeRequest, ExchangeResponse, Kind, Reply, ReplyStatus,
};

use super::introduce::Join;
use super::receive;
use super::registry::Target;
use super::service::{FORMAT, Service};
use super::session::{Session, Step};
use crate::codec;
use crate::group::GroupHandle;
use crate::types::{Raft, RaftId};

/// Replies taken for one message at once.
const TAKE_MAX: usize = 256;

pub(crate) type Feed = mpsc::Sender<Result<ExchangeResponse, Status>>;

/// The result of a request, before it has its sequence number.
pub(crate) type Answer = Result<Bytes, ReplyStatus>;

/// A request's place among those in service. Dropped, answered or not, it makes room.
pub(crate) struct Ticket {
    sequence: u64,
    done: mpsc::Sender<Done>,
    /// Shared by the requests of one message.
    _room: Arc<OwnedSemaphorePermit>,
}

/// A reply that waits to be written; it keeps its place until then.
pub(crate) struct Done {
    reply: Reply,
    _room: Arc<OwnedSemaphorePermit>,
}

impl Ticket {
    pub(crate) async fn answer(self, answer: Answer) {
        let (done, finished) = self.finish(answer);
        // An error: the lane has ended, and nobody waits.
        let _ = done.send(finished).await;
    }

    fn finish(self, answer: Answer) -> (mpsc::Sender<Done>, Done) {
        let (status, body) = match answer {
            Ok(body) => (ReplyStatus::Ok, body),
            Err(status) => (status, Bytes::new()),
        };
        let reply = Reply { sequence: self.sequence, status: status.into(), body };
        (self.done, Done { reply, _room: self._room })
    }
}

pub(crate) async fn serve_lane(
    service: Service,
    peer: u32,
    mut inbound: Streaming<ExchangeRequest>,
    feed: Feed,
) {
    let room = Arc::new(Semaphore::new(service.limits.messages_in_service_max));
    let (done, mut finished) = mpsc::channel::<Done>(TAKE_MAX);
    let mut desk = Desk { service, peer, done, sessions: BTreeMap::new() };
    let mut replies: Vec<Done> = Vec::new();
    let mut place: Option<OwnedSemaphorePermit> = None;
    loop {
        tokio::select! {
            biased;
            permit = feed.reserve(), if !replies.is_empty() => match permit {
                Ok(permit) => permit.send(Ok(response(&mut replies))),
                Err(_) => return,
            },
            count = finished.recv_many(&mut replies, TAKE_MAX), if replies.is_empty() => {
                debug_assert!(count > 0, "the desk holds a sender");
                desk.lose_replies(&mut replies);
            },
            free = room.clone().acquire_owned(), if place.is_none() => {
                place = Some(free.expect("the semaphore is never closed"));
            },
            message = inbound.message(), if place.is_some() => match message {
                Ok(Some(message)) => {
                    desk.take(message, place.take().expect("the branch is guarded"));
                }
                Ok(None) | Err(_) => return,
            },
        }
    }
}

fn response(replies: &mut Vec<Done>) -> ExchangeResponse {
    let replies = replies.drain(..).map(|done| done.reply).collect();
    ExchangeResponse { format: FORMAT, replies }
}

/// What one lane's requests need.
struct Desk {
    service: Service,
    peer: u32,
    done: mpsc::Sender<Done>,
    /// Ordered, so that a lane's end ends them in the same order in every simulated run.
    sessions: BTreeMap<(u32, u64, u64), Session>,
}

impl Desk {
    /// Starts everything in the message.
    fn take(&mut self, message: ExchangeRequest, place: OwnedSemaphorePermit) {
        let known = message.format == FORMAT;
        let room = Arc::new(place);
        for envelope in message.envelopes {
            let ticket = Ticket {
                sequence: envelope.sequence,
                done: self.done.clone(),
                _room: room.clone(),
            };
            match known {
                true => self.start(envelope, ticket),
                false => refuse(ticket, ReplyStatus::BadBody),
            }
        }
    }

    fn start(&mut self, envelope: Envelope, ticket: Ticket) {
        let to = RaftId::from(envelope.to);
        // What it says of itself is noted for good: it speaks for its own node alone.
        if RaftId::from(envelope.from).node() != self.peer {
            return refuse(ticket, ReplyStatus::BadBody);
        }
        if to.generation() == 0 {
            return self.introduce(envelope, ticket);
        }
        let target = self.service.registry.find(envelope.group, to);
        let (Some(target), Ok(kind)) = (target, Kind::try_from(envelope.kind)) else {
            return refuse(ticket, ReplyStatus::UnknownReplica);
        };
        match kind {
            Kind::Unspecified | Kind::Probe | Kind::Join => refuse(ticket, ReplyStatus::BadBody),
            Kind::Append | Kind::SnapshotChunk | Kind::SnapshotInstall => {
                self.pass_on(target, kind, envelope, ticket);
            }
            Kind::Vote | Kind::PreVote | Kind::Heartbeat | Kind::TransferLeader | Kind::Greet => {
                tokio::spawn(async move {
                    let answer = control(&target, kind, &envelope).await;
                    ticket.answer(answer).await;
                });
            }
        }
    }

    /// What is asked of the node's replica, whichever generation it is of.
    fn introduce(&self, envelope: Envelope, ticket: Ticket) {
        let Some(handle) = self.service.registry.group(envelope.group) else {
            return refuse(ticket, ReplyStatus::UnknownReplica);
        };
        let from = RaftId::from(envelope.from);
        tokio::spawn(async move {
            let answer = match Kind::try_from(envelope.kind) {
                Ok(Kind::Probe) => Ok(codec::encode(&handle.known_of(from).await)),
                Ok(Kind::Join) => take_in(&handle, from, &envelope.body),
                _ => Err(ReplyStatus::BadBody),
            };
            ticket.answer(answer).await;
        });
    }

    /// A newer session takes the place of an older one; what is older than that is late.
    fn pass_on(&mut self, target: Arc<Target>, kind: Kind, envelope: Envelope, ticket: Ticket) {
        let key = (envelope.group, envelope.from, envelope.to);
        let from = RaftId::from(envelope.from);
        let current = self.sessions.get(&key).map(|session| session.id);
        if current.is_none_or(|id| id < envelope.session) {
            let session = match kind {
                Kind::Append => Session::append(envelope.session, target, from),
                _ => receive::session(envelope.session, target, from),
            };
            self.sessions.insert(key, session);
        }
        let session = &self.sessions[&key];
        let step = Step { kind, body: envelope.body, ticket };
        let refused = match session.id == envelope.session {
            true => session.offer(step).err(),
            false => Some(step),
        };
        if let Some(step) = refused {
            refuse(step.ticket, ReplyStatus::StaleSession);
        }
    }

    fn lose_replies(&self, replies: &mut Vec<Done>) {
        if self.service.faults.drops(self.service.node, self.peer) {
            replies.clear();
        }
    }
}

/// In a task: the queue of replies may be full, and the lane must go on.
fn refuse(ticket: Ticket, status: ReplyStatus) {
    tokio::spawn(ticket.answer(Err(status)));
}

fn take_in(handle: &GroupHandle, id: RaftId, body: &[u8]) -> Answer {
    let Join { address } = request(body)?;
    if is_gone(&handle.raft(), id) {
        return Err(ReplyStatus::Gone);
    }
    handle.take_in(id, address);
    Ok(Bytes::new())
}

async fn control(target: &Target, kind: Kind, envelope: &Envelope) -> Answer {
    let (raft, body) = (&target.raft, &envelope.body);
    let from = RaftId::from(envelope.from);
    match kind {
        Kind::Greet => Ok(Bytes::new()),
        Kind::Vote | Kind::PreVote if is_gone(raft, from) => Err(ReplyStatus::Gone),
        Kind::TransferLeader if !target.serving.is_up() => Err(ReplyStatus::Stopped),
        Kind::Vote => {
            target.meet(from).await?;
            respond(raft.vote(request(body)?).await)
        }
        Kind::PreVote => respond(raft.pre_vote(request(body)?).await),
        Kind::Heartbeat => {
            target.meet(from).await?;
            heartbeat(target, body).await
        }
        Kind::TransferLeader => respond(raft.handle_transfer_leader(request(body)?).await),
        _ => Err(ReplyStatus::BadBody),
    }
}

async fn heartbeat(target: &Target, body: &[u8]) -> Answer {
    let result = target.raft.append_entries(request(body)?).await;
    if result.as_ref().is_ok_and(|answer| !matches!(answer, AppendEntriesResponse::HigherVote(_))) {
        target.heard.note();
    }
    respond(result)
}

/// Whether the membership has a later replica of the same node. The later one exists only because
/// the earlier has ended, so whoever still speaks for that has an old disk.
fn is_gone(raft: &Raft, id: RaftId) -> bool {
    let server = raft.server_metrics();
    let members = server.borrow_watched().membership_config.clone();
    members.nodes().any(|(other, _)| other.node() == id.node() && *other > id)
}

pub(crate) fn request<T: DeserializeOwned>(body: &[u8]) -> Result<T, ReplyStatus> {
    codec::decode(body).map_err(|_| ReplyStatus::BadBody)
}

pub(crate) fn respond<T: Serialize, E>(result: Result<T, E>) -> Answer {
    result.map(|response| codec::encode(&response)).map_err(|_| ReplyStatus::Stopped)
}
