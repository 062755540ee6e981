//! The learner's thread, and how streams reach it.
//!
//! Two bounded channels: what streams ask, which is answered in order, at once; and what may be
//! learnt, which waits for the learner's rest to be over. A stream takes milliseconds to learn
//! where much is known already, so that learning would take a core under load: after each stream
//! the learner rests as long as its share of one core demands. Streams that find the channel full
//! are left out; those that end a rest later are as good.

use super::{
    anomalies::Anomalies,
    counters::Counters,
    kinds::Kinds,
    study::{Line, Study, Told},
    tolerances::Tolerances,
    walk::Ended,
};
use crate::limits::Limits;
use prometheus::core::Collector;
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::mpsc;
use vatic_core::{id::Tid, verdict::Judgement};
use vatic_learn::forecast::Step;

/// Longest rest: the clock of a machine that slept must not stop learning for long.
const REST_MAX: Duration = Duration::from_secs(60);

/// What a stream asks of the learner.
pub(crate) enum Asked {
    /// To forecast it from its first steps.
    Forecast { class: u64, steps: Vec<Step>, line: Arc<Line> },
    /// To take note of its verdict.
    Judged(Judged),
}

/// A stream that was sealed and judged, and has its outcome.
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
    pub(crate) steps_max: usize,
}

#[derive(Clone)]
struct Channels {
    asked: mpsc::Sender<Asked>,
    lessons: mpsc::Sender<Arc<Ended>>,
}

impl Foresight {
    /// Starts the thread, unless learning is given no share.
    pub(crate) fn start(limits: &Limits) -> io::Result<Foresight> {
        let anomalies = Arc::new(Anomalies::new(limits.anomalies_max as usize));
        let counters = Arc::new(Counters::new());
        let share = limits.learn_share_percent.min(100) as u32;
        let study = Study::new(anomalies.clone(), counters.clone());
        let started = (share > 0).then(|| -> io::Result<Channels> {
            let (asked, asks) = mpsc::channel(limits.forecast_queue_max as usize);
            let (lessons, due) = mpsc::channel(limits.learn_queue_max as usize);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
            let follow = move || runtime.block_on(follow(study, asks, due, share));
            thread::Builder::new().name("vatic-foresight".into()).spawn(follow)?;
            Ok(Channels { asked, lessons })
        });
        let (channels, kinds) = (started.transpose()?, Arc::new(Kinds::default()));
        let steps_max = limits.forecast_steps_max as usize;
        let tolerances = Arc::default();
        Ok(Foresight { channels, kinds, anomalies, counters, tolerances, steps_max })
    }

    /// For the node's registry.
    pub(crate) fn collectors(&self) -> Vec<Box<dyn Collector>> {
        self.counters.collectors()
    }

    /// Whether anything is learnt here at all.
    pub(crate) fn learns(&self) -> bool {
        self.channels.is_some()
    }

    /// Whether the learner would take a stream that was sealed now.
    pub(crate) fn has_room(&self) -> bool {
        self.channels.as_ref().is_some_and(|channels| channels.lessons.capacity() > 0)
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

    /// Gives a sealed stream to learn from, unless the learner has enough to do.
    pub(crate) fn teach(&self, ended: Arc<Ended>) {
        let sent = self.channels.as_ref().map(|channels| channels.lessons.try_send(ended));
        if !matches!(sent, Some(Ok(()))) {
            self.counters.left_out.inc();
        }
    }
}

async fn follow(
    mut study: Study,
    mut asks: mpsc::Receiver<Asked>,
    mut due: mpsc::Receiver<Arc<Ended>>,
    share: u32,
) {
    let mut rested = Instant::now();
    loop {
        let resting = rested.checked_duration_since(Instant::now());
        let resting = resting.filter(|rest| !rest.is_zero());
        tokio::select! {
            biased;
            asked = asks.recv() => match asked {
                Some(asked) => answer(&mut study, asked),
                None => return,
            },
            () = tokio::time::sleep(resting.unwrap_or_default()), if resting.is_some() => {}
            Some(ended) = due.recv(), if resting.is_none() => {
                let began = Instant::now();
                study.learn(&ended);
                let now = Instant::now();
                rested = now + rest(now - began, share);
            }
        }
    }
}

fn answer(study: &mut Study, asked: Asked) {
    match asked {
        Asked::Forecast { class, steps, line } => study.forecast(class, &steps, &line),
        Asked::Judged(judged) => study.judged(&judged),
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
