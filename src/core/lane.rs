//! The key lane: whose turn it is with a record, before any vote says so.
//!
//! Why: on a hot record many transactions read the same version, and all but one of their votes are
//! wasted. Whoever means to write it takes the lane first, or waits for its turn, and reads when it
//! has it. A record is free again as soon as its writer's decision arrives to be proposed, an entry
//! before it is applied: whoever reads then is shown what the decision will install
//! ([`crate::group::Group::peek_ahead`]), and its vote comes behind it in the log.
//!
//! Whose turn: whoever waits past `ageing_us`, oldest first; else by [`Urgency`], then age. So
//! nothing waits longer than `ageing_us` and the turns of those who were there before it.
//!
//! Invariants: it is advice. It lives in the memory of a group's leader and is lost with it; whether
//! a transaction commits is decided by votes alone, and no vote waits. A turn ends with a vote on
//! its record, when it is given back, or when its time is over. A turn is given to at most one
//! waiter at a time, and to nobody while another's vote there is undecided. Who is told that it is
//! their turn is told once.

use crate::{command::Decision, id::Tid, key::Key};
use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;

/// One waiter, by the number that the caller gave it.
pub type WaiterId = u64;

/// Bounds of a lane table. Times are microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LaneLimits {
    /// Who has waited this long goes before all who have not.
    pub ageing_us: u64,
    /// Most waiters of one node.
    pub waiting_max: usize,
    /// Most records with a turn, and most undecided votes that are remembered.
    pub kept_max: usize,
    /// How long an undecided vote keeps a record from those who wait: its decision may have gone
    /// to another leader.
    pub vote_us_max: u64,
}

impl LaneLimits {
    /// What a node runs with.
    pub fn production() -> LaneLimits {
        let (waiting_max, kept_max) = (16_384, 65_536);
        LaneLimits { ageing_us: 500_000, waiting_max, kept_max, vote_us_max: 1_000_000 }
    }

    /// So small that a model or a test meets them.
    pub fn simulation() -> LaneLimits {
        LaneLimits { ageing_us: 3, waiting_max: 3, kept_max: 4, vote_us_max: 9 }
    }
}

/// Who goes first among those who wait: the larger.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Urgency {
    /// Rollbacks of this transaction so far.
    pub rollbacks: u32,
    /// Its priority class.
    pub class: u8,
    /// Predicted probability of a conflict, in parts per million.
    pub score_ppm: u32,
}

/// A transaction's turn with a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Turn {
    /// The transaction's own name for itself.
    pub token: u64,
    /// How long it may take until it votes.
    pub hold_us: u64,
}

/// Somebody who waits for a record to be free.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Waiter {
    /// Its number, used once.
    pub id: WaiterId,
    /// The turn that it wants, if it wants one and not just to be told.
    pub turn: Option<Turn>,
    /// How it ranks.
    pub urgency: Urgency,
    /// Since when it waits.
    pub since_us: u64,
}

/// The lanes of all records of the groups that a node leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lanes {
    limits: LaneLimits,
    lanes: BTreeMap<Key, Lane>,
    waiting: usize,
    /// What transactions of several groups voted on here.
    undecided: BTreeMap<Tid, Vec<Key>>,
    /// Decisions that are on their way into the log.
    decided: BTreeMap<Tid, Decision>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Lane {
    held: Option<Held>,
    waiting: Vec<Waiter>,
    /// Votes of several groups on it whose decision has not come, and until when they count.
    votes: u32,
    votes_end_us: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Held {
    token: u64,
    ends_us: u64,
}

impl Lanes {
    /// Free lanes.
    pub fn new(limits: LaneLimits) -> Lanes {
        let (lanes, undecided, decided) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Lanes { limits, lanes, waiting: 0, undecided, decided }
    }

    /// How much is remembered: with 0 nobody's turn is anywhere.
    pub fn count(&self) -> usize {
        self.lanes.len() + self.undecided.len() + self.decided.len()
    }

    /// How many wait for a record.
    pub fn waiting_for(&self, key: &Key) -> usize {
        self.lanes.get(key).map_or(0, |lane| lane.waiting.len())
    }

    /// Whether it is another transaction's turn than this one's.
    pub fn is_taken(&self, key: &Key, token: Option<u64>, now_us: u64) -> bool {
        self.lanes.get(key).is_some_and(|lane| lane.is_taken(token, now_us))
    }

    /// Takes a turn, unless it is another's, or others wait for it; whether it is taken.
    pub fn take(&mut self, key: &Key, turn: Turn, now_us: u64) -> bool {
        let full = self.lanes.len() >= self.limits.kept_max;
        match self.lanes.get_mut(key) {
            Some(lane) if lane.is_taken(Some(turn.token), now_us) => return false,
            Some(lane) if lane.holds(turn.token) => lane.give(turn, now_us),
            // Nobody goes past those who wait.
            Some(lane) if !lane.waiting.is_empty() => return false,
            Some(lane) => lane.give(turn, now_us),
            // Advice may be left out.
            None if full => self.sweep(now_us),
            None => self.lanes.entry(key.clone()).or_default().give(turn, now_us),
        }
        true
    }

    /// Gives a turn back.
    pub fn give_back(&mut self, key: &Key, token: u64, now_us: u64) -> Vec<WaiterId> {
        match self.lanes.get_mut(key) {
            Some(lane) if lane.holds(token) => lane.held = None,
            _ => return Vec::new(),
        }
        self.next(key, now_us)
    }

    /// Queues a waiter; `false` where there is no more room.
    pub fn wait(&mut self, key: &Key, waiter: Waiter) -> bool {
        if self.waiting >= self.limits.waiting_max {
            return false;
        }
        let lane = self.lanes.entry(key.clone()).or_default();
        lane.waiting.push(waiter);
        self.waiting += 1;
        true
    }

    /// Gives the turn to whoever is next, if it is nobody's: turns and votes end by time as well,
    /// which nothing else notices.
    pub fn look_again(&mut self, key: &Key, now_us: u64) -> Vec<WaiterId> {
        self.next(key, now_us)
    }

    /// Takes a waiter out that waits no more.
    pub fn leave(&mut self, key: &Key, id: WaiterId) {
        if let Some(lane) = self.lanes.get_mut(key) {
            let before = lane.waiting.len();
            lane.waiting.retain(|waiter| waiter.id != id);
            self.waiting -= before - lane.waiting.len();
            self.tidy(key);
        }
    }

    /// A vote of several groups on these records was applied, as a Yes or a No: its lock says from
    /// now on who is ahead, until its decision comes.
    pub fn voted(&mut self, tid: Tid, keys: Vec<Key>, now_us: u64) {
        if self.undecided.contains_key(&tid) {
            return;
        }
        if self.undecided.len() >= self.limits.kept_max {
            // Whoever waits for it looks again by itself.
            return self.sweep(now_us);
        }
        for key in &keys {
            let lane = self.lanes.entry(key.clone()).or_default();
            lane.held = None;
            lane.votes += 1;
            lane.votes_end_us = now_us.saturating_add(self.limits.vote_us_max);
        }
        self.undecided.insert(tid, keys);
    }

    /// A vote that decided at once was applied: it leaves no lock.
    pub fn voted_alone(&mut self, keys: &[Key], now_us: u64) -> Vec<WaiterId> {
        let end = |key| {
            self.lanes.get_mut(key).into_iter().for_each(|lane: &mut Lane| lane.held = None);
            self.next(key, now_us)
        };
        keys.iter().flat_map(end).collect()
    }

    /// A decision is about to be proposed.
    pub fn deciding(&mut self, tid: Tid, decision: Decision, now_us: u64) -> Vec<WaiterId> {
        self.decided.insert(tid, decision);
        let keys = self.undecided.remove(&tid).unwrap_or_default();
        let release = |key| {
            let lane = self.lanes.get_mut(key).into_iter();
            lane.for_each(|lane: &mut Lane| lane.votes = lane.votes.saturating_sub(1));
            self.next(key, now_us)
        };
        keys.iter().flat_map(release).collect()
    }

    /// How a transaction was decided whose decision is on its way.
    pub fn decision(&self, tid: Tid) -> Option<&Decision> {
        self.decided.get(&tid)
    }

    /// A decision is applied, or nobody knows.
    pub fn decided(&mut self, tid: Tid) {
        self.decided.remove(&tid);
    }

    /// Wakes who is next, up to the first who takes a turn.
    fn next(&mut self, key: &Key, now_us: u64) -> Vec<WaiterId> {
        let ageing_us = self.limits.ageing_us;
        let mut woken = Vec::new();
        let Some(lane) = self.lanes.get_mut(key) else { return woken };
        while let Some(waiter) = lane.next(ageing_us, now_us) {
            woken.push(waiter.id);
            waiter.turn.into_iter().for_each(|turn| lane.give(turn, now_us));
        }
        self.waiting -= woken.len();
        self.tidy(key);
        woken
    }

    fn tidy(&mut self, key: &Key) {
        if self.lanes.get(key).is_some_and(Lane::is_idle) {
            self.lanes.remove(key);
        }
    }

    /// Drops what is over and what nobody waits for.
    fn sweep(&mut self, now_us: u64) {
        for lane in self.lanes.values_mut() {
            lane.held = lane.held.filter(|held| held.ends_us > now_us);
            lane.votes = if lane.votes_end_us > now_us { lane.votes } else { 0 };
        }
        self.lanes.retain(|_, lane| !lane.is_idle());
        let lanes = &self.lanes;
        let counts = |key: &Key| lanes.get(key).is_some_and(|lane| lane.votes > 0);
        self.undecided.retain(|_, keys| keys.iter().any(counts));
    }
}

impl Lane {
    fn is_taken(&self, token: Option<u64>, now_us: u64) -> bool {
        self.held.is_some_and(|held| Some(held.token) != token && held.ends_us > now_us)
    }

    fn holds(&self, token: u64) -> bool {
        self.held.is_some_and(|held| held.token == token)
    }

    fn give(&mut self, turn: Turn, now_us: u64) {
        let ends_us = now_us.saturating_add(turn.hold_us);
        self.held = Some(Held { token: turn.token, ends_us });
    }

    fn is_idle(&self) -> bool {
        self.held.is_none() && self.waiting.is_empty() && self.votes == 0
    }

    /// Takes out whoever is next, where it is nobody's turn and no vote is undecided.
    fn next(&mut self, ageing_us: u64, now_us: u64) -> Option<Waiter> {
        if self.is_taken(None, now_us) || (self.votes > 0 && now_us < self.votes_end_us) {
            return None;
        }
        let rank = |waiter: &Waiter| {
            let aged = now_us.saturating_sub(waiter.since_us) >= ageing_us;
            let urgency = if aged { Urgency::default() } else { waiter.urgency };
            (aged, urgency, Reverse(waiter.since_us), Reverse(waiter.id))
        };
        let (at, _) = self.waiting.iter().enumerate().max_by_key(|(_, waiter)| rank(waiter))?;
        Some(self.waiting.remove(at))
    }
}
