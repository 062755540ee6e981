//! Looks at what a running stream read, beside it, and tells what does not hold any more.
//!
//! Each group that holds such records is asked, with what other streams ask of it (`rounds`),
//! whenever the stream moves and at an interval. What gets no answer is asked again the next time:
//! a warning is a service, and the votes find what it misses.

use super::{counters::Counters, rounds::Rounds};
use crate::cluster::Cluster;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::{sleep, timeout},
};
use vatic_core::{body::KeyRead, disturbed::Disturbed, id::GroupId, key::Key, read::Record};

/// Records of one stream that are watched: the first ones.
const WATCHED_MAX: usize = 256;
/// Between two looks of one stream, however fast it moves.
const PAUSE: Duration = Duration::from_millis(5);
/// Warnings that may wait for the stream.
const TOLD_MAX: usize = 16;

type Reads = BTreeMap<GroupId, BTreeMap<Key, Watched>>;

/// A record that was read, and what was told of it last.
#[derive(Clone, Debug)]
struct Watched {
    read: KeyRead,
    told: Option<Disturbed>,
}

/// A stream's watch; over when it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    reads: Arc<Mutex<Reads>>,
    moved: Arc<Notify>,
    found: mpsc::Receiver<Disturbed>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Watches nothing yet.
    pub(crate) fn start(
        cluster: &Arc<Cluster>,
        rounds: &Arc<Rounds>,
        counters: Arc<Counters>,
    ) -> Watch {
        let (reads, moved) = (Arc::<Mutex<Reads>>::default(), Arc::<Notify>::default());
        let (tell, found) = mpsc::channel(TOLD_MAX);
        let pause = Duration::from_millis(cluster.config.limits.warning_look_ms);
        let watch = Looks {
            cluster: cluster.clone(),
            rounds: rounds.clone(),
            counters,
            reads: reads.clone(),
            moved: moved.clone(),
            tell,
            pause,
        };
        Watch { reads, moved, found, task: tokio::spawn(watch.go_on()) }
    }

    /// Watches a record from now on, as it was read.
    pub(crate) fn add(&self, group: GroupId, record: &Record) {
        let mut reads = self.reads.lock().expect("no holder panics");
        if reads.values().map(BTreeMap::len).sum::<usize>() < WATCHED_MAX {
            let read = KeyRead { key: record.key.clone(), version: record.version };
            let watched = Watched { read, told: None };
            reads.entry(group).or_default().entry(record.key.clone()).or_insert(watched);
        }
    }

    /// The stream moves: a good moment to look.
    pub(crate) fn stir(&self) {
        self.moved.notify_one();
    }

    /// The next read that does not hold any more.
    pub(crate) async fn next(&mut self) -> Option<Disturbed> {
        self.found.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Looks {
    cluster: Arc<Cluster>,
    rounds: Arc<Rounds>,
    counters: Arc<Counters>,
    reads: Arc<Mutex<Reads>>,
    moved: Arc<Notify>,
    tell: mpsc::Sender<Disturbed>,
    pause: Duration,
}

impl Looks {
    async fn go_on(self) {
        loop {
            let _ = timeout(self.pause, self.moved.notified()).await;
            let asked = self.asked();
            let looks = asked.into_iter().map(|(group, reads)| self.look(group, reads));
            for (group, found) in futures::future::join_all(looks).await.into_iter().flatten() {
                for disturbed in self.fresh(group, found) {
                    self.count(&disturbed);
                    // An error: the stream has ended.
                    if self.tell.send(disturbed).await.is_err() {
                        return;
                    }
                }
            }
            sleep(PAUSE.min(self.pause)).await;
        }
    }

    /// What may still be disturbed: of what is overwritten there is no more to tell.
    fn asked(&self) -> Vec<(GroupId, Vec<KeyRead>)> {
        let reads = self.reads.lock().expect("no holder panics");
        let open =
            |watched: &&Watched| !watched.told.as_ref().is_some_and(Disturbed::is_overwritten);
        let of = |(group, reads): (&GroupId, &BTreeMap<Key, Watched>)| {
            let reads = reads.values().filter(open).map(|watched| watched.read.clone());
            (*group, reads.collect::<Vec<_>>())
        };
        reads.iter().map(of).filter(|(_, reads)| !reads.is_empty()).collect()
    }

    async fn look(&self, group: GroupId, reads: Vec<KeyRead>) -> Option<(GroupId, Vec<Disturbed>)> {
        let found = self.rounds.look(&self.cluster, group, reads).await?;
        Some((group, found))
    }

    /// What has not been told yet.
    fn fresh(&self, group: GroupId, found: Vec<Disturbed>) -> Vec<Disturbed> {
        let mut reads = self.reads.lock().expect("no holder panics");
        let Some(reads) = reads.get_mut(&group) else { return Vec::new() };
        let is_fresh = |disturbed: &Disturbed| {
            let Some(watched) = reads.get_mut(&disturbed.key) else { return false };
            watched.told.replace(disturbed.clone()).as_ref() != Some(disturbed)
        };
        let mut found = found;
        found.retain(is_fresh);
        found
    }

    fn count(&self, disturbed: &Disturbed) {
        match disturbed.is_overwritten() {
            true => self.counters.overwritten.inc(),
            false => self.counters.locked.inc(),
        }
    }
}
