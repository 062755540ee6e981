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
use vatic_consensus::GroupHandle;
use vatic_core::{
    codec,
    command::{Command, Decision, Vote},
    delta::Delta,
    id::{GroupId, Tid},
    key::Key,
    lane::{LaneLimits, Lanes, Now, Turn, Urgency, Waiter, WaiterId},
    read,
    rules::Rules,
};
use vatic_sync::Sparse;

/// What ends by time alone is found out by looking.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);

pub(crate) struct KeyLanes {
    /// Otherwise nobody is held off, and who asks for a turn has it.
    on: bool,
    table: Sparse<Table>,
    began: Instant,
}

struct Table {
    lanes: Lanes,
    wakers: HashMap<WaiterId, oneshot::Sender<()>>,
    next: WaiterId,
}

/// A command on its way through the log. Dropped when it is applied, or nobody knows: then what it
/// means for the lanes takes effect.
pub(crate) struct Passing<'a> {
    lanes: &'a KeyLanes,
    handle: &'a GroupHandle,
    concern: Concern,
}

enum Concern {
    Nothing,
    /// Its locks say from then on who is ahead.
    Vote(Vec<Key>),
    /// Its decision is no longer on its way, and its locks are gone.
    Decide(Tid, Vec<Key>),
}

/// A place in the queue for a record, given up when dropped.
pub(crate) struct Waiting<'a> {
    lanes: &'a KeyLanes,
    handle: &'a GroupHandle,
    key: &'a Key,
    id: WaiterId,
    turn: Option<Turn>,
    woken: oneshot::Receiver<()>,
    kept: bool,
}

impl KeyLanes {
    pub(crate) fn new(on: bool) -> KeyLanes {
        let lanes = Lanes::new(LaneLimits::production(), Rules::default());
        let table = Table { lanes, wakers: HashMap::new(), next: 0 };
        let table = Sparse::new(table, |table: &Table| table.lanes.count());
        KeyLanes { on, table, began: Instant::now() }
    }

    /// Whether turns hold anybody off.
    pub(crate) fn are_on(&self) -> bool {
        self.on
    }

    /// Whether it is another transaction's turn than this one's.
    pub(crate) fn is_taken(&self, key: &Key, token: Option<u64>) -> bool {
        let now_us = self.now_us();
        !self.table.is_empty() && self.table.with(|table| table.lanes.is_taken(key, token, now_us))
    }

    /// How many have a turn with the record or wait for one.
    pub(crate) fn ahead(&self, key: &Key) -> u64 {
        if self.table.is_empty() {
            return 0;
        }
        let now_us = self.now_us();
        self.table.with(|table| {
            let taken = table.lanes.is_taken(key, None, now_us);
            table.lanes.waiting_for(key) as u64 + u64::from(taken)
        })
    }

    /// Takes a turn, unless others are ahead; whether it is taken.
    pub(crate) fn take(&self, key: &Key, turn: Turn) -> bool {
        let now_us = self.now_us();
        !self.on || self.table.with(|table| table.lanes.take(key, turn, now_us))
    }

    /// Gives a turn back. As everywhere here, `handle` is of the record's group.
    pub(crate) fn give_back(&self, handle: &GroupHandle, key: &Key, token: u64) {
        self.change(handle, |lanes, now| lanes.give_back(key, token, now));
    }

    /// Queues up; `None` where there is no more room, or no queue.
    pub(crate) fn wait<'a>(
        &'a self,
        handle: &'a GroupHandle,
        key: &'a Key,
        turn: Option<Turn>,
        urgency: Urgency,
    ) -> Option<Waiting<'a>> {
        if !self.on {
            return None;
        }
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
        // It may be free by now.
        self.look_again(handle, key);
        Some(Waiting { lanes: self, handle, key, id, turn, woken, kept: false })
    }

    /// Wakes whoever is next, where a turn or a lock ended unnoticed.
    pub(crate) fn look_again(&self, handle: &GroupHandle, key: &Key) {
        self.change(handle, |lanes, now| lanes.next(key, now));
    }

    /// To be called now and then.
    pub(crate) fn sweep(&self) {
        if !self.table.is_empty() {
            let now_us = self.now_us();
            self.table.with(|table| table.lanes.sweep(now_us));
        }
    }

    /// How a transaction was decided whose decision is not applied yet, if that is known.
    pub(crate) fn decision(&self, group: GroupId, tid: Tid) -> Option<Decision> {
        self.table.with(|table| table.lanes.decision(group, tid).cloned())
    }

    /// To be asked before a command is proposed. A decision frees its records now.
    pub(crate) fn passing<'a>(&'a self, handle: &'a GroupHandle, command: &Command) -> Passing<'a> {
        let concern = match command {
            _ if self.table.is_empty() => Concern::Nothing,
            Command::Vote(vote) => Concern::Vote(keys_of(vote)),
            Command::Decide { tid, decision, .. } => {
                let keys = read::writes_of(&handle.view(), *tid);
                let decision = decision.clone();
                self.change(handle, |lanes, now| lanes.deciding(*tid, decision, &keys, now));
                Concern::Decide(*tid, keys)
            }
            _ => Concern::Nothing,
        };
        Passing { lanes: self, handle, concern }
    }

    fn change(
        &self,
        handle: &GroupHandle,
        change: impl FnOnce(&mut Lanes, Now<'_>) -> Vec<WaiterId>,
    ) {
        let view = handle.view();
        let holder = |key: &Key| read::writer(&view, key);
        let group = GroupId(handle.group());
        let now = Now { group, us: self.now_us(), holder: &holder };
        self.table.with(|table| {
            for id in change(&mut table.lanes, now) {
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

/// The records that a vote writes or expects something of.
fn keys_of(vote: &Vote) -> Vec<Key> {
    let deltas = vote.part.transitions.iter().map(|transition| &transition.delta);
    let deltas = deltas.filter_map(|bytes| codec::decode::<Delta>(bytes).ok());
    let mut keys: Vec<Key> = deltas.map(|delta| delta.key).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        match &self.concern {
            Concern::Nothing => {}
            Concern::Vote(keys) => {
                self.lanes.change(self.handle, |lanes, now| lanes.voted(keys, now))
            }
            Concern::Decide(tid, keys) => {
                self.lanes.change(self.handle, |lanes, now| lanes.decided(*tid, keys, now));
            }
        }
    }
}

impl Waiting<'_> {
    /// From now on the turn is the caller's to give back.
    pub(crate) fn keep(mut self) {
        self.kept = true;
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
        if self.kept {
            return;
        }
        let left = self.lanes.table.with(|table| {
            table.lanes.leave(self.key, self.id);
            table.wakers.remove(&self.id).is_some()
        });
        // Its turn had come, and nobody is left to use it.
        let unused = self.turn.filter(|_| !left);
        unused.into_iter().for_each(|turn| self.lanes.give_back(self.handle, self.key, turn.token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turn_that_nobody_used_is_forgotten_once_it_is_over() {
        let (key, lanes) = (Key::new("c", "p", "").unwrap(), KeyLanes::new(true));
        assert!(lanes.take(&key, Turn { token: 1, hold_us: 60_000_000 }));
        lanes.sweep();
        assert!(lanes.is_taken(&key, None));
        assert!(lanes.take(&key, Turn { token: 1, hold_us: 0 }));
        lanes.sweep();
        assert!(lanes.table.is_empty());
    }

    #[test]
    fn without_lanes_everybody_has_a_turn_and_holds_nobody_off() {
        let key = Key::new("c", "p", "").unwrap();
        for on in [true, false] {
            let lanes = KeyLanes::new(on);
            let turn = |token| Turn { token, hold_us: 60_000_000 };
            assert!(lanes.take(&key, turn(1)));
            assert_eq!(lanes.take(&key, turn(2)), !on);
            assert_eq!(lanes.is_taken(&key, Some(3)), on);
        }
    }
}
