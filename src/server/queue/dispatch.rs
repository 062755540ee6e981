//! What a leader does about the tickets of its group: looks, picks, and has them happen.

use super::{
    ATTEMPT_MS, DUE_ENOUGH, FRESH_MS, LOOK_AGAIN_MS, LOOK_SHARE, LOOKED_MAX, PAGES_MAX,
    PAUSED_ASKED_MS, PAUSED_KNOWN_MS, PICK_AGAIN_MS, WHOLE_LOOK_MS, shadow::Tried,
};
use crate::{
    api::Gateway,
    convert,
    foresight::{self, Guide},
    mechanisms::Mechanism,
    outcome,
    peer::{Origin, PeerFound, PeerRead},
    status::ApiError,
    strategy::{Course, Wanted},
    time,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tokio::{
    task::{Id, JoinSet},
    time::Instant,
};
use vatic_consensus::GroupHandle;
use vatic_core::{
    delta::Delta,
    dispatch::{self, After, Dispatch, DispatchLimits, Ended, Now, Touched},
    group::Group,
    id::{GroupId, Tid, Timestamp},
    key::Key,
    lane::Urgency,
    rules::Rules,
    strategy::Strategy,
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
    let choice = if config.has(Mechanism::Order) { limits.choice } else { 1 };
    let limits = DispatchLimits { choice, ..limits };
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
            picks: None,
            found: Found::default(),
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
    /// How each ended.
    attempts: JoinSet<Ended>,
    /// Whose they are.
    under_way: HashMap<Id, Ticket>,
    began: Instant,
    /// When it looks again; what was found before then is picked from.
    looks: Instant,
    /// When it picks again from what the last look has found, since an attempt has ended.
    picks: Option<Instant>,
    found: Found,
    /// Where its tickets lie, by the ring of an epoch.
    place: Option<(u64, String)>,
    /// Whether the queue is paused, and until when that is known.
    paused: (bool, Instant),
    /// Where the oldest ticket lies, as far as the last look saw.
    oldest: String,
    /// When it looks from the queue's beginning again: a ticket may be minted long before it comes.
    looks_whole: Instant,
}

/// Tickets that a look has found due and that were not begun, with their priorities.
#[derive(Default)]
struct Found {
    queued: Vec<(Ticket, u8)>,
    due: BTreeMap<Ticket, Due>,
}

struct Due {
    entry: Entry,
    /// The version at which it was seen.
    seen: Timestamp,
    touched: Touched,
}

impl Dispatcher {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.attempts.join_next_with_id() => {
                    match ended {
                        Ok((id, how)) => self.ended(id, how),
                        // A panic is told by the runtime; the ticket is tried again.
                        Err(error) => self.ended(error.id(), Ended::Met),
                    }
                    self.picks.get_or_insert_with(|| time::deadline_in(PICK_AGAIN_MS));
                    continue;
                }
                // Without room there is nothing to pick before an attempt ends.
                () = tokio::time::sleep_until(self.picks.unwrap_or(self.looks)),
                    if self.dispatch.has_room() => {}
            }
            self.picks = None;
            let cluster = &self.gateway.cluster;
            let serves = self.handle.is_leader() && !cluster.set_aside.contains(self.id);
            if !serves || cluster.is_draining() {
                self.looks = time::deadline_in(LOOK_AGAIN_MS);
                self.found = Found::default();
                self.dispatch.deposed();
                continue;
            }
            if Instant::now() < self.looks {
                let paused = self.is_paused().await;
                self.begin(paused);
                continue;
            }
            self.looks = time::deadline_in(LOOK_AGAIN_MS);
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

    fn ended(&mut self, id: Id, how: Ended) {
        let Some(ticket) = self.under_way.remove(&id) else { return };
        let counters = &self.gateway.cluster.ticket_counters;
        counters.under_way.dec();
        if how != Ended::Over {
            counters.again.inc();
        }
        let now = self.now();
        self.dispatch.ended(ticket, how, now, rand::random());
    }

    /// Begins what is due, as far as there is room.
    async fn look(&mut self, partition: &str) {
        // A pause that is known of spares the look.
        if self.paused.0 && self.is_paused().await {
            self.found = Found::default();
            return;
        }
        let (now, began) = (self.now(), Instant::now());
        let waits = self.waiting(partition, now);
        let rests = Instant::now() + LOOK_SHARE * began.elapsed();
        self.looks = self.looks.max(rests.min(time::deadline_in(WHOLE_LOOK_MS)));
        let paused = waits && self.is_paused().await;
        self.begin(paused);
    }

    /// Begins what the last look has found due, as far as there is room. What is resolved since
    /// then loses its vote.
    fn begin(&mut self, paused: bool) {
        let (now, Found { queued, due }) = (self.now(), &mut self.found);
        let begun = self.dispatch.begin(queued, |ticket| &due[ticket].touched, paused, now);
        for ticket in &begun {
            let Due { entry, seen, .. } = due.remove(ticket).expect("it is due");
            let (gateway, named) = (self.gateway.clone(), ticket.clone());
            let shadowed = self.dispatch.is_shadowed(ticket, entry.priority, now);
            let class = self.dispatch.class(ticket, entry.priority, now.clock);
            let (in_turn, rollbacks) =
                (self.dispatch.takes_turns(ticket), self.dispatch.rollbacks(ticket));
            let way = Way { class, shadowed, in_turn, rollbacks };
            let attempt = async move { gateway.attempt(&named, entry, seen, way).await };
            self.under_way.insert(self.attempts.spawn(attempt).id(), ticket.clone());
            let counters = &self.gateway.cluster.ticket_counters;
            counters.begun.inc();
            counters.under_way.inc();
        }
        queued.retain(|(ticket, _)| due.contains_key(ticket));
    }

    /// Finds the tickets that wait and are due, as they are applied here, page after page until
    /// there are enough; whether any wait. Most looks begin at the oldest one that the last look
    /// saw: before it lies what is gone.
    fn waiting(&mut self, partition: &str, now: Now) -> bool {
        let mut range = ticket::queued_range(partition);
        if Instant::now() < self.looks_whole {
            range.from = self.oldest.clone();
        } else {
            self.looks_whole = time::deadline_in(WHOLE_LOOK_MS);
        }
        let by_priority = self.gateway.cluster.config.has(Mechanism::Priority);
        let view = self.handle.view();
        let group = Group::of_view(self.id, &view, Rules::default());
        let (mut waits, mut found, mut oldest, mut more) =
            (Vec::new(), Found::default(), None, false);
        // Of those that are due, how many could be under way together.
        let (mut apart, mut held) = (0, BTreeSet::new());
        for _ in 0..PAGES_MAX {
            let page = group.peek_range(&view, &range, LOOKED_MAX as usize).0;
            for record in page.records {
                oldest.get_or_insert_with(|| record.key.sort.clone());
                let Some(entry) = record.fields.as_ref().and_then(Entry::read) else { continue };
                let ticket = Ticket::at(&record.key);
                waits.push(ticket.clone());
                if self.dispatch.is_due(&ticket, now) {
                    let priority = if by_priority { entry.priority } else { 0 };
                    found.queued.push((ticket.clone(), priority));
                    let (seen, touched) = (record.version, self.gateway.touched(self.id, &entry));
                    apart += usize::from(touched.records.is_disjoint(&held));
                    if !touched.at_home {
                        held.extend(touched.records.iter().cloned());
                    }
                    found.due.insert(ticket, Due { entry, seen, touched });
                }
            }
            more = page.more;
            match page.covered.to {
                Some(next) if more && apart < DUE_ENOUGH => range.from = next,
                _ => break,
            }
        }
        // Whoever comes next is minted about now, and may be older than what waits already.
        let fresh = Ticket::new(String::new(), time::before_now(FRESH_MS), 0).queued_key().sort;
        self.oldest = oldest.map_or(fresh.clone(), |oldest: String| oldest.min(fresh));
        self.dispatch.seen(&waits, more);
        self.found = found;
        !waits.is_empty()
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

/// How a ticket is sent.
#[derive(Clone, Copy)]
struct Way {
    /// In which it asks for its place and its turns.
    class: u8,
    /// It is tried out before.
    shadowed: bool,
    /// It takes its turns with its records.
    in_turn: bool,
    /// How often others were in its way.
    rollbacks: u32,
}

impl Gateway {
    /// Has a ticket happen, or resolves it as one that cannot. How that ends.
    async fn attempt(&self, ticket: &Ticket, entry: Entry, seen: Timestamp, way: Way) -> Ended {
        let ends = time::deadline_in(ATTEMPT_MS);
        let tried = match way.shadowed {
            true => self.try_out(&entry.deltas, ends).await,
            false => Tried::Unknown,
        };
        // Kept until it has ended.
        let _staged = match tried {
            Tried::HeldBack => return Ended::NotSent,
            Tried::Clean(staged) => Some(staged),
            Tried::Unknown => None,
        };
        let Ok(place) = self.place_of(way.class, &entry.principal, ends).await else {
            return Ended::NotSent;
        };
        let finished = self.resolve(ticket, &entry, seen, way, ends).await;
        place.end(outcome::by_conflict(&finished));
        let outcome = match finished {
            Ok(outcome) => outcome,
            Err(error) => match after_error(&error) {
                Some(ended) => return ended,
                None => return self.give_up(ticket, seen, error.said(), ends).await,
            },
        };
        let state = outcome.state();
        let (State::RolledBack, Some(rollback)) = (state, outcome.rollback) else {
            let committed = state == State::Committed;
            self.cluster.ticket_counters.committed.inc_by(committed.into());
            return if committed { Ended::Over } else { Ended::Met };
        };
        let at = rollback.key.clone().and_then(|key| convert::key(Some(key)).ok());
        match dispatch::after_rollback(ticket, at.as_ref(), rollback.retryable) {
            After::Over => {
                self.cluster.ticket_counters.elsewhere.inc();
                Ended::Over
            }
            After::Again => Ended::Met,
            After::GiveUp => {
                let why = given_up_for(rollback, &outcome.transaction_id);
                self.give_up(ticket, seen, why, ends).await
            }
        }
    }

    async fn resolve(
        &self,
        ticket: &Ticket,
        entry: &Entry,
        seen: Timestamp,
        way: Way,
        ends: Instant,
    ) -> Result<v1::Outcome, ApiError> {
        let Way { class, rollbacks, .. } = way;
        let urgency = Urgency { class, rollbacks, ..Urgency::default() };
        let origin = Origin::of(&entry.principal, 0).with_urgency(urgency);
        let strategy = if way.in_turn { Strategy::Lock } else { Strategy::Optimistic };
        let mut course = Course::new(&self.cluster, Wanted::of(strategy), origin);
        let mut guide = Guide::at_once(&self.foresight, &entry.principal, &self.cluster);
        guide.repeats(rollbacks > 0);
        let mut draft = self.draft(None)?;
        course.touch(&mut draft, &ticket.queued_key(), ends).await?;
        draft.touch(&ticket.queued_key())?;
        let outcome = Resolved::Committed(draft.tid().expect("it touched a record"));
        let deltas = ticket.resolving(seen, &entry.deltas, &outcome, Rules::default());
        for (at, delta) in deltas.into_iter().enumerate() {
            // It is judged by what its owner sent.
            let noted = |delta: &Delta| match at < entry.deltas.len() {
                true => guide.step(delta),
                false => guide.beside(delta),
            };
            draft.push_seen(delta, None, None, noted)?;
        }
        let judged = (&mut draft, &mut course);
        foresight::judge(&self.cluster, &mut guide, judged, ends).await?;
        let finished = course.finish(draft, None, origin, ends).await;
        guide.ended(outcome::end(&finished));
        finished
    }

    async fn give_up(
        &self,
        ticket: &Ticket,
        seen: Timestamp,
        message: String,
        ends: Instant,
    ) -> Ended {
        let outcome = Resolved::RolledBack(message);
        let deltas = ticket.resolving(seen, &[], &outcome, Rules::default());
        let ended = self.transact(deltas, Origin::default(), ends).await;
        // Resolved elsewhere meanwhile, or not yet: the next look tells.
        let resolved = ended.is_ok_and(|outcome| outcome.state() == State::Committed);
        self.cluster.ticket_counters.given_up.inc_by(resolved.into());
        if resolved { Ended::Over } else { Ended::Met }
    }

    /// What a group's ticket touches.
    fn touched(&self, own: GroupId, entry: &Entry) -> Touched {
        let records = entry.records();
        let at_home = |key: &Key| self.group_of(&key.partition).is_ok_and(|group| group == own);
        let at_home = records.iter().all(at_home);
        Touched { records, at_home }
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

/// How an attempt has ended that came to this; `None`: it will be no better the next time.
fn after_error(error: &ApiError) -> Option<Ended> {
    match error {
        ApiError::BadKey(_)
        | ApiError::BadDelta { .. }
        | ApiError::BadFrame { .. }
        | ApiError::Limit { .. } => None,
        // What it is to be judged by was not there. Nothing was voted.
        ApiError::Unjudged { .. } => Some(Ended::NotSent),
        _ => Some(Ended::Met),
    }
}

/// Why a ticket is given up, as it is kept. How one was judged that strayed, its attempt tells.
fn given_up_for(rollback: v1::Rollback, attempt: &[u8]) -> String {
    use v1::RollbackCause as C;
    let strayed = matches!(rollback.cause(), C::ForecastMismatch | C::Quarantined);
    match Tid::from_bytes(attempt).filter(|_| strayed) {
        Some(tid) => format!("{}; see transaction {tid}", rollback.message),
        None => rollback.message,
    }
}

#[cfg(test)]
mod tests {
    use super::{after_error, given_up_for};
    use crate::status::ApiError;
    use vatic_core::{
        dispatch::Ended,
        finding::Unjudged,
        id::{GroupId, Tid, Timestamp},
    };
    use vatic_proto::v1::{Rollback, RollbackCause};

    #[test]
    fn what_cannot_be_judged_now_is_tried_again_unsent() {
        let (collection, home) = ("order".to_owned(), GroupId(1));
        let why = Unjudged::Untolerated { waited_ms: 1_000 };
        let unjudged = ApiError::Unjudged { collection, home, why };
        assert_eq!(after_error(&unjudged), Some(Ended::NotSent));
        assert_eq!(after_error(&ApiError::NotReady), Some(Ended::Met));
        let what = "no frame".to_owned();
        assert_eq!(after_error(&ApiError::BadFrame { what }), None);
    }

    #[test]
    fn ticket_that_strays_is_given_up_for_what_its_attempt_tells() {
        let tid = Tid { mint: Timestamp(3), home: GroupId(1), nonce: 5 };
        let kept = |cause: RollbackCause| {
            let (cause, message) = (cause.into(), "why".to_owned());
            given_up_for(Rollback { cause, message, ..Rollback::default() }, &tid.to_bytes())
        };
        for strayed in [RollbackCause::ForecastMismatch, RollbackCause::Quarantined] {
            assert_eq!(kept(strayed), format!("why; see transaction {tid}"));
        }
        assert_eq!(kept(RollbackCause::ExpectationFailed), "why");
    }
}
