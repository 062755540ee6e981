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
//! Who holds a record's lock is not noted here but asked of the group's state, by a function that
//! each call brings: what is written down twice comes apart when a reply is lost.
//!
//! Invariants: it is advice. It lives in the memory of a group's leader and is lost with it;
//! whether a transaction commits is decided by votes alone, and no vote waits. A turn ends with a
//! vote on its record, when it is given back, or when its time is over. A turn is given to at most
//! one waiter at a time, and to nobody while another's vote there is undecided. Who is told that it
//! is their turn is told once.

use crate::{
    command::Decision,
    id::{GroupId, Tid},
    key::Key,
    rules::{Rules, broken},
};
use alloc::{collections::BTreeMap, vec::Vec};
use core::cmp::Reverse;
use serde::{Deserialize, Serialize};

/// One waiter, by the number that the caller gave it.
pub type WaiterId = u64;

/// Bounds of a lane table. Times are microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct LaneLimits {
    /// Who has waited this long goes before all who have not.
    pub ageing_us: u64,
    /// Most waiters of one node.
    pub waiting_max: usize,
    /// Most records with a turn or a waiter.
    pub kept_max: usize,
}

impl LaneLimits {
    /// What a node runs with.
    pub fn production() -> LaneLimits {
        LaneLimits { ageing_us: 500_000, waiting_max: 16_384, kept_max: 65_536 }
    }

    /// So small that a model or a test meets them.
    pub fn simulation() -> LaneLimits {
        LaneLimits { ageing_us: 3, waiting_max: 3, kept_max: 4 }
    }
}

/// Who goes first among those who wait: the larger.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Urgency {
    /// Turns that it has already: others wait for those.
    pub turns: u32,
    /// Rollbacks of this transaction so far.
    pub rollbacks: u32,
    /// Its priority class.
    pub class: u8,
    /// Predicted probability of a conflict, in parts per million.
    pub score_ppm: u32,
}

/// A transaction's turn with a record.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
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

/// The moment of a call, and the group whose records it is about.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// The group.
    pub group: GroupId,
    /// Microseconds on the node's monotonic clock.
    pub us: u64,
    /// Whose undecided vote has the record locked, in the state that the group has applied.
    pub holder: &'a dyn Fn(&Key) -> Option<Tid>,
}

/// The lanes of all records of the groups that a node leads.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Lanes {
    limits: LaneLimits,
    rules: Rules,
    lanes: BTreeMap<Key, Lane>,
    waiting: usize,
    /// Decisions that are on their way into a group's log. That another group's has one says
    /// nothing of what comes behind it here.
    decided: BTreeMap<(GroupId, Tid), Decision>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
struct Lane {
    held: Option<Held>,
    waiting: Vec<Waiter>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Held {
    token: u64,
    ends_us: u64,
}

impl Lanes {
    /// Free lanes.
    pub fn new(limits: LaneLimits, rules: Rules) -> Lanes {
        Lanes { limits, rules, lanes: BTreeMap::new(), waiting: 0, decided: BTreeMap::new() }
    }

    /// How much is remembered: with 0 nobody's turn is anywhere.
    pub fn count(&self) -> usize {
        self.lanes.len() + self.decided.len()
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
        let taken_over = broken!(self.rules, TurnTakenOver);
        match self.lanes.get_mut(key) {
            Some(lane) if lane.is_taken(Some(turn.token), now_us) && !taken_over => return false,
            Some(lane) if lane.holds(turn.token) => lane.give(turn, now_us),
            // Nobody goes past those who wait.
            Some(lane) if !lane.waiting.is_empty() && !broken!(self.rules, TurnPastWaiters) => {
                return false;
            }
            Some(lane) => lane.give(turn, now_us),
            // Advice may be left out.
            None if full => self.sweep(now_us),
            None => self.lanes.entry(key.clone()).or_default().give(turn, now_us),
        }
        true
    }

    /// Gives a turn back.
    pub fn give_back(&mut self, key: &Key, token: u64, now: Now<'_>) -> Vec<WaiterId> {
        match self.lanes.get_mut(key) {
            Some(lane) if lane.holds(token) => lane.held = None,
            _ => return Vec::new(),
        }
        self.next(key, now)
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

    /// Wakes who is next, if it is nobody's turn, up to the first who takes one: turns and locks
    /// end in ways that nothing else notices.
    pub fn next(&mut self, key: &Key, now: Now<'_>) -> Vec<WaiterId> {
        let ageing_us =
            if broken!(self.rules, AgeIgnored) { u64::MAX } else { self.limits.ageing_us };
        let mut woken = Vec::new();
        let Some(lane) = self.lanes.get(key) else { return woken };
        let undecided = |tid: Tid| self.decision(now.group, tid).is_none();
        let locked = !lane.waiting.is_empty()
            && (now.holder)(key).is_some_and(undecided)
            && !broken!(self.rules, TurnWhileLocked);
        let Some(lane) = self.lanes.get_mut(key).filter(|_| !locked) else { return woken };
        while let Some(waiter) = lane.next(ageing_us, now.us) {
            woken.push(waiter.id);
            waiter.turn.into_iter().for_each(|turn| lane.give(turn, now.us));
        }
        self.waiting -= woken.len();
        self.tidy(key);
        woken
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

    /// A vote on these records was applied, or nobody knows: their turns are over.
    pub fn voted(&mut self, keys: &[Key], now: Now<'_>) -> Vec<WaiterId> {
        let end = |key| {
            self.lanes.get_mut(key).into_iter().for_each(|lane: &mut Lane| lane.held = None);
            self.next(key, now)
        };
        keys.iter().flat_map(end).collect()
    }

    /// A decision is about to be proposed that frees these records.
    pub fn deciding(
        &mut self,
        tid: Tid,
        decision: Decision,
        keys: &[Key],
        now: Now<'_>,
    ) -> Vec<WaiterId> {
        self.decided.insert((now.group, tid), decision);
        if broken!(self.rules, TurnNotPassedOn) {
            return Vec::new();
        }
        keys.iter().flat_map(|key| self.next(key, now)).collect()
    }

    /// How a transaction was decided whose decision is on its way into the group's log.
    pub fn decision(&self, group: GroupId, tid: Tid) -> Option<&Decision> {
        if broken!(self.rules, DecidedElsewhere) {
            return self.decided.iter().find(|((_, known), _)| *known == tid).map(|(_, it)| it);
        }
        self.decided.get(&(group, tid))
    }

    /// A decision that freed these records is applied, or nobody knows.
    pub fn decided(&mut self, tid: Tid, keys: &[Key], now: Now<'_>) -> Vec<WaiterId> {
        self.decided.remove(&(now.group, tid));
        keys.iter().flat_map(|key| self.next(key, now)).collect()
    }

    fn tidy(&mut self, key: &Key) {
        if self.lanes.get(key).is_some_and(Lane::is_idle) {
            self.lanes.remove(key);
        }
    }

    /// Drops turns that are over, of records that nobody waits for. To be called now and then: of
    /// a turn that was neither used nor given back nobody else hears.
    pub fn sweep(&mut self, now_us: u64) {
        for lane in self.lanes.values_mut() {
            lane.held = lane.held.filter(|held| held.ends_us > now_us);
        }
        self.lanes.retain(|_, lane| !lane.is_idle());
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
        self.held.is_none() && self.waiting.is_empty()
    }

    /// Takes out whoever is next, where it is nobody's turn.
    fn next(&mut self, ageing_us: u64, now_us: u64) -> Option<Waiter> {
        if self.is_taken(None, now_us) {
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
