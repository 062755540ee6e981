//! Many operations at once over few streams, for callers that have much to ask.
//!
//! Why beside the unary calls: a call costs more than most operations. Callers share a handle; what
//! they ask at the same time travels in one message, to the leader of the key's group directly.
//!
//! Invariant: a submission without a request id is sent at most once. Where its answer is lost it
//! is `OutcomeUnknown`, never tried again.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use prost::Message;
use tokio::time::Instant;
use tonic::{Code, Status};
use vatic_core::codec;
use vatic_core::delta::Delta;
use vatic_core::id::GroupId;
use vatic_core::key::Key;
use vatic_proto::v1;
use vatic_proto::v1::operation::Call;
use vatic_proto::v1::operation_result::Answer;

use crate::call::Attempts;
use crate::client::Client;
use crate::convert;
use crate::error::ClientError;
use crate::lane::Lane;
use crate::leaders::Leaders;
use crate::outcome::{Committed, Outcome};
use crate::reads::Record;
use crate::request::Request;
use crate::submit;

/// How a pipeline behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PipelineOptions {
    /// Connections to each node; each has one stream.
    pub connections: usize,
    /// Whether receipts are verified as they come. They verify later as well.
    pub verify: bool,
}

impl Default for PipelineOptions {
    fn default() -> Self {
        PipelineOptions { connections: 1, verify: true }
    }
}

/// A record as the leader of its group has it, for a transaction that guards what it read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peeked {
    /// `None` where it is absent.
    pub record: Option<Record>,
    /// Another transaction is about to write it, or means to: one that writes it now will likely
    /// roll back.
    pub pending: bool,
    /// Where it was claimed, and its leader answered.
    pub advice: Option<Advice>,
}

/// When to read a record that is to be written, as its leader foresees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    /// In its turn: by [`Pipeline::peek_in_turn`]. Else what was read is good to go on with.
    pub in_turn: bool,
    /// The probability of a conflict without a turn, in parts per million; `None` without a model.
    pub score_ppm: Option<u32>,
    /// How long the turn would take to come, in microseconds.
    pub wait_us: u64,
}

/// Asks for [`Advice`]; it holds nobody off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The transaction's own name for itself, random and not 0: that of its intents and of
    /// [`Pipeline::submit_claimed`].
    pub token: u64,
    /// By hotness alone instead of what was learnt.
    pub by_hotness: bool,
}

/// Advice to other transactions: this one is about to write a record. It decides nothing, and saves
/// the others a rollback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    /// The transaction's own name for itself, random.
    pub token: u64,
    /// How long it may take until it submits; 0 takes the intent back.
    pub hold_ms: u32,
    /// How often it was rolled back so far: who was more often goes first.
    pub rollbacks: u32,
    /// How many records it has its turn with already: who has more goes before all others. Take
    /// several in the order of their keys, or two may wait for each other.
    pub turns: u32,
    /// Its priority class: of those who were rolled back as often, the higher goes first.
    pub priority: u8,
}

/// Many operations over few streams. Clones share them, and take turns with the connections.
#[derive(Debug)]
pub struct Pipeline {
    shared: Arc<Shared>,
    connection: usize,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    options: PipelineOptions,
    leaders: Leaders,
    lanes: Mutex<HashMap<(Arc<str>, usize), Lane>>,
    clones: AtomicUsize,
}

impl Clone for Pipeline {
    fn clone(&self) -> Self {
        let connections = self.shared.options.connections.max(1);
        let connection = self.shared.clones.fetch_add(1, Ordering::Relaxed) % connections;
        Pipeline { shared: self.shared.clone(), connection }
    }
}

impl Client {
    /// Learns ring and leaders, and opens streams as they are needed.
    pub async fn pipeline(&self, options: PipelineOptions) -> Result<Pipeline, ClientError> {
        let cluster = self.cluster_locally().await?;
        let shared = Shared {
            client: self.clone(),
            options,
            leaders: Leaders::of(&cluster),
            lanes: Mutex::default(),
            clones: AtomicUsize::new(1),
        };
        Ok(Pipeline { shared: Arc::new(shared), connection: 0 })
    }
}

impl Pipeline {
    /// One record, linearizable; `None` where it is absent.
    pub async fn get(&self, key: &Key) -> Result<Option<Record>, ClientError> {
        let get = v1::GetRequest { key: Some(convert::key_out(key)), at: None };
        Ok(self.read(key, Call::Get(get), "Get").await?.record)
    }

    /// One record as the leader of its group has it. Only an `expect` of its version in the
    /// transaction that uses it tells whether that still held.
    pub async fn peek(&self, key: &Key) -> Result<Peeked, ClientError> {
        self.peek_with(v1::PeekRequest::default(), key).await
    }

    /// The same with advice, for a transaction that will write the record.
    pub async fn peek_claiming(&self, key: &Key, claim: Claim) -> Result<Peeked, ClientError> {
        let adviser = match claim.by_hotness {
            true => v1::Adviser::Hotness,
            false => v1::Adviser::Unspecified,
        };
        let claim = Some(v1::Claim { token: claim.token, adviser: adviser.into() });
        self.peek_with(v1::PeekRequest { claim, ..v1::PeekRequest::default() }, key).await
    }

    /// The same once nobody is about to write the record any more, or after so long.
    pub async fn peek_when_free(&self, key: &Key, wait_ms: u32) -> Result<Peeked, ClientError> {
        let wait_ms = self.bounded(wait_ms);
        self.peek_with(v1::PeekRequest { wait_ms, ..v1::PeekRequest::default() }, key).await
    }

    /// The same for a transaction that means to write the record; without an intent left behind
    /// where the answer is `pending`.
    pub async fn peek_for(&self, key: &Key, intent: Intent) -> Result<Peeked, ClientError> {
        self.peek_with(meant(intent, 0), key).await
    }

    /// The same in its turn: queues up where others are ahead, at most so long. Without an intent
    /// left behind where the answer is `pending`.
    pub async fn peek_in_turn(
        &self,
        key: &Key,
        intent: Intent,
        wait_ms: u32,
    ) -> Result<Peeked, ClientError> {
        self.peek_with(meant(intent, self.bounded(wait_ms)), key).await
    }

    /// A wait that leaves its call half of its time.
    fn bounded(&self, wait_ms: u32) -> u32 {
        let half = self.shared.client.limits().call_ms / 2;
        wait_ms.min(u32::try_from(half).unwrap_or(u32::MAX))
    }

    async fn peek_with(&self, peek: v1::PeekRequest, key: &Key) -> Result<Peeked, ClientError> {
        let peek = v1::PeekRequest { key: Some(convert::key_out(key)), ..peek };
        self.read(key, Call::Peek(peek), "Peek").await
    }

    /// Applies all deltas as one transaction, sent once. A rollback is not tried again here: the
    /// caller knows whether what it read has to be read anew. Refusals that did nothing are.
    pub async fn submit(&self, deltas: &[Delta]) -> Result<Committed, ClientError> {
        self.submit_once_each(None, (0, 0), deltas).await
    }

    /// The same for a transaction that claimed records under a token, and that was rolled back so
    /// often so far: of those whose votes wait, who was more often goes first.
    pub async fn submit_claimed(
        &self,
        token: u64,
        rollbacks: u32,
        deltas: &[Delta],
    ) -> Result<Committed, ClientError> {
        self.submit_once_each(None, (token, rollbacks), deltas).await
    }

    /// The same under a request id, which may not be used for other deltas: a lost answer is asked
    /// for again.
    pub async fn submit_as(
        &self,
        request: &Request,
        deltas: &[Delta],
    ) -> Result<Committed, ClientError> {
        self.submit_once_each(Some(request), (0, 0), deltas).await
    }

    async fn read(&self, key: &Key, call: Call, what: &'static str) -> Result<Peeked, ClientError> {
        key.check()?;
        let group = self.shared.leaders.group_of(&key.partition);
        let client = &self.shared.client;
        let mut attempts = Attempts::new(client, client.operation_end());
        loop {
            let lane = self.lane(group, &attempts)?;
            let error = match self.ask(&lane, call.clone(), what, attempts.end()).await {
                Ok((Answer::Read(read), route)) => {
                    self.learn(route);
                    let record = read.record.map(convert::record_in).transpose();
                    let record = record.map_err(|what| lane.node().broke(what))?;
                    let advice = read.advice.map(|said| Advice {
                        in_turn: said.in_turn,
                        score_ppm: said.score_ppm,
                        wait_us: said.wait_us,
                    });
                    return Ok(Peeked { record, pending: read.pending, advice });
                }
                Ok(_) => return Err(lane.node().broke("an answer to something else")),
                Err(error) => error,
            };
            let again = error.retryable();
            if !again || !self.again(&mut attempts, &error, &lane, group).await {
                return Err(error);
            }
        }
    }

    async fn submit_once_each(
        &self,
        request: Option<&Request>,
        (token, rollbacks): (u64, u32),
        deltas: &[Delta],
    ) -> Result<Committed, ClientError> {
        deltas.iter().try_for_each(|delta| delta.key.check())?;
        let Some(first) = deltas.first() else {
            return Err(ClientError::Input("a submission needs at least one delta".to_owned()));
        };
        let partition = first.key.partition.as_str();
        request.into_iter().for_each(|request| request.route_by(partition));
        let encoded: Vec<Vec<u8>> = deltas.iter().map(codec::encode).collect();
        let message = self.shared.client.with_options(submit::message(request, &encoded));
        let message = v1::SubmitRequest { token, rollbacks, ..message };
        let group = self.shared.leaders.group_of(partition);
        let end = self.shared.client.operation_end();
        let mut attempts = Attempts::before_settling(&self.shared.client, end);
        let mut in_doubt = false;
        loop {
            let lane = self.lane(group, &attempts)?;
            let error =
                match self.submit_one(&lane, message.clone(), &encoded, attempts.end()).await {
                    Ok(committed) => return Ok(committed),
                    Err(error @ (ClientError::RolledBack(_) | ClientError::Evidence(_)))
                        if !in_doubt =>
                    {
                        return Err(error);
                    }
                    Err(error) => error,
                };
            in_doubt |= error.may_have_happened();
            let again = error.retryable() || in_doubt;
            let allowed = !in_doubt || request.is_some();
            if again && allowed && self.again(&mut attempts, &error, &lane, group).await {
                continue;
            }
            return match request {
                Some(request) if in_doubt => {
                    self.shared.client.settle(request, encoded, error, end).await
                }
                _ if in_doubt => Err(unknown(error)),
                _ => Err(error),
            };
        }
    }

    async fn submit_one(
        &self,
        lane: &Lane,
        message: v1::SubmitRequest,
        encoded: &[Vec<u8>],
        end: Instant,
    ) -> Result<Committed, ClientError> {
        let (answer, _) = self.ask(lane, Call::Submit(message), "Submit", end).await?;
        let Answer::Outcome(outcome) = answer else {
            return Err(lane.node().broke("an answer to something else"));
        };
        self.learn(outcome.route.clone());
        let outcome = convert::outcome_in(outcome, encoded.to_vec());
        match outcome.map_err(|what| lane.node().broke(what))? {
            Outcome::Committed(committed) if self.shared.options.verify => {
                submit::verified(*committed)
            }
            Outcome::Committed(committed) => Ok(*committed),
            Outcome::RolledBack(rollback) => Err(ClientError::RolledBack(rollback)),
            Outcome::Unknown => Err(unknown(lane.node().broke("the node does not know"))),
        }
    }

    /// One operation, once.
    async fn ask(
        &self,
        lane: &Lane,
        call: Call,
        what: &'static str,
        end: Instant,
    ) -> Result<(Answer, Option<v1::RouteHint>), ClientError> {
        let result = lane.ask(call, what, self.shared.client.call_limit(end)).await?;
        match result.answer.ok_or_else(|| lane.node().broke("a result without answer"))? {
            Answer::Error(error) => {
                let (code, details) = (Code::from(error.code), error.encode_to_vec());
                let status = Status::with_details(code, error.message, details.into());
                Err(ClientError::from_status(status, &lane.node().endpoint))
            }
            answer => Ok((answer, result.route)),
        }
    }

    /// The stream to whoever likely leads the group.
    fn lane(&self, group: Option<GroupId>, attempts: &Attempts<'_>) -> Result<Lane, ClientError> {
        let leader = self.shared.leaders.leader_of(group);
        let node = attempts.node_or(leader.as_deref());
        let mut lanes = self.shared.lanes.lock().expect("no panic under the lock");
        let place = (node.endpoint.clone(), self.connection);
        if let Some(lane) = lanes.get(&place) {
            return Ok(lane.clone());
        }
        let node =
            if self.connection == 0 { node } else { node.reopened(self.shared.client.limits())? };
        let lane = Lane::new(self.shared.client.clone(), node);
        lanes.insert(place, lane.clone());
        Ok(lane)
    }

    async fn again(
        &self,
        attempts: &mut Attempts<'_>,
        error: &ClientError,
        lane: &Lane,
        group: Option<GroupId>,
    ) -> bool {
        // Who has too much to do leads all the same.
        if error.retry_after().is_none() {
            self.shared.leaders.forget(group);
        }
        attempts.again(error, Some(lane.node()), None).await
    }

    fn learn(&self, route: Option<v1::RouteHint>) {
        if let Some(route) = route {
            self.shared.leaders.learn(GroupId(route.group), &route.leader_endpoint);
        }
    }
}

fn unknown(error: ClientError) -> ClientError {
    match error {
        ClientError::OutcomeUnknown { .. } => error,
        other => {
            let message = other.to_string();
            ClientError::OutcomeUnknown { tid: None, request: None, message }
        }
    }
}

/// A peek for a transaction that means to write the record.
fn meant(intent: Intent, wait_ms: u32) -> v1::PeekRequest {
    let Intent { token, hold_ms, rollbacks, turns, priority } = intent;
    let priority = u32::from(priority);
    let intent = Some(v1::Intent { token, hold_ms, rollbacks, turns, priority });
    v1::PeekRequest { intent, wait_ms, ..v1::PeekRequest::default() }
}
