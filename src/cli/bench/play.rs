//! One client: jobs one after the other, each until it is done.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};
use vatic_client::{ClientError, Intent, Pipeline};
use vatic_core::delta::Delta;
use vatic_core::key::Key;

use super::data;
use super::guarded::{self, Seen};
use super::limits::{BACKOFF_US, BACKOFF_US_MAX, ERROR_PAUSE_MS, HOLD_MS};
use super::policy::{Admitted, Oracle, Policy};
use super::tally::Tally;
use super::tpcc;
use super::workload::{Job, Jobs};

/// When a client's operations count, and when it stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    pub(crate) think: Duration,
}

pub(crate) struct Player {
    pub(crate) hand: Hand,
    pub(crate) jobs: Jobs,
    pub(crate) tally: Tally,
    pub(crate) oracle: Arc<Oracle>,
}

/// Does single attempts at jobs.
pub(crate) struct Hand {
    pub(crate) pipeline: Pipeline,
    pub(crate) random: SmallRng,
    pub(crate) policy: Policy,
}

/// What one attempt came to, before it is submitted.
enum Attempt {
    Writes(Vec<Delta>),
    Declined,
    /// Somebody else means to write what it reads.
    GaveWay,
}

/// How a job ended, and how long its last attempt took to commit.
enum End {
    Done(Duration),
    /// The money did not suffice.
    Declined,
}

impl Player {
    /// Plays until the window closes. What ends after that is not counted.
    pub(crate) async fn run(mut self, window: Window) -> Tally {
        self.tally.count_until(window.to);
        while Instant::now() < window.to {
            let job = self.jobs.next();
            let began = Instant::now();
            match self.play(job, window.to).await {
                Ok(End::Done(commit)) => self.tally.done(commit, began.elapsed()),
                Ok(End::Declined) => self.tally.declined(),
                Err(error) => {
                    self.tally.error(&error);
                    sleep(Duration::from_millis(ERROR_PAUSE_MS)).await;
                }
            }
            if !window.think.is_zero() {
                sleep(window.think).await;
            }
        }
        self.tally
    }

    async fn play(&mut self, job: Job, end: Instant) -> Result<End, ClientError> {
        match job {
            Job::Get(_) | Job::Put(_) => self.hand.simple(job).await,
            _ => self.until_committed(job, end).await,
        }
    }

    /// Tries until it commits, with jittered pauses. At the end of the window it gives up with the
    /// last rollback.
    async fn until_committed(&mut self, job: Job, end: Instant) -> Result<End, ClientError> {
        let mut bound_us = BACKOFF_US;
        let mut rollbacks = 0;
        let _admitted = self.admitted(job).await;
        loop {
            let intent = self.hand.intent(rollbacks);
            match self.hand.attempt(job, intent).await? {
                Attempt::Writes(deltas) => {
                    let began = Instant::now();
                    let Intent { token, rollbacks, .. } = intent;
                    match self.hand.pipeline.submit_claimed(token, rollbacks, &deltas).await {
                        Ok(_) => return Ok(End::Done(began.elapsed())),
                        Err(ClientError::RolledBack(rollback)) if Instant::now() < end => {
                            self.tally.rolled_back(rollback.cause);
                        }
                        Err(error) => return Err(error),
                    }
                }
                Attempt::Declined => return Ok(End::Declined),
                Attempt::GaveWay if Instant::now() < end => self.tally.gave_way(),
                Attempt::GaveWay => return Ok(End::Declined),
            }
            let pause = self.hand.random.random_range(0..=bound_us);
            bound_us = (2 * bound_us).min(BACKOFF_US_MAX);
            sleep(Duration::from_micros(pause)).await;
            rollbacks += 1;
        }
    }

    async fn admitted(&self, job: Job) -> Option<Admitted> {
        match self.hand.policy {
            Policy::Oracle => Some(self.oracle.admit(&writes_of(job)).await),
            _ => None,
        }
    }
}

impl Hand {
    /// One attempt, from reading to the outcome; an attempt that came to nothing is its end.
    pub(crate) async fn once(&mut self, job: Job) -> Result<(), ClientError> {
        if let Job::Get(_) | Job::Put(_) = job {
            return self.simple(job).await.map(drop);
        }
        let intent = self.intent(0);
        if let Attempt::Writes(deltas) = self.attempt(job, intent).await? {
            self.pipeline.submit_claimed(intent.token, 0, &deltas).await?;
        }
        Ok(())
    }

    /// What one call does.
    async fn simple(&mut self, job: Job) -> Result<End, ClientError> {
        let began = Instant::now();
        match job {
            Job::Put(record) => {
                let put = guarded::put(data::key(record), data::value(&mut self.random));
                self.pipeline.submit(&[put]).await?;
            }
            Job::Get(record) => drop(self.pipeline.get(&data::key(record)).await?),
            _ => unreachable!("{job:?} takes more than a call"),
        }
        Ok(End::Done(began.elapsed()))
    }

    /// A name for each attempt: what became of one teaches nothing of another.
    fn intent(&mut self, rollbacks: u32) -> Intent {
        let token = self.random.random_range(1..=u64::MAX);
        Intent { token, hold_ms: HOLD_MS, rollbacks, turns: 0, priority: 0 }
    }

    /// Reads what the job reads, and says what it would write.
    async fn attempt(&mut self, job: Job, intent: Intent) -> Result<Attempt, ClientError> {
        let (written, fixed) = reads_of(job);
        // What nobody changes needs no turn, and is read before one is taken.
        let fixed = Seen::at_once(&self.pipeline, fixed).await?;
        let Some(seen) = self.read(written, intent).await? else {
            return Ok(Attempt::GaveWay);
        };
        let writes = match job {
            Job::Update { record, field } | Job::ReadUpdate { record, field } => {
                let field = data::field(field, &mut self.random);
                vec![guarded::merge(data::key(record), field)]
            }
            Job::Pair(first, second) => [first, second]
                .map(|record| guarded::put(data::key(record), data::value(&mut self.random)))
                .to_vec(),
            Job::Bank(deal) => match guarded::writes(deal, &seen) {
                Some(writes) => writes,
                None => return Ok(Attempt::Declined),
            },
            Job::Order(order) => match tpcc::order_writes(&order, &seen, &fixed) {
                Some(writes) => writes,
                None => return Ok(Attempt::Declined),
            },
            Job::Pay(payment) => tpcc::payment_writes(&payment),
            Job::Put(_) | Job::Get(_) => vec![],
        };
        Ok(Attempt::Writes([seen.guards(), writes].concat()))
    }

    async fn read(&self, keys: Vec<Key>, intent: Intent) -> Result<Option<Seen>, ClientError> {
        match self.policy {
            Policy::Fifo => Seen::at_once(&self.pipeline, keys).await.map(Some),
            Policy::Oracle => Seen::when_free(&self.pipeline, keys).await.map(Some),
            Policy::NoWait => Seen::if_free(&self.pipeline, keys, intent).await,
            Policy::KeyLane => Seen::in_turn(&self.pipeline, keys, intent).await.map(Some),
            Policy::Hotness | Policy::Learned => {
                let by_hotness = self.policy == Policy::Hotness;
                Seen::as_advised(&self.pipeline, keys, intent, by_hotness).await.map(Some)
            }
        }
    }
}

/// What a job reads and guards, most of which it writes; and what it reads and nobody changes.
fn reads_of(job: Job) -> (Vec<Key>, Vec<Key>) {
    let guarded = match job {
        Job::ReadUpdate { record, .. } => vec![data::key(record)],
        Job::Pair(first, second) => vec![data::key(first), data::key(second)],
        Job::Bank(deal) => guarded::reads(deal),
        Job::Put(_) | Job::Get(_) | Job::Update { .. } => vec![],
        Job::Order(order) => return tpcc::order_reads(&order),
        Job::Pay(payment) => return tpcc::payment_reads(&payment),
    };
    (guarded, vec![])
}

/// All records that a job may write, and those that it reads.
fn writes_of(job: Job) -> Vec<Key> {
    match job {
        Job::Put(record) | Job::Update { record, .. } => vec![data::key(record)],
        Job::Bank(deal) => guarded::touched(deal),
        _ => reads_of(job).0,
    }
}
