//! The learner's thread, and how streams reach it.
//!
//! Two bounded channels lead to it: what streams ask, which is answered in order, at once; and what
//! is to be learnt, which waits for the learner's rest to be over. A stream takes milliseconds to
//! learn where much is known already, so that learning would take a core under load: after each
//! stream the learner rests as long as its share of one core demands.
//!
//! What is learnt are the courses of all nodes, in the order that group 0 gave them. A third
//! channel, bounded as well, leads there: streams that ended on this node. Those that find it full
//! are left out; those that end a rest later are as good.

use super::{
    anomalies::Anomalies,
    counters::Counters,
    habits::Habits,
    kinds::Kinds,
    rounds::Rounds,
    study::{Line, Study, Told},
    tolerances::Tolerances,
    walk::Ended,
};
use crate::limits::Limits;
use prometheus::core::Collector;
use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, watch};
use vatic_core::{course::Course, id::Tid, tolerance::Tolerance, verdict::Judgement};
use vatic_learn::forecast::Step;

/// Longest rest: the clock of a machine that slept must not stop learning for long.
const REST_MAX: Duration = Duration::from_secs(60);

/// Courses that may wait to be learnt. A node whose learner has so many to learn gives no more to
/// others: so streams are shared no faster than they are learnt, whatever share of a core that has.
pub(super) const COURSES_WAITING_MAX: usize = 64;

/// A course that is to be learnt.
pub(super) struct Lesson {
    pub(super) number: u64,
    pub(super) course: Course,
}

/// What [`super::courses`] takes to group 0, and where what comes from there goes.
pub(crate) struct Intake {
    pub(super) ended: mpsc::Receiver<Arc<Ended>>,
    pub(super) lessons: mpsc::Sender<Lesson>,
    /// To be told once, when all is learnt that was there when this node asked first.
    pub(super) caught_up: watch::Sender<bool>,
    pub(super) counters: Arc<Counters>,
}

/// What a stream asks of the learner.
pub(crate) enum Asked {
    /// To forecast it from its first steps.
    Forecast { class: u64, steps: Vec<Step>, line: Arc<Line> },
    /// To take note of its verdict.
    Judged(Judged),
    /// To take note that it strays, while it runs.
    Strays(Judged),
}

/// A stream that was sealed and judged, and has its outcome; or as far as it came, where it strays
/// while it runs.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) tid: Tid,
    /// `None`: it was too long.
    pub(crate) ended: Option<Arc<Ended>>,
    pub(crate) told: Arc<Told>,
    pub(crate) judgement: Box<Judgement>,
    /// It was rolled back, for this or for what was heard of first, and is to be kept aside.
    pub(crate) quarantined: bool,
}

/// The learner, as streams reach it. Clones reach the same; the thread ends with the last.
#[derive(Clone)]
pub(crate) struct Foresight {
    channels: Option<Channels>,
    pub(crate) kinds: Arc<Kinds>,
    pub(crate) anomalies: Arc<Anomalies>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) tolerances: Arc<Tolerances>,
    /// What looks at streams that run here come to.
    pub(crate) looks: Arc<Mutex<Tolerance>>,
    pub(crate) habits: Arc<Habits>,
    pub(crate) rounds: Arc<Rounds>,
    pub(crate) steps_max: usize,
    caught_up: watch::Receiver<bool>,
}

#[derive(Clone)]
struct Channels {
    asked: mpsc::Sender<Asked>,
    ended: mpsc::Sender<Arc<Ended>>,
}

impl Foresight {
    /// Starts the thread, unless learning is given no share; it tells of its version.
    pub(crate) fn start(
        limits: &Limits,
        version: watch::Sender<u64>,
    ) -> io::Result<(Foresight, Option<Intake>)> {
        let anomalies = Arc::new(Anomalies::new(limits.anomalies_max as usize));
        let counters = Arc::new(Counters::new());
        let rounds = Arc::new(Rounds::new(counters.clone()));
        let (kinds, tolerances) = (Arc::new(Kinds::default()), Arc::default());
        let steps_max = limits.forecast_steps_max as usize;
        let (catches_up, caught_up) = watch::channel(false);
        let mut foresight = Foresight {
            channels: None,
            kinds,
            anomalies,
            counters,
            tolerances,
            looks: Arc::default(),
            habits: Arc::new(Habits::new(limits)),
            rounds,
            steps_max,
            caught_up,
        };
        let share_percent = limits.learn_share_percent.min(100) as u32;
        if share_percent == 0 {
            return Ok((foresight, None));
        }
        let (asked, asks) = mpsc::channel(limits.forecast_queue_max as usize);
        let (ended, taken) = mpsc::channel(limits.learn_queue_max as usize);
        let (lessons, due) = mpsc::channel(COURSES_WAITING_MAX);
        let study = Study::new(foresight.anomalies.clone(), foresight.counters.clone());
        let learner = Learner { study, kinds: foresight.kinds.clone(), share_percent, version };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let follow = move || runtime.block_on(learner.follow(asks, due));
        thread::Builder::new().name("vatic-foresight".into()).spawn(follow)?;
        foresight.channels = Some(Channels { asked, ended });
        let counters = foresight.counters.clone();
        let caught_up = catches_up;
        Ok((foresight, Some(Intake { ended: taken, lessons, caught_up, counters })))
    }

    /// For the node's registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        self.counters.collectors()
    }

    /// Whether anything is learnt here at all.
    pub(crate) fn learns(&self) -> bool {
        self.channels.is_some()
    }

    /// Whether it has learnt what there was when this node started. Before that, what it does not
    /// know others may.
    pub(crate) fn caught_up(&self) -> bool {
        *self.caught_up.borrow()
    }

    /// Whether a stream that was sealed now would be taken to be learnt.
    pub(crate) fn has_room(&self) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.ended.capacity() > 0)
    }

    /// Asks, unless too much is asked already. Whether it did.
    pub(crate) fn ask(&self, asked: Asked) -> bool {
        let sent = self.channels.as_ref().map(|channels| channels.asked.try_send(asked));
        let sent = matches!(sent, Some(Ok(())));
        if !sent {
            self.counters.busy.inc();
        }
        sent
    }

    /// Gives a sealed stream to learn from, unless there are enough.
    pub(crate) fn teach(&self, ended: Arc<Ended>) {
        let sent = self.channels.as_ref().map(|channels| channels.ended.try_send(ended));
        if !matches!(sent, Some(Ok(()))) {
            self.counters.left_out.inc();
        }
    }
}

/// What the thread has.
struct Learner {
    study: Study,
    kinds: Arc<Kinds>,
    share_percent: u32,
    version: watch::Sender<u64>,
}

impl Learner {
    async fn follow(mut self, mut asks: mpsc::Receiver<Asked>, mut due: mpsc::Receiver<Lesson>) {
        let mut rested = Instant::now();
        loop {
            let resting = rested.checked_duration_since(Instant::now());
            let resting = resting.filter(|rest| !rest.is_zero());
            tokio::select! {
                biased;
                asked = asks.recv() => match asked {
                    Some(asked) => self.answer(asked),
                    None => return,
                },
                () = tokio::time::sleep(resting.unwrap_or_default()), if resting.is_some() => {}
                Some(lesson) = due.recv(), if resting.is_none() => {
                    let began = Instant::now();
                    self.learn(&lesson);
                    let now = Instant::now();
                    rested = now + rest(now - began, self.share_percent);
                }
            }
        }
    }

    fn learn(&mut self, Lesson { number, course }: &Lesson) {
        // Group 0 took what can be followed, and nothing else.
        let Some(course) = Ended::of(course, &self.kinds) else { return };
        self.study.learn(*number, &course);
        self.version.send_replace(self.study.version());
    }

    fn answer(&mut self, asked: Asked) {
        match asked {
            Asked::Forecast { class, steps, line } => self.study.forecast(class, &steps, &line),
            Asked::Judged(judged) => self.study.judged(&judged),
            Asked::Strays(judged) => self.study.strays(&judged),
        }
    }
}

/// How long to do nothing after so much work, for a share of a core.
fn rest(worked: Duration, share_percent: u32) -> Duration {
    (worked * (100 - share_percent) / share_percent).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::rest;
    use std::time::Duration;

    #[test]
    fn rest_leaves_work_its_share() {
        let worked = Duration::from_millis(6);
        assert_eq!(rest(worked, 100), Duration::ZERO);
        assert_eq!(rest(worked, 25), 3 * worked);
        assert_eq!(rest(worked, 2), 49 * worked);
        assert_eq!(rest(Duration::from_secs(9), 1), super::REST_MAX);
    }
}
