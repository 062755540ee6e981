//! The key lanes of all groups that this node leads: the core's rules, on this node's clock, and
//! tasks that wait for their turn.
//!
//! Votes cost one load while nobody takes turns.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};
use vatic_core::{
    codec,
    command::{Command, Decision},
    delta::Delta,
    id::Tid,
    key::Key,
    lane::{LaneLimits, Lanes, Turn, Urgency, Waiter, WaiterId},
};
use vatic_sync::Sparse;

/// What ends by time alone is found out by looking.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);

pub(crate) struct KeyLanes {
    table: Sparse<Table>,
    began: Instant,
}

struct Table {
    lanes: Lanes,
    wakers: HashMap<WaiterId, oneshot::Sender<()>>,
    next: WaiterId,
}

/// What a command means for the lanes, once it is applied.
pub(crate) enum Concern {
    Nothing,
    /// Its locks say from now on who is ahead.
    Vote(Tid, Vec<Key>),
    /// The same of a transaction of this group alone: it leaves no locks.
    VoteAlone(Vec<Key>),
    /// Its decision is no longer on its way.
    Decide(Tid),
}

/// A place in the queue for a record, given up when dropped.
pub(crate) struct Waiting<'a> {
    lanes: &'a KeyLanes,
    key: &'a Key,
    id: WaiterId,
    turn: Option<Turn>,
    woken: oneshot::Receiver<()>,
    done: bool,
}

impl Default for KeyLanes {
    fn default() -> KeyLanes {
        let lanes = Lanes::new(LaneLimits::production());
        let table = Table { lanes, wakers: HashMap::new(), next: 0 };
        let table = Sparse::new(table, |table: &Table| table.lanes.count());
        KeyLanes { table, began: Instant::now() }
    }
}

impl KeyLanes {
    /// Whether it is another transaction's turn than this one's.
    pub(crate) fn is_taken(&self, key: &Key, token: Option<u64>) -> bool {
        let now_us = self.now_us();
        !self.table.is_empty() && self.table.with(|table| table.lanes.is_taken(key, token, now_us))
    }

    /// Takes a turn, unless others are ahead; whether it is taken.
    pub(crate) fn take(&self, key: &Key, turn: Turn) -> bool {
        let now_us = self.now_us();
        self.table.with(|table| table.lanes.take(key, turn, now_us))
    }

    /// Gives a turn back.
    pub(crate) fn give_back(&self, key: &Key, token: u64) {
        self.change(|lanes, now_us| lanes.give_back(key, token, now_us));
    }

    /// Queues up; `None` where there is no more room.
    pub(crate) fn wait<'a>(
        &'a self,
        key: &'a Key,
        turn: Option<Turn>,
        urgency: Urgency,
    ) -> Option<Waiting<'a>> {
        let (wake, woken) = oneshot::channel();
        let since_us = self.now_us();
        let id = self.table.with(|table| {
            table.next += 1;
            let waiter = Waiter { id: table.next, turn, urgency, since_us };
            table.lanes.wait(key, waiter).then(|| {
                table.wakers.insert(waiter.id, wake);
                waiter.id
            })
        })?;
        let waiting = Waiting { lanes: self, key, id, turn, woken, done: false };
        self.look_again(key);
        Some(waiting)
    }

    /// Wakes whoever is next, where turns or votes ended by time.
    pub(crate) fn look_again(&self, key: &Key) {
        self.change(|lanes, now_us| lanes.look_again(key, now_us));
    }

    /// How a transaction was decided whose decision is not applied yet, if that is known.
    pub(crate) fn decision(&self, tid: Tid) -> Option<Decision> {
        self.table.with(|table| table.lanes.decision(tid).cloned())
    }

    /// What a command that is about to be proposed will mean. A decision frees its records now.
    pub(crate) fn concern(&self, command: &Command) -> Concern {
        match command {
            _ if self.table.is_empty() => Concern::Nothing,
            Command::Vote(vote) => {
                let deltas = vote.part.transitions.iter().map(|transition| &transition.delta);
                let deltas = deltas.filter_map(|bytes| codec::decode::<Delta>(bytes).ok());
                let mut keys: Vec<Key> = deltas.map(|delta| delta.key).collect();
                keys.sort_unstable();
                keys.dedup();
                match vote.body.participants.len() {
                    1 => Concern::VoteAlone(keys),
                    _ => Concern::Vote(vote.body.tid, keys),
                }
            }
            Command::Decide { tid, decision, .. } => {
                self.change(|lanes, now_us| lanes.deciding(*tid, decision.clone(), now_us));
                Concern::Decide(*tid)
            }
            _ => Concern::Nothing,
        }
    }

    /// The command was applied, or nobody knows.
    pub(crate) fn applied(&self, concern: Concern) {
        match concern {
            Concern::Nothing => {}
            Concern::Vote(tid, keys) => self.change(|lanes, now_us| {
                lanes.voted(tid, keys, now_us);
                Vec::new()
            }),
            Concern::VoteAlone(keys) => {
                self.change(|lanes, now_us| lanes.voted_alone(&keys, now_us));
            }
            Concern::Decide(tid) => self.table.with(|table| table.lanes.decided(tid)),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Lanes, u64) -> Vec<WaiterId>) {
        let now_us = self.now_us();
        self.table.with(|table| {
            for id in change(&mut table.lanes, now_us) {
                let wake = table.wakers.remove(&id).expect("who waits has a waker");
                // Whoever is gone gives its turn back as it is dropped.
                let _ = wake.send(());
            }
        });
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Waiting<'_> {
    /// From now on the turn is the caller's to give back.
    pub(crate) fn keep(mut self) {
        self.done = true;
    }
}

/// Resolves when the turn has come.
impl Future for Waiting<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.woken).poll(context).map(drop)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let left = self.lanes.table.with(|table| {
            table.lanes.leave(self.key, self.id);
            table.wakers.remove(&self.id).is_some()
        });
        // Its turn had come, and nobody is left to use it.
        let unused = self.turn.filter(|_| !left);
        unused.into_iter().for_each(|turn| self.lanes.give_back(self.key, turn.token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_core::id::Timestamp;

    fn key() -> Key {
        Key::new("c", "p", "").unwrap()
    }

    fn turn(token: u64) -> Turn {
        Turn { token, hold_us: 20_000 }
    }

    fn decide(tid: Tid) -> Command {
        let decision = Decision::Committed { ts: Timestamp(7) };
        Command::Decide { tid, body: None, decision, proofs: vec![] }
    }

    #[tokio::test(start_paused = true)]
    async fn waiter_is_woken_when_a_decision_comes_to_be_proposed() {
        let lanes = KeyLanes::default();
        let (key, tid) = (key(), Tid::from_bytes(&[1; 20]).unwrap());
        assert!(lanes.take(&key, turn(1)));
        let mut waiting = lanes.wait(&key, Some(turn(2)), Urgency::default()).unwrap();
        lanes.applied(Concern::Vote(tid, vec![key.clone()]));
        let concern = lanes.concern(&decide(tid));
        tokio::time::timeout(Duration::ZERO, &mut waiting).await.expect("it is its turn");
        assert!(lanes.decision(tid).is_some());
        lanes.applied(concern);
        assert!(lanes.decision(tid).is_none());
        assert!(lanes.is_taken(&key, None) && !lanes.is_taken(&key, Some(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn waiter_that_is_dropped_leaves_its_turn_to_the_next() {
        let lanes = KeyLanes::default();
        let key = key();
        assert!(lanes.take(&key, turn(1)));
        let first = lanes.wait(&key, Some(turn(2)), Urgency::default()).unwrap();
        let second = lanes.wait(&key, Some(turn(3)), Urgency::default()).unwrap();
        lanes.give_back(&key, 1);
        drop(first);
        tokio::time::timeout(Duration::ZERO, second).await.expect("it is its turn");
        assert!(lanes.table.is_empty(), "a turn that was not kept is given back");
    }

    #[tokio::test(start_paused = true)]
    async fn turn_whose_time_is_over_goes_to_who_looks_again() {
        let lanes = KeyLanes::default();
        let key = key();
        assert!(lanes.take(&key, turn(1)));
        let mut waiting = lanes.wait(&key, Some(turn(2)), Urgency::default()).unwrap();
        tokio::time::advance(Duration::from_millis(21)).await;
        lanes.look_again(&key);
        tokio::time::timeout(Duration::ZERO, &mut waiting).await.expect("it is its turn");
    }
}
