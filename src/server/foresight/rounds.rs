//! What streams of this gateway ask of leaders beside their work, in rounds: whether what they read
//! still stands, and how likely they are to meet a conflict.
//!
//! Each group is asked one question at a time, which holds what all streams had to ask since the
//! one before: a question each, beside streams that do not pause, takes as much as their own reads.
//! Who asks while nothing is under way is asked for at once. Between two rounds lies a pause in
//! which more gathers, unless one question had no room for all that waits.
//!
//! Invariants: of a group one task asks, as long as something waits. Who has given up by then is
//! left out. Whoever gets no answer hears that there is none: both are advice.

use super::counters::Counters;
use crate::{
    cluster::Cluster,
    peer::{PeerReply, PeerRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use vatic_core::{
    body::KeyRead,
    conflict::Touch,
    disturbed::Disturbed,
    id::{GroupId, Timestamp},
    key::Key,
};

/// Between two rounds of one group.
const PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a leader's answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Records that one question is about, unless one stream alone asks about more.
const RECORDS_MAX: usize = 4_096;

/// See the file's head.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// What waits, of the groups that are being asked.
    waiting: Mutex<BTreeMap<GroupId, Vec<Wish>>>,
    counters: Arc<Counters>,
}

/// What one stream asks of one group.
#[derive(Debug)]
enum Wish {
    /// Which of its reads do not stand, or may soon not.
    Look { reads: Vec<KeyRead>, answer: oneshot::Sender<Vec<Disturbed>> },
    /// How likely it is to meet a conflict on what it touched.
    Weigh { user: u64, touches: Vec<Touch>, answer: oneshot::Sender<Option<u32>> },
}

impl Rounds {
    pub(crate) fn new(counters: Arc<Counters>) -> Rounds {
        Rounds { waiting: Mutex::default(), counters }
    }

    /// Which of some reads do not stand any more, or may soon not; `None` where nobody says.
    pub(crate) async fn look(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        group: GroupId,
        reads: Vec<KeyRead>,
    ) -> Option<Vec<Disturbed>> {
        let (answer, answered) = oneshot::channel();
        self.wish(cluster, group, Wish::Look { reads, answer });
        answered.await.ok()
    }

    /// That a transaction which touches this meets a conflict there, in parts per million; `None`
    /// where nobody says, or the leader has no model.
    pub(crate) async fn weigh(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        group: GroupId,
        (user, touches): (u64, Vec<Touch>),
    ) -> Option<u32> {
        let (answer, answered) = oneshot::channel();
        self.wish(cluster, group, Wish::Weigh { user, touches, answer });
        answered.await.ok().flatten()
    }

    fn wish(self: &Arc<Self>, cluster: &Arc<Cluster>, group: GroupId, wish: Wish) {
        if self.add(group, wish) {
            let (rounds, cluster) = (self.clone(), cluster.clone());
            let ask = move |question| {
                let cluster = cluster.clone();
                let ends = Instant::now() + ANSWER_MAX;
                async move { cluster.ask(group, question, ends).await.ok() }
            };
            tokio::spawn(async move { rounds.go_on(group, ask).await });
        }
    }

    /// Whether nobody asks the group yet.
    fn add(&self, group: GroupId, wish: Wish) -> bool {
        match self.waiting.lock().expect("no holder panics").entry(group) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(wish);
                false
            }
            Entry::Vacant(nobody) => {
                nobody.insert(vec![wish]);
                true
            }
        }
    }

    /// Asks until nothing waits.
    async fn go_on<F: Future<Output = Option<PeerReply>>>(
        &self,
        group: GroupId,
        ask: impl Fn(PeerRequest) -> F,
    ) {
        while let Some((mut round, more)) = self.next(group) {
            self.counters.rounds.inc();
            self.counters.looks.inc_by(round.looks.len() as u64);
            self.counters.weighs.inc_by(round.weighs.len() as u64);
            if let Some(PeerReply::Foreseen { disturbed, odds_ppm }) =
                ask(round.question(group)).await
            {
                round.tell(&disturbed, &odds_ppm);
            }
            if !more {
                sleep(PAUSE).await;
            }
        }
    }

    /// What is asked next, and whether something has to wait for the one after; `None`, and nobody
    /// asks the group any more, where nothing waits.
    fn next(&self, group: GroupId) -> Option<(Round, bool)> {
        let mut all = self.waiting.lock().expect("no holder panics");
        let waiting = all.get_mut(&group)?;
        waiting.retain(|wish| !wish.is_given_up());
        if waiting.is_empty() {
            all.remove(&group);
            return None;
        }
        let mut records = 0;
        let fits = waiting.iter().take_while(|wish| {
            let before = records;
            records += wish.records();
            before == 0 || records <= RECORDS_MAX
        });
        let fits = fits.count();
        let round = Round::of(waiting.drain(..fits));
        Some((round, !waiting.is_empty()))
    }
}

impl Wish {
    fn is_given_up(&self) -> bool {
        match self {
            Wish::Look { answer, .. } => answer.is_closed(),
            Wish::Weigh { answer, .. } => answer.is_closed(),
        }
    }

    fn records(&self) -> usize {
        match self {
            Wish::Look { reads, .. } => reads.len(),
            Wish::Weigh { touches, .. } => touches.len(),
        }
    }
}

/// What is asked in one question.
#[derive(Debug, Default)]
struct Round {
    looks: Vec<(Vec<KeyRead>, oneshot::Sender<Vec<Disturbed>>)>,
    weighed: Vec<(u64, Vec<Touch>)>,
    weighs: Vec<oneshot::Sender<Option<u32>>>,
}

impl Round {
    fn of(wishes: impl Iterator<Item = Wish>) -> Round {
        let mut round = Round::default();
        for wish in wishes {
            match wish {
                Wish::Look { reads, answer } => round.looks.push((reads, answer)),
                Wish::Weigh { user, touches, answer } => {
                    round.weighed.push((user, touches));
                    round.weighs.push(answer);
                }
            }
        }
        round
    }

    /// Each read once, however many streams share it. To be asked for once.
    fn question(&mut self, group: GroupId) -> PeerRequest {
        let reads = self.looks.iter().flat_map(|(reads, _)| reads);
        let reads: BTreeSet<_> = reads.map(|read| (&read.key, read.version)).collect();
        let read = |(key, version): (&Key, Timestamp)| KeyRead { key: key.clone(), version };
        let reads = reads.into_iter().map(read).collect();
        PeerRequest::Foresee { group, reads, weighed: std::mem::take(&mut self.weighed) }
    }

    /// Who has given up meanwhile hears nothing.
    fn tell(self, disturbed: &[Disturbed], odds_ppm: &[Option<u32>]) {
        let found = disturbed.iter().map(|found| ((&found.key, found.read), found));
        let found: BTreeMap<_, _> = found.collect();
        for (reads, answer) in self.looks {
            let of = |read: &KeyRead| found.get(&(&read.key, read.version)).copied().cloned();
            let _ = answer.send(reads.iter().filter_map(of).collect());
        }
        for (answer, odds_ppm) in self.weighs.into_iter().zip(odds_ppm) {
            let _ = answer.send(*odds_ppm);
        }
    }
}

#[cfg(test)]
#[path = "rounds_test.rs"]
mod tests;
