//! What a leader does about the tickets of its group: looks, picks, has them happen, keeps what
//! became of them for a while.

use super::{
    ATTEMPT_MS, LOOK_AGAIN_MS, LOOKED_MAX, PAUSED_ASKED_MS, PAUSED_KNOWN_MS, RESOLVED_KEPT_MS,
    SWEEP_MS, shadow::Tried,
};
use crate::{
    api::Gateway,
    convert,
    mechanisms::Mechanism,
    outcome,
    peer::{Origin, PeerFound, PeerRead},
    status::ApiError,
    time,
};
use std::collections::{BTreeMap, HashMap};
use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};
use vatic_consensus::GroupHandle;
use vatic_core::{
    codec,
    delta::{Delta, Op},
    dispatch::{self, After, Dispatch, DispatchLimits, Now},
    group::Group,
    id::{GroupId, Timestamp},
    read::Record,
    rules::Rules,
    ticket::{self, Entry, Resolved, Ticket},
};
use vatic_proto::v1::{self, outcome::State};

/// Starts one dispatcher for each data group here; it works while this node leads.
pub(crate) fn start(gateway: &Gateway, tasks: &mut JoinSet<()>) {
    let groups = gateway.cluster.groups.iter();
    let config = &gateway.cluster.config;
    let shadow_below = match config.has(Mechanism::Shadow) {
        true => u8::try_from(config.limits.shadow_priority_below).unwrap_or(u8::MAX),
        false => 0,
    };
    let limits = DispatchLimits { shadow_below, ..DispatchLimits::production() };
    for (&id, handle) in groups.filter(|(id, _)| **id != GroupId::META) {
        let dispatcher = Dispatcher {
            gateway: gateway.clone(),
            id,
            handle: handle.clone(),
            dispatch: Dispatch::new(limits, Rules::default()),
            attempts: JoinSet::new(),
            under_way: HashMap::new(),
            began: Instant::now(),
            looks: Instant::now(),
            place: None,
            paused: (false, Instant::now()),
            sweeps: time::deadline_in(SWEEP_MS),
        };
        tasks.spawn(dispatcher.run());
    }
}

struct Dispatcher {
    gateway: Gateway,
    id: GroupId,
    handle: GroupHandle,
    dispatch: Dispatch,
    /// Whether each came to its end.
    attempts: JoinSet<bool>,
    /// Whose they are.
    under_way: HashMap<Id, Ticket>,
    began: Instant,
    /// When it looks again.
    looks: Instant,
    /// Where its tickets lie, by the ring of an epoch.
    place: Option<(u64, String)>,
    /// Whether the queue is paused, and until when that is known.
    paused: (bool, Instant),
    sweeps: Instant,
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.attempts.join_next_with_id() => {
                    match ended {
                        Ok((id, over)) => self.ended(id, over),
                        // A panic is told by the runtime; the ticket is tried again.
                        Err(error) => self.ended(error.id(), false),
                    }
                    continue;
                }
                () = tokio::time::sleep_until(self.looks) => {}
            }
            self.looks = time::deadline_in(LOOK_AGAIN_MS);
            let cluster = &self.gateway.cluster;
            let serves = self.handle.is_leader() && !cluster.set_aside.contains(self.id);
            if !serves || cluster.is_draining() {
                self.dispatch.deposed();
                continue;
            }
            let Some(partition) = self.partition() else { continue };
            self.look(&partition).await;
            if Instant::now() >= self.sweeps {
                self.sweeps = time::deadline_in(SWEEP_MS);
                self.sweep(&partition).await;
            }
        }
    }

    fn partition(&mut self) -> Option<String> {
        let ring = self.gateway.cluster.ring()?;
        let epoch = ring.spec().epoch;
        if self.place.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.place = Some((epoch, ticket::partition_of(&ring, self.id)));
        }
        self.place.as_ref().map(|(_, partition)| partition.clone())
    }

    fn now(&self) -> Now {
        Now { clock: time::now(), us: self.began.elapsed().as_micros() as u64 }
    }

    fn ended(&mut self, id: Id, over: bool) {
        let Some(ticket) = self.under_way.remove(&id) else { return };
        let now = self.now();
        self.dispatch.ended(ticket, !over, now, rand::random());
    }

    /// Begins what is due, as far as there is room.
    async fn look(&mut self, partition: &str) {
        if !self.dispatch.has_room() {
            return;
        }
        let mut waiting = self.waiting(partition);
        let paused = !waiting.is_empty() && self.is_paused().await;
        let by_priority = self.gateway.cluster.config.has(Mechanism::Priority);
        let priority = |entry: &Entry| if by_priority { entry.priority } else { 0 };
        let queued: Vec<(Ticket, u8)> =
            waiting.iter().map(|(ticket, (entry, _))| (ticket.clone(), priority(entry))).collect();
        let now = self.now();
        for ticket in self.dispatch.begin(&queued, paused, now) {
            let (entry, seen) = waiting.remove(&ticket).expect("it waits");
            let (gateway, named) = (self.gateway.clone(), ticket.clone());
            let shadowed = self.dispatch.is_shadowed(&ticket, entry.priority, now);
            let attempt = async move { gateway.attempt(&named, entry, seen, shadowed).await };
            self.under_way.insert(self.attempts.spawn(attempt).id(), ticket);
        }
    }

    /// The oldest tickets that wait, as they are applied here.
    fn waiting(&self, partition: &str) -> BTreeMap<Ticket, (Entry, Timestamp)> {
        let records = self.records(&ticket::queued_range(partition));
        let read = records.into_iter().filter_map(|record| {
            let entry = Entry::read(record.fields.as_ref()?)?;
            Some((Ticket::at(&record.key), (entry, record.version)))
        });
        read.collect()
    }

    fn records(&self, range: &vatic_core::key::KeyRange) -> Vec<Record> {
        let view = self.handle.view();
        let group = Group::of_view(self.id, &view, Rules::default());
        group.peek_range(&view, range, LOOKED_MAX as usize).0.records
    }

    async fn is_paused(&mut self) -> bool {
        if Instant::now() >= self.paused.1 {
            // Who cannot say so does not stop the queue.
            let said = self.gateway.queue_is_paused(time::deadline_in(PAUSED_ASKED_MS)).await;
            self.paused = (said.unwrap_or(self.paused.0), time::deadline_in(PAUSED_KNOWN_MS));
        }
        self.paused.0
    }

    /// Deletes what was resolved long ago.
    async fn sweep(&self, partition: &str) {
        let old = time::before_now(RESOLVED_KEPT_MS);
        let resolved = self.records(&ticket::resolved_range(partition));
        let gone = resolved.into_iter().filter(|record| record.version < old);
        let deltas: Vec<Delta> =
            gone.map(|record| Delta { key: record.key, op: Op::Delete }).collect();
        if !deltas.is_empty() {
            // What is not deleted now is found again.
            let encoded = deltas.iter().map(codec::encode).collect();
            let ends = time::deadline_in(ATTEMPT_MS);
            let _ = self.gateway.transact(encoded, Origin::default(), ends).await;
        }
    }
}

impl Gateway {
    /// Has a ticket happen, or resolves it as one that cannot; one that is `shadowed` is tried out
    /// before. Whether it is resolved.
    async fn attempt(
        &self,
        ticket: &Ticket,
        entry: Entry,
        seen: Timestamp,
        shadowed: bool,
    ) -> bool {
        let ends = time::deadline_in(ATTEMPT_MS);
        let tried = match shadowed {
            true => self.try_out(&entry.deltas, ends).await,
            false => Tried::Unknown,
        };
        // Kept until it has ended.
        let _staged = match tried {
            Tried::HeldBack => return false,
            Tried::Clean(staged) => Some(staged),
            Tried::Unknown => None,
        };
        let Ok(entering) = self.arrive(entry.priority.into(), &entry.principal) else {
            return false;
        };
        let Ok(place) = self.entered(entering, ends).await else { return false };
        let finished = self.resolve(ticket, &entry, seen, ends).await;
        place.end(outcome::by_conflict(&finished));
        let outcome = match finished {
            Ok(outcome) => outcome,
            // What will be no better the next time.
            Err(
                error @ (ApiError::BadKey(_)
                | ApiError::BadDelta { .. }
                | ApiError::BadFrame { .. }
                | ApiError::Limit { .. }),
            ) => return self.give_up(ticket, seen, error.said(), ends).await,
            Err(_) => return false,
        };
        let (State::RolledBack, Some(rollback)) = (outcome.state(), outcome.rollback) else {
            return outcome.state == i32::from(State::Committed);
        };
        let at = rollback.key.and_then(|key| convert::key(Some(key)).ok());
        match dispatch::after_rollback(ticket, at.as_ref(), rollback.retryable) {
            After::Over => true,
            After::Again => false,
            After::GiveUp => self.give_up(ticket, seen, rollback.message, ends).await,
        }
    }

    async fn resolve(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        seen: Timestamp,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let origin = Origin::of(&entry.principal, 0);
        let mut draft = self.draft(None)?;
        draft.touch(&ticket.queued_key())?;
        let outcome = Resolved::Committed(draft.tid().expect("it touched a record"));
        for delta in ticket.resolving(seen, &entry.deltas, &outcome, Rules::default()) {
            draft.push(delta, None, None)?;
        }
        outcome::finish(&self.cluster, draft, None, origin, ends).await
    }

    async fn give_up(
        &self,
        ticket: &Ticket,
        seen: Timestamp,
        message: String,
        ends: Instant,
    ) -> bool {
        let outcome = Resolved::RolledBack(message);
        let deltas = ticket.resolving(seen, &[], &outcome, Rules::default());
        let ended = self.transact(deltas, Origin::default(), ends).await;
        // Resolved elsewhere meanwhile, or not yet: the next look tells.
        ended.is_ok_and(|outcome| outcome.state() == State::Committed)
    }

    /// Encoded deltas as one transaction.
    pub(super) async fn transact(
        &self,
        deltas: Vec<Vec<u8>>,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let mut draft = self.draft(None)?;
        for delta in deltas {
            draft.push(delta, None, None)?;
        }
        outcome::finish(&self.cluster, draft, None, origin, ends).await
    }

    /// Whether the queue is paused, if that can be told.
    pub(super) async fn queue_is_paused(&self, ends: Instant) -> Option<bool> {
        let key = ticket::control_key();
        let group = self.group_of(&key.partition).ok()?;
        match self.cluster.read(group, PeerRead::Peek(key), ends).await.ok()? {
            PeerFound::Record(record, _) => Some(ticket::is_paused(record.fields.as_ref())),
            _ => None,
        }
    }
}
