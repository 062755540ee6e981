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
//! A ticket of several groups would be met in the votes of all that touch its records: of those the
//! first goes, and who is behind it goes when it has ended. Whoever waits for a record keeps it
//! from those behind, while it is due, or one that needs two of them would never find both free. So
//! order holds at each record. (Two that merely expect one record would not meet, and are taken for
//! such.)
//!
//! Those of one group may go beside each other on a record, one after the other as their votes lie
//! in the log. Of the first few of one priority the one goes whose records the fewest under way
//! touch, since those are free soonest: so all places together are done with what waits soonest.
//! Whoever is passed by for that stays in front, and shares no record with who passes it by.
//!
//! What has met others takes its turns with its records before it is sent again ([`crate::lane`]).
//!
//! What is not urgent is tried out before it is sent ([`crate::shadow`]), and tried again later
//! where somebody is in its way; after so many tries, or once it has aged, it is sent all the same.
//!
//! What has aged, and waits for no record, takes half of the places before all others, and of the
//! rest what they leave, but for an eighth of all: else tickets that cannot happen for long, since
//! a group that they need has no quorum, would keep all for themselves.
//!
//! Invariants: at most `running_max` under way at once; a ticket is not begun twice by one leader
//! at the same time, nor one of several groups beside another that touches its record; whoever is
//! in the queue and not under way will be due, or waits for a record of one that is before it.

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
    /// Of so many in order that one goes first whose records are free soonest; 1: the first.
    pub choice: usize,
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
            choice: 5,
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
            choice: 2,
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
    running: BTreeMap<Ticket, Touched>,
    /// Those that were tried.
    waits: BTreeMap<Ticket, Wait>,
}

/// What is known of a ticket that was tried.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Wait {
    tries: u32,
    /// When it is due again.
    again_us: u64,
    /// An attempt was sent, and others were in its way.
    met: bool,
}

/// What a ticket's transaction touches.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Touched {
    /// Its records.
    pub records: BTreeSet<Key>,
    /// They are all of the ticket's own group: one command votes and decides, so that nobody meets
    /// it there, though it may meet others.
    pub at_home: bool,
}

impl Touched {
    /// The records on which it is met.
    fn held(&self) -> impl Iterator<Item = &Key> {
        self.records.iter().filter(|_| !self.at_home)
    }
}

/// How an attempt at a ticket ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ended {
    /// The ticket is resolved, here or elsewhere.
    Over,
    /// It was sent, and others were in its way, or nobody knows.
    Met,
    /// It was not sent.
    NotSent,
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
    pub fn begin<'q>(
        &mut self,
        queued: &[(Ticket, u8)],
        touched: impl Fn(&Ticket) -> &'q Touched,
        paused: bool,
        now: Now,
    ) -> Vec<Ticket> {
        if paused && !broken!(self.rules, PauseIgnored) {
            return Vec::new();
        }
        let due = self.in_order(queued, now);
        let aged = |ticket: &Ticket| self.is_aged(ticket, now.clock);
        let (old, young): (Vec<_>, Vec<_>) = due.into_iter().partition(|(ticket, _)| aged(ticket));
        let places = self.limits.running_max;
        let mut aged_running = self.running.keys().filter(|ticket| aged(ticket)).count();
        let taken = if broken!(self.rules, TicketsPastPlaces) { 0 } else { self.running.len() };
        let mut room = places.saturating_sub(taken);
        let mut held: BTreeSet<&Key> = self.running.values().flat_map(Touched::held).collect();
        let (mut begun, mut later) = (Vec::new(), Vec::new());
        for (ticket, _) in old {
            let free = self.reserve(&mut held, touched(ticket));
            if free && room > 0 && aged_running < places.div_ceil(2) {
                (room, aged_running) = (room - 1, aged_running + 1);
                begun.push(ticket);
            } else if free {
                later.push(ticket);
            }
        }
        let free = young.into_iter().filter(|(it, _)| self.reserve(&mut held, touched(it)));
        let choice = if broken!(self.rules, TicketsAsTheyCome) { 1 } else { self.limits.choice };
        let free: Vec<_> = free.take(room + choice.saturating_sub(1)).collect();
        let mut busy = Busy::of(self.rules);
        self.running.values().for_each(|running| busy.add(running));
        begun.iter().for_each(|&ticket| busy.add(touched(ticket)));
        let young = busy.choose(free, room, choice, &touched);
        room -= young.len();
        begun.extend(young);
        let left = (places - places / 8).saturating_sub(aged_running);
        begun.extend(later.into_iter().take(room.min(left)));
        let begun: Vec<Ticket> = begun.into_iter().cloned().collect();
        self.running.extend(begun.iter().map(|ticket| (ticket.clone(), touched(ticket).clone())));
        begun
    }

    /// What is due with its priority, whoever goes first at the front.
    fn in_order<'q>(&self, queued: &'q [(Ticket, u8)], now: Now) -> Vec<&'q (Ticket, u8)> {
        let mut due: Vec<&(Ticket, u8)> =
            queued.iter().filter(|(ticket, _)| self.is_due(ticket, now)).collect();
        due.sort_by_key(|(ticket, priority)| self.rank(ticket, *priority, now.clock));
        due
    }

    /// Whether nobody has or keeps a record that a ticket touches; it keeps them from those behind.
    fn reserve<'q>(&self, held: &mut BTreeSet<&'q Key>, touched: &'q Touched) -> bool {
        let free = !touched.records.iter().any(|key| held.contains(key))
            || broken!(self.rules, TicketsTogether);
        if free || !broken!(self.rules, TicketPassedBy) {
            held.extend(touched.held());
        }
        free
    }

    /// The class in which a ticket asks for a place: what has aged is behind nobody there either.
    pub fn class(&self, ticket: &Ticket, priority: u8, clock: Timestamp) -> u8 {
        if self.is_aged(ticket, clock) { u8::MAX } else { priority }
    }

    /// Whether a ticket is neither under way nor waits to be tried again.
    pub fn is_due(&self, ticket: &Ticket, now: Now) -> bool {
        let waits = self.waits.get(ticket).is_some_and(|wait| wait.again_us > now.us);
        let runs = self.running.contains_key(ticket) && !broken!(self.rules, TicketBegunTwice);
        !waits && !runs
    }

    /// Whether a ticket that was begun is tried out before it is sent.
    pub fn is_shadowed(&self, ticket: &Ticket, priority: u8, now: Now) -> bool {
        let tries = self.waits.get(ticket).map_or(0, |wait| wait.tries);
        let spent = tries >= self.limits.shadow_tries_max || self.is_aged(ticket, now.clock);
        priority < self.limits.shadow_below && (!spent || broken!(self.rules, ShadowForEver))
    }

    /// How often a ticket that others were in the way of was tried.
    pub fn rollbacks(&self, ticket: &Ticket) -> u32 {
        self.waits.get(ticket).filter(|wait| wait.met).map_or(0, |wait| wait.tries)
    }

    /// Whether a ticket that was begun takes its turns with its records first: others were in its
    /// way before.
    pub fn takes_turns(&self, ticket: &Ticket) -> bool {
        self.waits.get(ticket).is_some_and(|wait| wait.met)
    }

    /// An attempt has ended. `drawn` is chance: those that were in each other's way do not try
    /// again in step.
    pub fn ended(&mut self, ticket: Ticket, how: Ended, now: Now, drawn: u64) {
        if how == Ended::Over || !broken!(self.rules, TicketNotWokenUp) {
            self.running.remove(&ticket);
        }
        if how == Ended::Over {
            self.waits.remove(&ticket);
            return;
        }
        let (tries, met) = self.waits.get(&ticket).map_or((0, false), |it| (it.tries, it.met));
        let [first_us, longest_us] = self.limits.pause_us;
        let most_us = (first_us << tries.min(16)).clamp(first_us, longest_us.max(first_us));
        let again_us = now.us + first_us + drawn % (most_us - first_us + 1);
        let met = met || how == Ended::Met;
        self.waits.insert(ticket, Wait { tries: tries + 1, again_us, met });
    }

    /// It leads no more: another one tries what is left. What is under way ends by itself.
    pub fn deposed(&mut self) {
        self.waits.clear();
    }

    /// Who goes first: the smaller.
    fn rank<'q>(
        &self,
        ticket: &'q Ticket,
        priority: u8,
        clock: Timestamp,
    ) -> (Reverse<(bool, u8)>, &'q Ticket) {
        let aged = self.is_aged(ticket, clock) && !broken!(self.rules, TicketAgeIgnored);
        let priority = if broken!(self.rules, TicketPriorityIgnored) { 0 } else { priority };
        // Tickets are ordered as they were minted.
        (Reverse((aged, if aged { 0 } else { priority })), ticket)
    }

    fn is_aged(&self, ticket: &Ticket, clock: Timestamp) -> bool {
        let waited_us = ticket.mint().map_or(0, |mint| clock.0.saturating_sub(mint.0));
        waited_us > self.limits.aged_us
    }
}

/// How many of those under way touch each record.
struct Busy<'k> {
    under_way: BTreeMap<&'k Key, usize>,
    rules: Rules,
}

impl<'k> Busy<'k> {
    fn of(rules: Rules) -> Busy<'k> {
        Busy { under_way: BTreeMap::new(), rules }
    }

    fn add(&mut self, touched: &'k Touched) {
        touched.records.iter().for_each(|key| *self.under_way.entry(key).or_default() += 1);
    }

    /// How many have to end until all records of this one are free, at the worst of them.
    fn ahead(&self, touched: &Touched) -> usize {
        let of = |key: &Key| self.under_way.get(key).copied().unwrap_or_default();
        touched.records.iter().map(of).max().unwrap_or_default()
    }

    /// Up to `room` of these, which come in order: each time, of the first few of one priority, the
    /// first of those that have the fewest ahead and share no record with one before them.
    fn choose<'w, 't: 'k>(
        mut self,
        mut waiting: Vec<&'w (Ticket, u8)>,
        room: usize,
        choice: usize,
        touched: &impl Fn(&Ticket) -> &'t Touched,
    ) -> Vec<&'w Ticket> {
        let mut chosen = Vec::new();
        while chosen.len() < room && !waiting.is_empty() {
            let first = waiting[0].1;
            let few = waiting.iter().take(choice.max(1)).take_while(|(_, it)| *it == first);
            let (mut before, mut best) = (BTreeSet::<&Key>::new(), (usize::MAX, 0));
            for (at, (ticket, _)) in few.enumerate() {
                let touched = touched(ticket);
                let shares = touched.records.iter().any(|key| before.contains(key));
                if !shares || broken!(self.rules, TicketPassesOnRecord) {
                    best = best.min((self.ahead(touched), at));
                }
                before.extend(&touched.records);
            }
            let (ticket, _) = waiting.remove(best.1);
            self.add(touched(ticket));
            chosen.push(ticket);
        }
        chosen
    }
}
