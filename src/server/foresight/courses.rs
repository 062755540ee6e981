//! Takes streams that ended on this node to group 0, and what all nodes brought there to the
//! learner.
//!
//! One task, twice a second. It reads what is new from this node's replica of group 0, or from
//! another node's, and hands it on in the order of its numbers, as far as the learner has room. And
//! it proposes what ended here, as one batch: so a stream waits for nothing of this, and group 0's
//! log gets at most one small command from each node.
//!
//! How much is proposed follows from what is learnt: a node gives nothing while its own learner has
//! [`COURSES_WAITING_MAX`] courses to learn. All nodes learn the same courses, each within its
//! share of a core, so the sequence grows about as fast as the nodes learn that give to it:
//! whatever share they have, and whatever a stream takes to learn. A node that learns more slowly
//! than others misses some when they are about 2,000 ahead of it, and begins anew behind them.

use super::{
    counters::Counters,
    learner::{COURSES_WAITING_MAX, Intake, Lesson},
    walk::Ended,
};
use crate::{
    cluster::{CallError, Cluster},
    peer::{PeerFound, PeerRead},
    time,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{
        mpsc::{Receiver, Sender},
        watch,
    },
    task::JoinSet,
    time::Instant,
};
use vatic_core::{
    command::{Command, MetaCommand, Reply},
    course::{self, BATCH_MAX, Course, CourseBatch, Newer},
    id::GroupId,
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// Starts the task; nothing where nothing is learnt here.
pub(crate) fn start(cluster: &Arc<Cluster>, intake: Option<Intake>, tasks: &mut JoinSet<()>) {
    let Some(Intake { ended, lessons, caught_up, counters }) = intake else { return };
    let unsent = Unsent::new(u64::from(cluster.config.node), ended, counters.clone());
    let (cluster, place) = (cluster.clone(), Place::default());
    let keeper = Keeper { cluster, unsent, lessons, caught_up, place, counters };
    tasks.spawn(keeper.run());
}

struct Keeper {
    cluster: Arc<Cluster>,
    unsent: Unsent,
    lessons: Sender<Lesson>,
    caught_up: watch::Sender<bool>,
    place: Place,
    counters: Arc<Counters>,
}

/// How far this node is in the sequence.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The last number that the learner was handed, or that it shall begin behind. `None`: there is
    /// no sequence yet, as far as anybody said.
    pub(super) handed_on: Option<u64>,
    /// The newest number that anybody told of.
    pub(super) newest: u64,
    /// The newest number when somebody told of it first.
    pub(super) first_heard: Option<u64>,
}

impl Keeper {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            let deadline = time::deadline_in(self.cluster.config.limits.propose_deadline_ms);
            if let Some(above) = self.follow(deadline).await {
                self.give(above, deadline).await;
            }
        }
    }

    /// Hands what is new to the learner. The number of this node's last batch in the sequence, if
    /// somebody told of it.
    async fn follow(&mut self, deadline: Instant) -> Option<u64> {
        let (after, most) = (self.place.handed_on.unwrap_or(0), self.lessons.capacity() as u64);
        let node = u64::from(self.cluster.config.node);
        let read = PeerRead::Courses { after, most, node };
        let found = self.cluster.read(GroupId::META, read, deadline).await;
        let Ok(PeerFound::Courses(newer, last_batch)) = found else { return None };
        let missed = self.place.moved(&newer);
        if missed > 0 {
            tracing::warn!(missed, "others taught forecasters faster than this node learns");
            self.counters.missed.inc_by(missed);
        }
        self.counters.newest.set(self.place.newest as i64);
        // Of the rounds before this one: what is handed on below is not learnt yet.
        let waiting = self.lessons.max_capacity() - self.lessons.capacity();
        if self.place.has_caught_up(waiting) {
            self.caught_up.send_replace(true);
        }
        for (number, course) in newer.courses {
            if self.place.handed_on.is_some_and(|last| last + 1 == number) {
                // There is room: nobody else sends.
                let sent = self.lessons.try_send(Lesson { number, course });
                sent.is_ok().then(|| self.place.handed_on = Some(number))?;
            }
        }
        Some(last_batch.unwrap_or(0))
    }

    /// Proposes a batch of what ended here, if something did.
    async fn give(&mut self, above: u64, deadline: Instant) {
        let waiting = self.lessons.max_capacity() - self.lessons.capacity();
        let Some(batch) = self.unsent.batch(above, self.place.room(waiting)) else { return };
        let command = Command::Meta(MetaCommand::AppendCourses(Box::new(batch)));
        match self.cluster.propose(GroupId::META, command, deadline).await {
            Ok(applied) if applied.reply == Reply::Done => self.unsent.settle(true),
            Ok(applied) => {
                tracing::warn!(reply = ?applied.reply, "finished streams were refused");
                self.unsent.settle(false);
            }
            Err(error @ CallError::TooLarge { .. }) => {
                tracing::warn!(%error, "finished streams were refused");
                self.unsent.settle(false);
            }
            // They may be there, or there is no room for them yet: the same once more, in a while.
            Err(error) => tracing::debug!(%error, "finished streams wait"),
        }
    }
}

impl Place {
    /// Somebody told where the sequence is. How many courses have gone from it that this node had
    /// not learnt.
    pub(super) fn moved(&mut self, newer: &Newer) -> u64 {
        // A replica that lags tells of a sequence that was.
        self.newest = self.newest.max(newer.newest);
        self.first_heard.get_or_insert(newer.newest);
        let begins = course::begins(newer.newest);
        match self.handed_on {
            None => {
                self.handed_on = Some(begins).filter(|_| newer.newest > 0);
                0
            }
            Some(last) if last + 1 < newer.oldest => {
                self.handed_on = Some(begins);
                begins.saturating_sub(last)
            }
            Some(_) => 0,
        }
    }

    /// Whether all was learnt that was there when this node asked first; so many wait to be.
    pub(super) fn has_caught_up(&self, waiting: usize) -> bool {
        let handed_on = self.handed_on.unwrap_or(0);
        waiting == 0 && self.first_heard.is_some_and(|first| first <= handed_on)
    }

    /// How many courses this node may give now, where so many wait for its learner.
    pub(super) fn room(&self, waiting: usize) -> usize {
        let behind = self.newest.saturating_sub(self.handed_on.unwrap_or(0));
        let behind = usize::try_from(behind).unwrap_or(usize::MAX).saturating_add(waiting);
        COURSES_WAITING_MAX.saturating_sub(behind).min(BATCH_MAX)
    }
}

/// What ended here and is not in group 0. A batch that may have been applied is kept as it is until
/// that is known.
pub(super) struct Unsent {
    node: u64,
    ended: Receiver<Arc<Ended>>,
    counters: Arc<Counters>,
    batch: Option<CourseBatch>,
    sequence: u64,
}

impl Unsent {
    pub(super) fn new(node: u64, ended: Receiver<Arc<Ended>>, counters: Arc<Counters>) -> Unsent {
        Unsent { node, ended, counters, batch: None, sequence: 0 }
    }

    /// The batch to propose: again the last one, as long as nobody knows what became of that; else
    /// one of at most so many courses, with a number above that of the node's last one.
    pub(super) fn batch(&mut self, above: u64, most: usize) -> Option<CourseBatch> {
        if self.batch.is_none() {
            let courses = self.take(most);
            if courses.is_empty() {
                return None;
            }
            // By the clock where that has not been set back: batches of earlier starts count too.
            self.sequence = time::now().0.max(above + 1).max(self.sequence + 1);
            let (node, sequence) = (self.node, self.sequence);
            self.batch = Some(CourseBatch { node, sequence, courses });
        }
        self.batch.clone()
    }

    /// Group 0 has the last batch, or never will.
    pub(super) fn settle(&mut self, kept: bool) {
        let count = self.batch.take().map_or(0, |batch| batch.courses.len() as u64);
        let counter = if kept { &self.counters.shared } else { &self.counters.left_out };
        counter.inc_by(count);
    }

    fn take(&mut self, most: usize) -> Vec<Course> {
        let mut courses = Vec::new();
        while courses.len() < most
            && let Ok(ended) = self.ended.try_recv()
        {
            match ended.course() {
                Some(course) => courses.push(course),
                None => self.counters.oversized.inc(),
            }
        }
        courses
    }
}
