//! One client: jobs one after the other, each until it is done.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, sleep};
use vatic_client::{ClientError, Intent, Pipeline};
use vatic_core::delta::Delta;

use super::data;
use super::guarded::{self, Seen};
use super::limits::{BACKOFF_US, BACKOFF_US_MAX, ERROR_PAUSE_MS, HOLD_MS};
use super::tally::Tally;
use super::workload::{Job, Jobs};

/// When a client's operations count, and when it stops.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
    pub(crate) think: Duration,
}

pub(crate) struct Player {
    pub(crate) pipeline: Pipeline,
    pub(crate) jobs: Jobs,
    pub(crate) random: SmallRng,
    pub(crate) tally: Tally,
}

/// How a job ended, and how long its last attempt took to commit.
enum End {
    Done(Duration),
    /// The money did not suffice.
    Declined,
}

impl Player {
    pub(crate) fn new(pipeline: Pipeline, jobs: Jobs, seed: u64, counts_from: Instant) -> Player {
        let random = SmallRng::seed_from_u64(seed);
        Player { pipeline, jobs, random, tally: Tally::new(counts_from) }
    }

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
        let began = Instant::now();
        match job {
            Job::Get(record) => {
                self.pipeline.get(&data::key(record)).await?;
            }
            Job::Put(record) => {
                let put = guarded::put(data::key(record), data::value(&mut self.random));
                self.pipeline.submit(&[put]).await?;
            }
            Job::Update { .. } | Job::ReadUpdate { .. } | Job::Pair(..) | Job::Bank(_) => {
                return self.until_committed(job, end).await;
            }
        }
        Ok(End::Done(began.elapsed()))
    }

    /// Tries until it commits, with jittered pauses. At the end of the window it gives up with the
    /// last rollback.
    async fn until_committed(&mut self, job: Job, end: Instant) -> Result<End, ClientError> {
        let mut bound_us = BACKOFF_US;
        let mut rollbacks = 0;
        loop {
            let deltas = match self.attempt(job, rollbacks).await? {
                Some(deltas) => deltas,
                None => return Ok(End::Declined),
            };
            let began = Instant::now();
            match self.pipeline.submit(&deltas).await {
                Ok(_) => return Ok(End::Done(began.elapsed())),
                Err(ClientError::RolledBack(rollback)) if Instant::now() < end => {
                    self.tally.rolled_back(rollback.cause);
                }
                Err(error) => return Err(error),
            }
            let pause = self.random.random_range(0..=bound_us);
            bound_us = (2 * bound_us).min(BACKOFF_US_MAX);
            sleep(Duration::from_micros(pause)).await;
            rollbacks += 1;
        }
    }

    /// Reads what the job reads, and says what it would write.
    async fn attempt(
        &mut self,
        job: Job,
        rollbacks: u32,
    ) -> Result<Option<Vec<Delta>>, ClientError> {
        let keys = match job {
            Job::ReadUpdate { record, .. } => vec![data::key(record)],
            Job::Pair(first, second) => vec![data::key(first), data::key(second)],
            Job::Bank(deal) => guarded::reads(deal),
            _ => vec![],
        };
        let intent = Intent { token: self.random.random(), hold_ms: HOLD_MS, rollbacks };
        let seen = Seen::claim(&self.pipeline, keys, intent).await?;
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
                None => return Ok(None),
            },
            Job::Put(_) | Job::Get(_) => vec![],
        };
        Ok(Some([seen.guards(), writes].concat()))
    }
}
