//! What a leader does about the tickets of its group: looks, picks, and has them happen.

use super::{
    ATTEMPT_MS, DUE_ENOUGH, FRESH_MS, LOOK_AGAIN_MS, LOOKED_MAX, PAGES_MAX, PAUSED_ASKED_MS,
    PAUSED_KNOWN_MS, WHOLE_LOOK_MS, shadow::Tried,
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
    dispatch::{self, After, Dispatch, DispatchLimits, Now},
    group::Group,
    id::{GroupId, Timestamp},
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
            oldest: String::new(),
            looks_whole: Instant::now(),
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
    /// Where the oldest ticket lies, as far as the last look saw.
    oldest: String,
    /// When it looks from the queue's beginning again: a ticket may be minted long before it comes.
    looks_whole: Instant,
}

/// Tickets that may be begun, each with what it stands for and the version at which it was seen.
type Due = BTreeMap<Ticket, (Entry, Timestamp)>;

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
        let counters = &self.gateway.cluster.ticket_counters;
        counters.under_way.dec();
        if !over {
            counters.again.inc();
        }
        let now = self.now();
        self.dispatch.ended(ticket, !over, now, rand::random());
    }

    /// Begins what is due, as far as there is room.
    async fn look(&mut self, partition: &str) {
        if !self.dispatch.has_room() {
            return;
        }
        // A pause that is known of spares the look.
        if self.paused.0 && self.is_paused().await {
            return;
        }
        let now = self.now();
        let (queued, mut due, more) = self.waiting(partition, now);
        let paused = !queued.is_empty() && self.is_paused().await;
        for ticket in self.dispatch.begin_first(&queued, more, paused, now) {
            let (entry, seen) = due.remove(&ticket).expect("it is due");
            let (gateway, named) = (self.gateway.clone(), ticket.clone());
            let shadowed = self.dispatch.is_shadowed(&ticket, entry.priority, now);
            let class = self.dispatch.class(&ticket, entry.priority, now.clock);
            let attempt =
                async move { gateway.attempt(&named, entry, seen, (class, shadowed)).await };
            self.under_way.insert(self.attempts.spawn(attempt).id(), ticket);
            let counters = &self.gateway.cluster.ticket_counters;
            counters.begun.inc();
            counters.under_way.inc();
        }
    }

    /// The tickets that wait, as they are applied here, with their priorities; those of them that
    /// are due, page after page until there are enough; and whether there are more. Most looks
    /// begin at the oldest one that the last look saw: before it lies what is gone.
    fn waiting(&mut self, partition: &str, now: Now) -> (Vec<(Ticket, u8)>, Due, bool) {
        let mut range = ticket::queued_range(partition);
        if Instant::now() < self.looks_whole {
            range.from = self.oldest.clone();
        } else {
            self.looks_whole = time::deadline_in(WHOLE_LOOK_MS);
        }
        let by_priority = self.gateway.cluster.config.has(Mechanism::Priority);
        let view = self.handle.view();
        let group = Group::of_view(self.id, &view, Rules::default());
        let (mut queued, mut due, mut oldest, mut more) = (Vec::new(), Due::new(), None, false);
        for _ in 0..PAGES_MAX {
            let found = group.peek_range(&view, &range, LOOKED_MAX as usize).0;
            for record in found.records {
                oldest.get_or_insert_with(|| record.key.sort.clone());
                let Some(entry) = record.fields.as_ref().and_then(Entry::read) else { continue };
                let ticket = Ticket::at(&record.key);
                queued.push((ticket.clone(), if by_priority { entry.priority } else { 0 }));
                if self.dispatch.is_due(&ticket, now) {
                    due.insert(ticket, (entry, record.version));
                }
            }
            more = found.more;
            match found.covered.to {
                Some(next) if more && due.len() < DUE_ENOUGH => range.from = next,
                _ => break,
            }
        }
        // Whoever comes next is minted about now, and may be older than what waits already.
        let fresh = Ticket::new(String::new(), time::before_now(FRESH_MS), 0).queued_key().sort;
        self.oldest = oldest.map_or(fresh.clone(), |oldest: String| oldest.min(fresh));
        (queued, due, more)
    }

    async fn is_paused(&mut self) -> bool {
        if Instant::now() >= self.paused.1 {
            // Who cannot say so does not stop the queue.
            let said = self.gateway.queue_is_paused(time::deadline_in(PAUSED_ASKED_MS)).await;
            self.paused = (said.unwrap_or(self.paused.0), time::deadline_in(PAUSED_KNOWN_MS));
        }
        self.paused.0
    }
}

impl Gateway {
    /// Has a ticket happen, or resolves it as one that cannot; one that is `shadowed` is tried out
    /// before. It asks for a place in its class. Whether it is resolved.
    async fn attempt(
        &self,
        ticket: &Ticket,
        entry: Entry,
        seen: Timestamp,
        (class, shadowed): (u8, bool),
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
        let Ok(place) = self.place_of(class, &entry.principal, ends).await else { return false };
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
        let state = outcome.state();
        let (State::RolledBack, Some(rollback)) = (state, outcome.rollback) else {
            let committed = state == State::Committed;
            self.cluster.ticket_counters.committed.inc_by(committed.into());
            return committed;
        };
        let at = rollback.key.and_then(|key| convert::key(Some(key)).ok());
        match dispatch::after_rollback(ticket, at.as_ref(), rollback.retryable) {
            After::Over => {
                self.cluster.ticket_counters.elsewhere.inc();
                true
            }
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
        let resolved = ended.is_ok_and(|outcome| outcome.state() == State::Committed);
        self.cluster.ticket_counters.given_up.inc_by(resolved.into());
        resolved
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
