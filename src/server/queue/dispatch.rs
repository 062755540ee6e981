//! What a leader does about the tickets of its group: looks, picks, has them happen, keeps what
//! became of them for a while.

use super::{
    ATTEMPT_MS, LOOK_AGAIN_MS, LOOKED_MAX, PAUSE_MS, PAUSED_ASKED_MS, PAUSED_KNOWN_MS,
    RESOLVED_KEPT_MS, RUNNING_MAX, SWEEP_MS,
    ticket::{self, Entry, Resolved, Ticket},
};
use crate::{
    api::Gateway,
    outcome,
    peer::{Origin, PeerFound, PeerRead},
    status::ApiError,
    time,
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};
use vatic_consensus::GroupHandle;
use vatic_core::{
    codec,
    delta::{Delta, Op},
    group::Group,
    id::{GroupId, Timestamp},
    read::Record,
    rules::Rules,
};
use vatic_proto::v1::{self, outcome::State};

/// Starts one dispatcher for each data group here; it works while this node leads.
pub(crate) fn start(gateway: &Gateway, tasks: &mut JoinSet<()>) {
    let groups = gateway.cluster.groups.iter();
    for (&id, handle) in groups.filter(|(id, _)| **id != GroupId::META) {
        let dispatcher = Dispatcher {
            gateway: gateway.clone(),
            id,
            handle: handle.clone(),
            running: BTreeSet::new(),
            waits: BTreeMap::new(),
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
    running: BTreeSet<Ticket>,
    /// Tickets that conflicted: how often, and when they are tried again.
    waits: BTreeMap<Ticket, (u32, Instant)>,
    /// Where its tickets lie, by the ring of an epoch.
    place: Option<(u64, String)>,
    /// Whether the queue is paused, and until when that is known.
    paused: (bool, Instant),
    sweeps: Instant,
}

/// How an attempt of a ticket ended.
enum Attempt {
    /// It is resolved, here or elsewhere.
    Over,
    /// A conflict, or nobody knows.
    Again,
}

impl Dispatcher {
    async fn run(mut self) {
        let mut attempts = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next() => {
                    // A panic is told by the runtime; the ticket is looked at again.
                    let Ok((ticket, attempt)) = ended else { continue };
                    self.ended(ticket, attempt);
                    continue;
                }
                () = tokio::time::sleep(Duration::from_millis(LOOK_AGAIN_MS)) => {}
            }
            let cluster = &self.gateway.cluster;
            let serves = self.handle.is_leader() && !cluster.set_aside.contains(self.id);
            if !serves || cluster.is_draining() {
                self.waits.clear();
                continue;
            }
            let Some(partition) = self.partition() else { continue };
            self.look(&partition, &mut attempts).await;
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

    fn ended(&mut self, ticket: Ticket, attempt: Attempt) {
        self.running.remove(&ticket);
        match attempt {
            Attempt::Over => drop(self.waits.remove(&ticket)),
            Attempt::Again => {
                let (count, _) = self.waits.get(&ticket).copied().unwrap_or((0, Instant::now()));
                let [first_ms, longest_ms] = PAUSE_MS;
                let pause_ms = (first_ms << count.min(16)).min(longest_ms);
                let again =
                    time::deadline_in(rand::random_range(first_ms..=pause_ms.max(first_ms)));
                self.waits.insert(ticket, (count + 1, again));
            }
        }
    }

    /// Starts what is due, as far as there is room.
    async fn look(&mut self, partition: &str, attempts: &mut JoinSet<(Ticket, Attempt)>) {
        let room = RUNNING_MAX.saturating_sub(self.running.len());
        if room == 0 {
            return;
        }
        let (now, clock) = (Instant::now(), time::now());
        let waiting = self.waiting(partition);
        self.waits.retain(|ticket, _| waiting.iter().any(|(waits, ..)| waits == ticket));
        let due = waiting.into_iter().filter(|(ticket, ..)| {
            let waits = self.waits.get(ticket).is_some_and(|(_, again)| *again > now);
            !waits && !self.running.contains(ticket)
        });
        let mut due: Vec<_> = due.collect();
        if due.is_empty() || self.is_paused().await {
            return;
        }
        due.sort_by_cached_key(|(ticket, entry, _)| {
            let (aged, priority, Reverse(sort)) = ticket.rank(entry.priority, clock);
            Reverse((aged, priority, Reverse(sort.to_owned())))
        });
        for (ticket, entry, version) in due.into_iter().take(room) {
            self.running.insert(ticket.clone());
            let gateway = self.gateway.clone();
            attempts.spawn(async move {
                let attempt = gateway.attempt(&ticket, entry, version).await;
                (ticket, attempt)
            });
        }
    }

    /// The oldest tickets that wait, as they are applied here.
    fn waiting(&self, partition: &str) -> Vec<(Ticket, Entry, Timestamp)> {
        let records = self.records(&ticket::queued_range(partition));
        let read = records.into_iter().filter_map(|record| {
            let entry = Entry::read(record.fields.as_ref()?)?;
            Some((Ticket::at(&record.key), entry, record.version))
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
    /// Has a ticket happen, or resolves it as one that cannot.
    async fn attempt(&self, ticket: &Ticket, entry: Entry, seen: Timestamp) -> Attempt {
        let ends = time::deadline_in(ATTEMPT_MS);
        let origin = Origin::of(&entry.principal, 0);
        let Ok(entering) = self.arrive(entry.priority.into(), &entry.principal) else {
            return Attempt::Again;
        };
        let Ok(place) = self.entered(entering, ends).await else { return Attempt::Again };
        let finished = self.resolve(ticket, &entry, seen, origin, ends).await;
        place.end(outcome::by_conflict(&finished));
        let outcome = match finished {
            Ok(outcome) => outcome,
            // What will be no better the next time.
            Err(
                error @ (ApiError::BadKey(_)
                | ApiError::BadDelta { .. }
                | ApiError::BadFrame { .. }
                | ApiError::Limit { .. }),
            ) => return self.give_up(ticket, seen, &error.said(), ends).await,
            Err(_) => return Attempt::Again,
        };
        match (outcome.state(), outcome.rollback) {
            (State::Committed, _) => Attempt::Over,
            (State::RolledBack, Some(rollback)) => {
                let at = rollback.key.as_ref().map(|key| (&key.collection, &key.sort));
                let own = ticket.queued_key();
                if at == Some((&own.collection, &own.sort)) && !rollback.retryable {
                    // Somebody else resolved it.
                    return Attempt::Over;
                }
                match rollback.retryable {
                    true => Attempt::Again,
                    false => self.give_up(ticket, seen, &rollback.message, ends).await,
                }
            }
            _ => Attempt::Again,
        }
    }

    async fn resolve(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        seen: Timestamp,
        origin: Origin,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let mut draft = self.draft(None)?;
        draft.touch(&ticket.queued_key())?;
        let tid = draft.tid().expect("it touched a record");
        let [expect, delete, put] = ticket.resolving(seen, &Resolved::Committed(tid));
        for delta in [expect, delete] {
            draft.push(codec::encode(&delta), None, None)?;
        }
        for delta in &entry.deltas {
            draft.push(delta.clone(), None, None)?;
        }
        draft.push(codec::encode(&put), None, None)?;
        outcome::finish(&self.cluster, draft, None, origin, ends).await
    }

    async fn give_up(
        &self,
        ticket: &Ticket,
        seen: Timestamp,
        message: &str,
        ends: Instant,
    ) -> Attempt {
        let outcome = Resolved::RolledBack(message.to_owned());
        let deltas = ticket.resolving(seen, &outcome).iter().map(codec::encode).collect();
        match self.transact(deltas, Origin::default(), ends).await {
            Ok(outcome) if outcome.state() == State::Committed => Attempt::Over,
            // Resolved elsewhere meanwhile, or not yet: the next look tells.
            _ => Attempt::Again,
        }
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
