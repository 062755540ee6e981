//! The queue as clients see it.

use super::LOOK_AGAIN_MS;
use crate::{
    api::{self, Gateway, Memory},
    convert, load, outcome,
    peer::Origin,
    status::ApiError,
    time,
};
use std::time::Duration;
use tokio::time::Instant;
use tonic::{Request, Response, Status};
use vatic_core::{
    codec,
    delta::{Delta, Op},
    hash::{Hash, Hasher},
    key::Key,
    read::Record,
    request::RequestId,
    rules::Rules,
    ticket::{self, Entry, Resolved, Ticket},
};
use vatic_proto::v1::{self, TicketState, outcome::State, queue_service_server::QueueService};

#[tonic::async_trait]
impl QueueService for Gateway {
    async fn enqueue(
        &self,
        request: Request<v1::EnqueueRequest>,
    ) -> Result<Response<v1::EnqueueResponse>, Status> {
        let _admitted = self.admit()?;
        let principal = api::principal(request.metadata())?;
        let ends = self.deadline(&request);
        let ticket = self.take_ticket(request.into_inner(), principal, ends).await?;
        Ok(Response::new(v1::EnqueueResponse { ticket: ticket.to_string() }))
    }

    async fn get_ticket(
        &self,
        request: Request<v1::GetTicketRequest>,
    ) -> Result<Response<v1::GetTicketResponse>, Status> {
        let deadline = self.deadline(&request);
        let v1::GetTicketRequest { ticket, wait_ms } = request.into_inner();
        let ticket = named(&ticket)?;
        let waits = time::deadline_in(u64::from(wait_ms)).min(deadline);
        loop {
            let found = self.ticket(&ticket, deadline).await?;
            if found.state() != TicketState::Queued || Instant::now() >= waits {
                return Ok(Response::new(found));
            }
            tokio::time::sleep(Duration::from_millis(LOOK_AGAIN_MS)).await;
        }
    }

    async fn cancel_ticket(
        &self,
        request: Request<v1::CancelTicketRequest>,
    ) -> Result<Response<v1::CancelTicketResponse>, Status> {
        let deadline = self.deadline(&request);
        let ticket = named(&request.into_inner().ticket)?;
        loop {
            let queued = self.read_one(ticket.queued_key(), deadline).await?;
            if queued.fields.is_none() {
                let state = self.ticket(&ticket, deadline).await?.state;
                return Ok(Response::new(v1::CancelTicketResponse { state }));
            }
            let cancelled = Resolved::Cancelled;
            let deltas = ticket.resolving(queued.version, &[], &cancelled, Rules::default());
            // Refused: its dispatcher was faster, or is at it. The next look tells.
            let outcome = self.transact(deltas, Origin::default(), deadline).await?;
            let cancelled = outcome.state() == State::Committed;
            self.cluster.ticket_counters.cancelled.inc_by(cancelled.into());
            if Instant::now() >= deadline {
                let deadline_ms = self.cluster.config.limits.call_deadline_ms;
                return Err(ApiError::Deadline { deadline_ms }.into());
            }
        }
    }

    async fn queue_status(
        &self,
        request: Request<v1::QueueStatusRequest>,
    ) -> Result<Response<v1::QueueStatusResponse>, Status> {
        let deadline = self.deadline(&request);
        let ring = self.cluster.ring().ok_or(ApiError::NotReady)?;
        let asked = ring.spec().groups.iter().map(|&group| async move {
            let count = self.count_tickets(group, deadline).await?;
            let queued = u32::try_from(count).unwrap_or(u32::MAX);
            Ok::<_, ApiError>(v1::GroupQueue { group: group.0, queued })
        });
        let groups = futures::future::try_join_all(asked).await?;
        let control = self.read_one(ticket::control_key(), deadline).await?;
        let paused = ticket::is_paused(control.fields.as_ref());
        Ok(Response::new(v1::QueueStatusResponse { paused, groups }))
    }

    async fn pause_queue(
        &self,
        request: Request<v1::PauseQueueRequest>,
    ) -> Result<Response<v1::PauseQueueResponse>, Status> {
        let deadline = self.deadline(&request);
        let paused = request.into_inner().paused;
        let op = Op::Put(ticket::control_fields(paused));
        let delta = codec::encode(&Delta { key: ticket::control_key(), op });
        let outcome = self.transact(vec![delta], Origin::default(), deadline).await?;
        match outcome.state() {
            State::Committed => Ok(Response::new(v1::PauseQueueResponse {})),
            _ => Err(ApiError::RolledBack(Box::new(outcome)).into()),
        }
    }
}

impl Gateway {
    async fn take_ticket(
        &self,
        request: v1::EnqueueRequest,
        principal: String,
        ends: Instant,
    ) -> Result<Ticket, ApiError> {
        let v1::EnqueueRequest { transitions, priority, request_id } = request;
        let priority = load::class(priority)?;
        let entering = self.arrive(priority.into(), &principal)?;
        let place = self.entered(entering, ends).await?;
        let deltas = self.checked(transitions)?;
        let ahead = self.clock_ahead_max_ms();
        let owner = principal.clone();
        let request =
            request_id.map(|request| convert::request_id(request, owner, ahead)).transpose()?;
        let ring = self.cluster.ring().ok_or(ApiError::NotReady)?;
        let first: Delta = codec::decode(&deltas[0]).expect("it was checked");
        let home = ring.group_of(&first.key.partition).ok_or(ApiError::NotReady)?;
        self.take_room(home, ends).await?;
        let (mint, nonce) = match &request {
            Some(request) => (request.mint, told_apart(request)),
            None => (time::now(), rand::random()),
        };
        let ticket = Ticket::new(ticket::partition_of(&ring, home), mint, nonce);
        let mut draft = self.draft(None)?;
        draft.touch(&ticket.queued_key())?;
        if let Some(request) = request {
            draft.claim(request, content(priority, &deltas))?;
        }
        let entry = Entry { deltas, priority, principal };
        let put = Delta { key: ticket.queued_key(), op: Op::Put(entry.fields()) };
        draft.push(codec::encode(&put), None, None)?;
        let finished = outcome::finish(&self.cluster, draft, None, Origin::default(), ends).await;
        place.end(outcome::by_conflict(&finished));
        let outcome = finished?;
        match outcome.state() {
            State::Committed => {
                self.cluster.ticket_counters.enqueued.inc_by((!outcome.replayed).into());
                Ok(ticket)
            }
            _ => Err(ApiError::RolledBack(Box::new(outcome))),
        }
    }

    /// The deltas of a transaction, each of which the core would take.
    fn checked(&self, transitions: Vec<v1::Transition>) -> Result<Vec<Vec<u8>>, ApiError> {
        let mut memory = Memory::new(&self.cluster);
        let mut draft = self.draft(None)?;
        let mut deltas = Vec::with_capacity(transitions.len());
        for transition in transitions {
            let seq = transition.seq;
            let bytes = convert::delta_bytes(transition)?;
            self.check_delta(&bytes)?;
            memory.take(bytes.len() as u64)?;
            draft.push(bytes.clone(), Some(seq), None)?;
            deltas.push(bytes);
        }
        match deltas.is_empty() {
            true => Err(ApiError::BadFrame { what: "no transitions to enqueue".to_owned() }),
            false => Ok(deltas),
        }
    }

    async fn ticket(
        &self,
        ticket: &Ticket,
        deadline: Instant,
    ) -> Result<v1::GetTicketResponse, ApiError> {
        // Both lie in one group, and a ticket goes as its outcome comes: in this order neither is
        // missed.
        let queued = self.read_one(ticket.queued_key(), deadline).await?;
        let mut answer = v1::GetTicketResponse::default();
        if queued.fields.is_some() {
            answer.set_state(TicketState::Queued);
            return Ok(answer);
        }
        let resolved = self.read_one(ticket.resolved_key(), deadline).await?;
        match resolved.fields.as_ref().and_then(Resolved::read) {
            None => {}
            Some(Resolved::Committed(tid)) => {
                answer.set_state(TicketState::Committed);
                answer.transaction_id = convert::tid(tid);
                answer.commit_version = resolved.version.0;
            }
            Some(Resolved::RolledBack(message)) => {
                answer.set_state(TicketState::RolledBack);
                answer.message = message;
            }
            Some(Resolved::Cancelled) => answer.set_state(TicketState::Cancelled),
        }
        Ok(answer)
    }

    async fn read_one(&self, key: Key, deadline: Instant) -> Result<Record, ApiError> {
        let group = self.group_of(&key.partition)?;
        self.get_one(group, key, None, deadline).await
    }
}

fn named(ticket: &str) -> Result<Ticket, ApiError> {
    ticket.parse().map_err(|what: &str| ApiError::BadFrame { what: what.to_owned() })
}

/// What a request id stands for that names a ticket: no transaction has the same.
fn content(priority: u8, deltas: &[Vec<u8>]) -> Hash {
    let hasher = Hasher::new("vatic/ticket-content/v1").u64(priority.into());
    hasher.bytes(&convert::content(deltas).0).finish()
}

/// The same request has the same ticket.
fn told_apart(request: &RequestId) -> u64 {
    let hasher = Hasher::new("vatic/ticket/v1").bytes(request.principal.as_bytes());
    let digest = hasher.bytes(&request.id).bytes(request.route.as_bytes()).finish();
    u64::from_be_bytes(digest.0[..8].try_into().expect("a digest has 32 bytes"))
}
