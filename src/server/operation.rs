//! What becomes of the operations of a pipeline.
//!
//! The reads of one message that one group led here answers share a read index and a view. Whatever
//! cannot be answered that way (another node leads, an undecided write is in the way) goes the way
//! of the unary call, alone.

use crate::{
    api::Gateway,
    cluster::Cluster,
    convert,
    held::{self, Held},
    mechanisms::Mechanism,
    outcome,
    peek::{self, Look},
    peer::{PeerFound, PeerRead},
    pipeline::Places,
    status::{self, ApiError},
    time,
};
use std::collections::BTreeMap;
use tokio::time::Instant;
use vatic_core::{group::Group, id::GroupId, id::Timestamp, key::Key, read::Record, rules::Rules};
use vatic_proto::v1::{
    self, Operation, OperationResult, operation::Call, operation_result::Answer,
};

/// Who asks, and of whom.
pub(crate) struct Operations {
    pub(crate) gateway: Gateway,
    pub(crate) principal: String,
}

/// Operations under way.
pub(crate) struct Started {
    /// How many.
    pub(crate) count: usize,
    pub(crate) ended: std::pin::Pin<Box<dyn Future<Output = Ended> + Send>>,
}

/// What an operation came to, with what it holds on its way to the client.
pub(crate) struct Answered {
    pub(crate) result: OperationResult,
    pub(crate) held: Option<Held>,
}

/// How operations that were under way ended.
pub(crate) struct Ended {
    pub(crate) answered: Vec<Answered>,
    /// Reads that must be asked alone.
    pub(crate) again: Vec<Get>,
    _places: Places,
}

/// One linearizable read.
pub(crate) struct Get {
    id: u64,
    key: Key,
    group: GroupId,
    deadline: Instant,
}

impl Operations {
    /// Starts everything; what can be answered at once goes to `ready`.
    pub(crate) fn start(
        &self,
        operations: Vec<Operation>,
        ready: &mut Vec<Answered>,
    ) -> Vec<Started> {
        let mut gets: BTreeMap<GroupId, (Places, Vec<Get>)> = BTreeMap::new();
        let mut started = Vec::new();
        for operation in operations {
            let id = operation.id;
            match self.start_one(operation, &mut gets, ready) {
                Ok(more) => started.extend(more),
                Err(error) => ready.push(failed(id, error)),
            }
        }
        started.extend(gets.into_iter().map(|(group, (places, gets))| {
            let gateway = self.gateway.clone();
            let count = gets.len();
            Started { count, ended: Box::pin(get_together(gateway, group, gets, places)) }
        }));
        started
    }

    /// Asks reads again, each for itself.
    pub(crate) fn alone(&self, gets: Vec<Get>) -> impl Iterator<Item = Started> {
        gets.into_iter().map(|Get { id, key, group, deadline }| {
            let places = self.one_place().unwrap_or_else(|_| Places::none(&self.gateway.cluster));
            self.read(id, group, PeerRead::Get(key), None, deadline, places)
        })
    }

    fn start_one(
        &self,
        operation: Operation,
        gets: &mut BTreeMap<GroupId, (Places, Vec<Get>)>,
        ready: &mut Vec<Answered>,
    ) -> Result<Option<Started>, ApiError> {
        let Operation { id, deadline_ms, call } = operation;
        let deadline = self.deadline(deadline_ms);
        match call {
            Some(Call::Get(v1::GetRequest { key, at })) => {
                let (key, group) = self.place(key)?;
                if let Some(at) = at.map(Timestamp) {
                    let read = PeerRead::GetAt(key, at);
                    let places = self.one_place()?;
                    return Ok(Some(self.read(id, group, read, Some(at), deadline, places)));
                }
                let none = || (Places::none(&self.gateway.cluster), Vec::new());
                let (places, gets) = gets.entry(group).or_insert_with(none);
                places.take_one()?;
                gets.push(Get { id, key, group, deadline });
                Ok(None)
            }
            Some(Call::Peek(peek)) => self.start_peek(id, peek, deadline, ready),
            Some(Call::Submit(submit)) => {
                let admitted = self.gateway.admit()?;
                let places = self.one_place()?;
                let entering = self.gateway.arrive(submit.priority, &self.principal)?;
                let (gateway, principal) = (self.gateway.clone(), self.principal.clone());
                let ended = async move {
                    let _admitted = admitted;
                    let outcome = gateway.submit_once(submit, principal, entering, deadline).await;
                    let done = match outcome {
                        Ok(outcome) => answered(id, Answer::Outcome(outcome), None),
                        Err(error) => failed(id, error),
                    };
                    ended(done, places)
                };
                Ok(Some(Started { count: 1, ended: Box::pin(ended) }))
            }
            None => Err(ApiError::BadFrame { what: "an operation of no known kind".into() }),
        }
    }

    fn read(
        &self,
        id: u64,
        group: GroupId,
        read: PeerRead,
        at: Option<Timestamp>,
        deadline: Instant,
        places: Places,
    ) -> Started {
        let gateway = self.gateway.clone();
        let ended = async move {
            let found = gateway.cluster.read(group, read, deadline).await;
            let mut ready = match found {
                Ok(PeerFound::Record(record, pending)) => {
                    found_for(&gateway.cluster, id, record, pending)
                }
                Ok(PeerFound::Snapshot(fault)) => {
                    failed(id, crate::records::snapshot_error(fault, at))
                }
                Ok(_) => failed(id, ApiError::NoLeader { group }),
                Err(error) => failed(id, error.into()),
            };
            let elsewhere = gateway.cluster.led_here(group).is_none();
            if elsewhere && matches!(ready.result.answer, Some(Answer::Read(_))) {
                ready.result.route = Some(outcome::route(&gateway.cluster, group));
            }
            ended(ready, places)
        };
        Started { count: 1, ended: Box::pin(ended) }
    }

    fn start_peek(
        &self,
        id: u64,
        peek: v1::PeekRequest,
        deadline: Instant,
        ready: &mut Vec<Answered>,
    ) -> Result<Option<Started>, ApiError> {
        let v1::PeekRequest { key, intent, wait_ms, claim } = peek;
        let (key, group) = self.place(key)?;
        let Some(handle) = self.gateway.cluster.led_here(group) else {
            let places = self.one_place()?;
            return Ok(Some(self.read(id, group, PeerRead::Peek(key), None, deadline, places)));
        };
        let cluster = &self.gateway.cluster;
        let by_class = cluster.config.has(Mechanism::Priority);
        let turn = intent.map(|intent| peek::turn_of(intent, by_class)).transpose()?;
        let look = Look { cluster, group, handle, key: &key };
        let (record, pending) = look.seen(turn.map(|(turn, _)| turn));
        let claim = claim.filter(|_| turn.is_none());
        let advice = claim.map(|claim| look.advice(claim, &self.principal));
        let gives_back = turn.is_some_and(|(turn, _)| turn.hold_us == 0);
        if !pending || wait_ms == 0 || gives_back {
            let mut found = found_for(cluster, id, record, pending);
            if let Some(Answer::Read(read)) = &mut found.result.answer {
                read.advice = advice;
            }
            ready.push(found);
            return Ok(None);
        }
        let (places, handle, cluster) = (self.one_place()?, handle.clone(), cluster.clone());
        let ends = time::deadline_in(u64::from(wait_ms)).min(deadline);
        let ended = async move {
            let (turn, urgency) = turn.unzip();
            let look = Look { cluster: &cluster, group, handle: &handle, key: &key };
            let (record, pending) = look.in_turn(turn, urgency.unwrap_or_default(), ends).await;
            ended(found_for(&cluster, id, record, pending), places)
        };
        Ok(Some(Started { count: 1, ended: Box::pin(ended) }))
    }

    fn place(&self, key: Option<v1::Key>) -> Result<(Key, GroupId), ApiError> {
        let key = convert::key(key)?;
        let group = self.gateway.group_of(&key.partition)?;
        Ok((key, group))
    }

    fn one_place(&self) -> Result<Places, ApiError> {
        let mut places = Places::none(&self.gateway.cluster);
        places.take_one()?;
        Ok(places)
    }

    fn deadline(&self, asked_ms: u32) -> Instant {
        let limit_ms = self.gateway.cluster.config.limits.call_deadline_ms;
        let asked_ms = if asked_ms == 0 { limit_ms } else { u64::from(asked_ms) };
        time::deadline_in(asked_ms.min(limit_ms))
    }
}

/// Reads of one group, behind one read index where this node leads it.
async fn get_together(gateway: Gateway, group: GroupId, gets: Vec<Get>, _places: Places) -> Ended {
    let earliest = gets.iter().map(|get| get.deadline).min();
    let handle = gateway.cluster.led_here(group);
    let (Some(handle), Some(earliest)) = (handle, earliest) else {
        return Ended { answered: Vec::new(), again: gets, _places };
    };
    let replica = handle.id();
    let confirmed = tokio::time::timeout_at(earliest, handle.read_index()).await;
    let view = handle.serving_view().filter(|(id, _)| *id == replica);
    let (Ok(Ok(())), Some((_, view))) = (confirmed, view) else {
        return Ended { answered: Vec::new(), again: gets, _places };
    };
    let reader = Group::of_view(group, &view, Rules::default());
    let (mut answered, mut again) = (Vec::with_capacity(gets.len()), Vec::new());
    for get in gets {
        match reader.get(&view, &get.key) {
            Ok(record) => answered.push(found_for(&gateway.cluster, get.id, record, false)),
            Err(_) => again.push(get),
        }
    }
    Ended { answered, again, _places }
}

fn ended(answered: Answered, _places: Places) -> Ended {
    Ended { answered: vec![answered], again: Vec::new(), _places }
}

/// A record that was read, where there is room for it on its way to the client.
fn found_for(cluster: &Cluster, id: u64, record: Record, pending: bool) -> Answered {
    match Held::take(cluster, held::record_bytes(&record)) {
        Ok(held) => answered(id, Answer::Read(convert::record_read(record, pending)), Some(held)),
        Err(error) => failed(id, error),
    }
}

fn failed(id: u64, error: ApiError) -> Answered {
    answered(id, Answer::Error(status::as_message(error)), None)
}

fn answered(id: u64, answer: Answer, held: Option<Held>) -> Answered {
    Answered { result: OperationResult { id, answer: Some(answer), route: None }, held }
}
