//! Who is about to write what, before any vote says so: advice that saves votes.
//!
//! Why: on a hot record many transactions read the same version, and all but one of their votes are
//! wasted. Whoever reads with an intent learns whether somebody else is ahead, and may wait until
//! the record is free. One waiter is woken at a time, since only one can go ahead.
//!
//! Invariants: it is advice. It lives in the memory of a group's leader and is lost with it;
//! whether a transaction commits is decided by votes alone, and no vote waits. An intent ends with
//! a vote on its record, when it is given back, or when its time is over. A waiter looks again
//! after [`LOOK_AGAIN`] whatever it has heard.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};
use vatic_core::{codec, command::Command, delta::Delta, id::Tid, key::Key};
use vatic_sync::Sparse;

/// What woke nobody is found out by looking.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// Above so many of a kind, what is over is dropped; what is lost is advice.
const SWEEP_MIN: usize = 4_096;

/// The intents of all groups that this node leads.
pub(crate) struct Intents {
    /// Votes cost one load while nobody has an intent.
    table: Sparse<Table>,
}

impl Default for Intents {
    fn default() -> Intents {
        Intents { table: Sparse::new(Table::default(), Table::count) }
    }
}

#[derive(Default)]
struct Table {
    by_key: HashMap<Key, Intent>,
    waiting: HashMap<Key, VecDeque<oneshot::Sender<()>>>,
    /// What transactions of several groups voted on here.
    undecided: BTreeMap<Tid, Vec<Key>>,
    /// At how many of a kind to look for what is over.
    sweep_at: usize,
}

/// One transaction's intent to write one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    /// The transaction's own name for itself.
    pub(crate) token: u64,
    pub(crate) ends: Instant,
}

/// What a command means for intents, once it is applied.
pub(crate) enum Concern {
    Nothing,
    /// Its locks say from now on who is ahead.
    Vote(Tid, Vec<Key>),
    /// The same of a transaction of this group alone: it leaves no locks.
    VoteAlone(Vec<Key>),
    /// Its locks are gone.
    Decide(Tid),
}

impl Intents {
    /// Whether another transaction than this one means to write the record.
    pub(crate) fn taken(&self, key: &Key, token: Option<u64>) -> bool {
        self.is_busy() && self.with(|table| table.is_taken(key, token))
    }

    /// Notes an intent, unless another one is ahead of it; whether that is so.
    pub(crate) fn take(&self, key: &Key, intent: Intent) -> bool {
        self.with(|table| {
            if table.is_taken(key, Some(intent.token)) {
                return false;
            }
            table.by_key.insert(key.clone(), intent);
            true
        })
    }

    /// Gives an intent back.
    pub(crate) fn give_back(&self, key: &Key, token: u64) {
        self.with(|table| {
            if table.by_key.get(key).is_some_and(|held| held.token == token) {
                table.by_key.remove(key);
                table.wake(key);
            }
        });
    }

    /// To be asked before a look: resolves when the record may be free.
    pub(crate) fn wait(&self, key: &Key) -> oneshot::Receiver<()> {
        let (wake, woken) = oneshot::channel();
        self.with(|table| table.waiting.entry(key.clone()).or_default().push_back(wake));
        woken
    }

    /// What a command will mean.
    pub(crate) fn concern(&self, command: &Command) -> Concern {
        match command {
            _ if !self.is_busy() => Concern::Nothing,
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
            Command::Decide { tid, .. } => Concern::Decide(*tid),
            _ => Concern::Nothing,
        }
    }

    /// The command was applied, or nobody knows.
    pub(crate) fn applied(&self, concern: Concern) {
        match concern {
            Concern::Nothing => {}
            Concern::Vote(tid, keys) => self.with(|table| {
                table.end(&keys);
                table.undecided.insert(tid, keys);
            }),
            Concern::VoteAlone(keys) => self.with(|table| {
                table.end(&keys);
                keys.iter().for_each(|key| table.wake(key));
            }),
            Concern::Decide(tid) => self.with(|table| {
                let keys = table.undecided.remove(&tid).unwrap_or_default();
                keys.iter().for_each(|key| table.wake(key));
            }),
        }
    }

    fn is_busy(&self) -> bool {
        !self.table.is_empty()
    }

    fn with<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        self.table.with(|table| {
            let result = change(table);
            table.sweep();
            result
        })
    }
}

impl Table {
    fn count(&self) -> usize {
        self.by_key.len() + self.waiting.len() + self.undecided.len()
    }

    fn is_taken(&self, key: &Key, token: Option<u64>) -> bool {
        let held = self.by_key.get(key);
        held.is_some_and(|held| Some(held.token) != token && held.ends > Instant::now())
    }

    fn end(&mut self, keys: &[Key]) {
        for key in keys {
            self.by_key.remove(key);
        }
    }

    /// Wakes the first who still waits.
    fn wake(&mut self, key: &Key) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        while let Some(wake) = waiting.pop_front() {
            if wake.send(()).is_ok() {
                break;
            }
        }
        if waiting.is_empty() {
            self.waiting.remove(key);
        }
    }

    /// Seldom, so that many intents that are all alive do not cost a look at all of them each time.
    fn sweep(&mut self) {
        let largest = |table: &Table| table.by_key.len().max(table.waiting.len());
        if largest(self) >= self.sweep_at.max(SWEEP_MIN) {
            let now = Instant::now();
            self.by_key.retain(|_, held| held.ends > now);
            self.waiting.retain(|_, waiting| {
                waiting.retain(|wake| !wake.is_closed());
                !waiting.is_empty()
            });
            self.sweep_at = 2 * largest(self);
        }
        if self.undecided.len() >= SWEEP_MIN {
            // Whoever waits for these looks again by itself.
            self.undecided.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("c", "p", "").unwrap()
    }

    fn intent(token: u64) -> Intent {
        Intent { token, ends: Instant::now() + Duration::from_millis(20) }
    }

    fn tid() -> Tid {
        Tid::from_bytes(&[1; 20]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn second_intent_waits_for_the_end_of_the_first() {
        let intents = Intents::default();
        assert!(intents.take(&key(), intent(1)));
        assert!(intents.take(&key(), intent(1)), "one's own intent is in nobody's way");
        assert!(!intents.take(&key(), intent(2)));
        assert!(intents.taken(&key(), None) && !intents.taken(&key(), Some(1)));
        tokio::time::advance(Duration::from_millis(21)).await;
        assert!(intents.take(&key(), intent(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn intent_ends_with_a_vote_or_when_its_owner_gives_it_back() {
        let intents = Intents::default();
        assert!(intents.take(&key(), intent(1)));
        intents.give_back(&key(), 2);
        assert!(!intents.take(&key(), intent(2)), "only its owner gives it back");
        intents.give_back(&key(), 1);
        assert!(intents.take(&key(), intent(2)));
        intents.applied(Concern::VoteAlone(vec![key()]));
        assert!(intents.take(&key(), intent(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn one_waiter_is_woken_when_the_locks_of_a_vote_are_gone() {
        let intents = Intents::default();
        let gone = intents.wait(&key());
        let (mut first, mut second) = (intents.wait(&key()), intents.wait(&key()));
        drop(gone);
        intents.applied(Concern::Vote(tid(), vec![key()]));
        assert!(first.try_recv().is_err(), "the vote's lock is still in the way");
        intents.applied(Concern::Decide(tid()));
        assert!(first.try_recv().is_ok());
        assert!(second.try_recv().is_err());
        assert!(intents.is_busy());
        intents.applied(Concern::VoteAlone(vec![key()]));
        assert!(second.try_recv().is_ok());
        assert!(!intents.is_busy());
    }
}
