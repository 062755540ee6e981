//! How a client keeps its transactions out of each other's way: what is compared.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use clap::ValueEnum;
use tokio::sync::Notify;
use vatic_core::key::Key;

/// What a transaction does about others that mean to write the same records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub(crate) enum Policy {
    /// Nothing: it reads at once, and its votes tell whether that was in time
    Fifo,
    /// Takes the key lane of each record, and where one is taken gives up and tries again later
    #[value(name = "no-wait-2pl")]
    NoWait,
    /// Takes the key lane of each record in its turn
    KeyLane,
    /// Claims each record, and takes the key lane of those that were written of late or are about
    /// to be
    Hotness,
    /// Claims each record, and takes the key lane of those where the learnt probability of a
    /// conflict makes it cheaper
    Learned,
    /// Knows all records of all transactions before they begin, and lets no two meet: what could be
    /// reached at best
    Oracle,
}

impl Policy {
    /// All, the one to compare with first.
    pub(crate) const ALL: [Policy; 6] = [
        Policy::Fifo,
        Policy::NoWait,
        Policy::KeyLane,
        Policy::Hotness,
        Policy::Learned,
        Policy::Oracle,
    ];

    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// The records of all transactions under way, for [`Policy::Oracle`]: one table for all clients,
/// which no cluster could have.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    busy: Mutex<BTreeSet<Key>>,
    freed: Notify,
}

/// Records that nobody else has while it lives.
#[derive(Debug)]
pub(crate) struct Admitted {
    oracle: Arc<Oracle>,
    keys: Vec<Key>,
}

impl Oracle {
    /// Waits until all of them are free at once.
    pub(crate) async fn admit(self: &Arc<Self>, keys: &[Key]) -> Admitted {
        loop {
            // Asked before the look: what is freed in between wakes it.
            let freed = self.freed.notified();
            if self.take(keys) {
                return Admitted { oracle: self.clone(), keys: keys.to_vec() };
            }
            freed.await;
        }
    }

    fn take(&self, keys: &[Key]) -> bool {
        let mut busy = self.busy.lock().expect("no panic under the lock");
        let free = keys.iter().all(|key| !busy.contains(key));
        if free {
            busy.extend(keys.iter().cloned());
        }
        free
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut busy = self.oracle.busy.lock().expect("no panic under the lock");
        busy.retain(|key| !self.keys.contains(key));
        self.oracle.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new("c", name, "").unwrap()
    }

    #[tokio::test]
    async fn two_that_share_a_record_are_never_admitted_together() {
        let oracle = Arc::new(Oracle::default());
        let first = oracle.admit(&[key("a"), key("b")]).await;
        let others = oracle.admit(&[key("c")]).await;
        assert!(!oracle.take(&[key("b"), key("d")]));
        let waiting = tokio::spawn({
            let oracle = oracle.clone();
            async move { oracle.admit(&[key("b"), key("d")]).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        drop(waiting.await.unwrap());
        drop(others);
        assert!(oracle.busy.lock().unwrap().is_empty());
    }
}
