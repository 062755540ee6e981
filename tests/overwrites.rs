//! Constant overwrites of few records: what makes old versions, log entries and outcomes by the
//! million, all of which must go again.
//!
//! Every record keeps its size, so whatever grows with the number of operations is garbage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use vatic_client::{Client, ClientError, Pipeline, PipelineOptions};
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::{Fields, Scalar, Value};

use crate::seeded::Seeded;

const VALUE_BYTES: usize = 256;
/// One operation in so many writes two records, most often of two groups.
const PAIR_ONE_IN: u64 = 8;
/// Pause after an operation that did not commit.
const PAUSE: Duration = Duration::from_millis(5);

/// What the clients share.
#[derive(Debug, Default)]
pub struct Counts {
    /// Committed, and known to be.
    pub acknowledged: AtomicU64,
    /// Attempts that rolled back for another's sake, and were made again.
    pub rolled_back: AtomicU64,
    /// Attempts that ended in another error that passes, or in doubt; made again.
    pub troubled: AtomicU64,
}

/// Clients that overwrite until so many operations are acknowledged.
#[derive(Debug)]
pub struct Overwrites {
    /// How far they are.
    pub counts: Arc<Counts>,
    tasks: JoinSet<Result<(), ClientError>>,
}

impl Overwrites {
    /// Starts them, on `keys` records.
    pub async fn start(
        client: &Client,
        seed: u64,
        operations: u64,
        clients: u64,
        keys: u64,
    ) -> Result<Overwrites, ClientError> {
        let pipeline = client.pipeline(PipelineOptions::default()).await?;
        let (counts, mut tasks) = (Arc::new(Counts::default()), JoinSet::new());
        let left = Arc::new(AtomicU64::new(operations));
        for client in 0..clients {
            let (pipeline, counts, left) = (pipeline.clone(), counts.clone(), left.clone());
            let mut seeded = Seeded::new(seed.wrapping_add(client << 32));
            tasks.spawn(async move {
                while take(&left) {
                    let deltas = operation(&mut seeded, keys);
                    until_committed(&pipeline, &deltas, &counts).await?;
                }
                Ok(())
            });
        }
        Ok(Overwrites { counts, tasks })
    }

    /// Operations acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.counts.acknowledged.load(Ordering::Acquire)
    }

    /// Whether all are through. An error is one that does not pass.
    pub fn finished(&mut self) -> Result<bool, ClientError> {
        while let Some(ended) = self.tasks.try_join_next() {
            ended.expect("no client panics")?;
        }
        Ok(self.tasks.is_empty())
    }
}

fn take(left: &AtomicU64) -> bool {
    let one_less = |left: u64| left.checked_sub(1);
    left.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_less).is_ok()
}

fn operation(seeded: &mut Seeded, keys: u64) -> Vec<Delta> {
    let first = seeded.below(keys);
    let mut deltas = vec![put(first, seeded)];
    if seeded.below(PAIR_ONE_IN) == 0 {
        let second = (first + 1 + seeded.below(keys - 1)) % keys;
        deltas.push(put(second, seeded));
    }
    deltas
}

fn put(record: u64, seeded: &mut Seeded) -> Delta {
    let (collection, partition) = ("overwritten".to_owned(), format!("r{record}"));
    let key = Key { collection, partition, sort: String::new() };
    let words = (0..VALUE_BYTES / 8).flat_map(|_| seeded.draw().to_le_bytes());
    let value = Value::One(Scalar::Bytes(words.collect()));
    Delta { key, op: Op::Put(Fields::from([("value".to_owned(), value)])) }
}

/// A put made twice leaves what one leaves, so an attempt in doubt is simply made again.
async fn until_committed(
    pipeline: &Pipeline,
    deltas: &[Delta],
    counts: &Counts,
) -> Result<(), ClientError> {
    loop {
        let error = match pipeline.submit(deltas).await {
            Ok(_) => {
                counts.acknowledged.fetch_add(1, Ordering::AcqRel);
                return Ok(());
            }
            Err(error) => error,
        };
        match &error {
            ClientError::RolledBack(rollback) if rollback.retryable => {
                counts.rolled_back.fetch_add(1, Ordering::AcqRel);
            }
            ClientError::OutcomeUnknown { .. } => {
                counts.troubled.fetch_add(1, Ordering::AcqRel);
            }
            error if error.retryable() => {
                counts.troubled.fetch_add(1, Ordering::AcqRel);
            }
            _ => return Err(error),
        }
        sleep(PAUSE).await;
    }
}
