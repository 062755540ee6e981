//! Which tickets a leader begins, and when it tries one again.
//!
//! All that it knows of a ticket beside the state is here, in its memory, and lost with it: that it
//! is under way, or how often it was tried and when it is due again. A new leader begins what it
//! finds in the state; what the old one has under way meanwhile loses its vote, or wins it
//! ([`crate::ticket`]).
//!
//! Order: what has waited past `aged_us` before all others, oldest first; else by priority, then by
//! age. So nothing waits longer than `aged_us` and what was there before it, at half the places.
//!
//! Two tickets that touch one record would meet in their votes: of those the first goes, and who is
//! behind it goes when it has ended. Whoever waits for a record keeps it from those behind, or one
//! that needs two of them would never find both free. So what is begun is what ends soonest, as far
//! as records tell, and order holds at each of them.
//!
//! What has met others takes its turns with its records before it is sent again ([`crate::lane`]).
//!
//! What is not urgent is tried out before it is sent ([`crate::shadow`]), and tried again later
//! where somebody is in its way; after so many tries, or once it has aged, it is sent all the same.
//!
//! What has aged takes half of the places before all others, and of the rest what they leave, but
//! for an eighth of all: else tickets that cannot happen for long, since a group that they need has
//! no quorum, would keep all for themselves.
//!
//! Invariants: at most `running_max` under way at once; a ticket is not begun twice by one leader
//! at the same time, nor two that touch one record; whoever is in the queue and not under way will
//! be due, or waits for a record of one that is before it.

use crate::{
    id::Timestamp,
    key::Key,
    rules::{Rules, broken},
    ticket::Ticket,
};
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use core::cmp::Reverse;

/// Bounds of one group's dispatch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct DispatchLimits {
    /// Most tickets under way at once.
    pub running_max: usize,
    /// What has waited for so long goes before all others.
    pub aged_us: u64,
    /// Pauses between two attempts of a ticket that conflicts: the first, and the longest.
    pub pause_us: [u64; 2],
    /// What has a lower priority is tried out before it is sent.
    pub shadow_below: u8,
    /// So often in a row, sent or not; then it is sent untried.
    pub shadow_tries_max: u32,
}

impl DispatchLimits {
    /// What a node runs with.
    pub fn production() -> DispatchLimits {
        DispatchLimits {
            running_max: 32,
            aged_us: 60_000_000,
            pause_us: [10_000, 1_000_000],
            shadow_below: 1,
            shadow_tries_max: 12,
        }
    }

    /// So small that a model meets them.
    pub fn simulation() -> DispatchLimits {
        DispatchLimits {
            running_max: 1,
            aged_us: 2,
            pause_us: [1, 1],
            shadow_below: 1,
            shadow_tries_max: 2,
        }
    }
}

/// The moment of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Now {
    /// The wall clock, by which tickets are minted.
    pub clock: Timestamp,
    /// Microseconds on the node's monotonic clock.
    pub us: u64,
}

/// What becomes of a ticket after an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum After {
    /// It is resolved, here or elsewhere.
    Over,
    /// Others were in its way, or nobody knows: it is tried again.
    Again,
    /// It cannot happen: it is resolved as that.
    GiveUp,
}

/// The tickets of one group that its leader has to do with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dispatch {
    limits: DispatchLimits,
    rules: Rules,
    /// With the records that each of them touches.
    running: BTreeMap<Ticket, BTreeSet<Key>>,
    /// Those that were tried: how often, and when they are due again.
    waits: BTreeMap<Ticket, (u32, u64)>,
}

/// What a rollback of its attempt says of a ticket: over which record, and whether the same
/// transaction may well commit when it is begun anew.
pub fn after_rollback(ticket: &Ticket, at: Option<&Key>, retryable: bool) -> After {
    match retryable {
        true => After::Again,
        // It is not there any more as it was seen: somebody else resolved it.
        false if at == Some(&ticket.queued_key()) => After::Over,
        false => After::GiveUp,
    }
}

impl Dispatch {
    /// Of a group whose leader knows nothing yet.
    pub fn new(limits: DispatchLimits, rules: Rules) -> Dispatch {
        Dispatch { limits, rules, running: BTreeMap::new(), waits: BTreeMap::new() }
    }

    /// Whether more may be begun.
    pub fn has_room(&self) -> bool {
        self.running.len() < self.limits.running_max
    }

    /// A look at what waits has seen these, and if there are `more`, nothing of those behind them:
    /// what is known of others can be forgotten.
    pub fn seen<'q>(&mut self, queued: impl IntoIterator<Item = &'q Ticket>, more: bool) {
        let known: BTreeSet<&Ticket> = queued.into_iter().collect();
        let behind = |ticket: &Ticket| more && known.last().is_some_and(|last| ticket > *last);
        self.waits.retain(|ticket, _| known.contains(ticket) || behind(ticket));
    }

    /// Begins what is due, as far as there is room: of what waits in the queue, with its priority.
    /// `records` are those that a ticket touches.
    pub fn begin(
        &mut self,
        queued: &[(Ticket, u8)],
        records: impl Fn(&Ticket) -> BTreeSet<Key>,
        paused: bool,
        now: Now,
    ) -> Vec<Ticket> {
        if paused && !broken!(self.rules, PauseIgnored) {
            return Vec::new();
        }
        let mut held: BTreeSet<Key> = self.running.values().flatten().cloned().collect();
        let mut begun = Vec::new();
        for ticket in self.in_order(queued, now) {
            if !self.has_room() {
                break;
            }
            let records = records(&ticket);
            let free = records.is_disjoint(&held) || broken!(self.rules, TicketsTogether);
            if free || !broken!(self.rules, TicketPassedBy) {
                held.extend(records.iter().cloned());
            }
            if free {
                self.running.insert(ticket.clone(), records);
                begun.push(ticket);
            }
        }
        begun
    }

    /// What is due, whoever goes first at the front.
    fn in_order(&self, queued: &[(Ticket, u8)], now: Now) -> Vec<Ticket> {
        let mut due: Vec<&(Ticket, u8)> =
            queued.iter().filter(|(ticket, _)| self.is_due(ticket, now)).collect();
        due.sort_by_cached_key(|(ticket, priority)| self.rank(ticket, *priority, now.clock));
        let aged = |ticket: &Ticket| self.is_aged(ticket, now.clock);
        let aged_running = self.running.keys().filter(|ticket| aged(ticket)).count();
        let of_aged = self.limits.running_max.div_ceil(2).saturating_sub(aged_running);
        let (old, young): (Vec<Ticket>, Vec<Ticket>) =
            due.into_iter().map(|(ticket, _)| ticket.clone()).partition(|ticket| aged(ticket));
        let (first, rest) = old.split_at(of_aged.min(old.len()));
        let most = self.limits.running_max - self.limits.running_max / 8;
        let left = most.saturating_sub(aged_running + first.len());
        let rest = rest.iter().take(left).cloned();
        first.iter().cloned().chain(young).chain(rest).collect()
    }

    /// The class in which a ticket asks for a place: what has aged is behind nobody there either.
    pub fn class(&self, ticket: &Ticket, priority: u8, clock: Timestamp) -> u8 {
        if self.is_aged(ticket, clock) { u8::MAX } else { priority }
    }

    /// Whether a ticket is neither under way nor waits to be tried again.
    pub fn is_due(&self, ticket: &Ticket, now: Now) -> bool {
        let waits = self.waits.get(ticket).is_some_and(|(_, again_us)| *again_us > now.us);
        !waits && !self.running.contains_key(ticket)
    }

    /// Whether a ticket that was begun is tried out before it is sent.
    pub fn is_shadowed(&self, ticket: &Ticket, priority: u8, now: Now) -> bool {
        let tries = self.waits.get(ticket).map_or(0, |(tries, _)| *tries);
        let spent = tries >= self.limits.shadow_tries_max || self.is_aged(ticket, now.clock);
        priority < self.limits.shadow_below && (!spent || broken!(self.rules, ShadowForEver))
    }

    /// Whether a ticket that was begun takes its turns with its records first: others were in its
    /// way before.
    pub fn takes_turns(&self, ticket: &Ticket) -> bool {
        self.waits.contains_key(ticket)
    }

    /// An attempt has ended. `drawn` is chance: those that were in each other's way do not try
    /// again in step.
    pub fn ended(&mut self, ticket: Ticket, again: bool, now: Now, drawn: u64) {
        if !(again && broken!(self.rules, TicketNotWokenUp)) {
            self.running.remove(&ticket);
        }
        if !again {
            self.waits.remove(&ticket);
            return;
        }
        let tries = self.waits.get(&ticket).map_or(0, |(tries, _)| *tries);
        let [first_us, longest_us] = self.limits.pause_us;
        let most_us = (first_us << tries.min(16)).clamp(first_us, longest_us.max(first_us));
        let pause_us = first_us + drawn % (most_us - first_us + 1);
        self.waits.insert(ticket, (tries + 1, now.us + pause_us));
    }

    /// It leads no more: another one tries what is left. What is under way ends by itself.
    pub fn deposed(&mut self) {
        self.waits.clear();
    }

    /// Who goes first: the smaller.
    fn rank(
        &self,
        ticket: &Ticket,
        priority: u8,
        clock: Timestamp,
    ) -> (Reverse<(bool, u8)>, Ticket) {
        let aged = self.is_aged(ticket, clock) && !broken!(self.rules, TicketAgeIgnored);
        let priority = if broken!(self.rules, TicketPriorityIgnored) { 0 } else { priority };
        // Tickets are ordered as they were minted.
        (Reverse((aged, if aged { 0 } else { priority })), ticket.clone())
    }

    fn is_aged(&self, ticket: &Ticket, clock: Timestamp) -> bool {
        let waited_us = ticket.mint().map_or(0, |mint| clock.0.saturating_sub(mint.0));
        waited_us > self.limits.aged_us
    }
}
