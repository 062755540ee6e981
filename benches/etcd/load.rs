//! Clients in a closed loop, and what is measured of them.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tonic::Status;
use tonic::transport::Channel;

use super::calls::{
    self, Compare, Operation, PutRequest, RangeRequest, RangeResponse, TxnRequest, What,
};
use super::processes::Etcd;

/// As `vatic bench run` has it.
const RECORDS: u32 = 10_000;
const HOT_RECORDS: u32 = 10;
const HOT_PERCENT: u32 = 90;
const VALUE_BYTES: usize = 256;
const WARM_UP: Duration = Duration::from_secs(1);
/// Loading at once.
const LOADERS: u32 = 64;

/// What the clients do; each is a workload of `vatic bench run` by the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Load {
    /// Replace a record
    Put,
    /// Read one, linearizably
    Get,
    /// Read two and write both
    Uniform,
    /// The same, nine of ten on ten records
    Hotspot,
}

/// What one measurement tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Operations that were done, those that began again counted once.
    pub(crate) throughput: f64,
    /// CPU of all servers for each, in microseconds.
    pub(crate) cpu_us: f64,
    /// How long the slowest of a hundred took, in milliseconds.
    pub(crate) p99_ms: f64,
}

struct Client {
    node: Channel,
    random: SmallRng,
}

/// Writes every record once.
pub(super) async fn fill(etcd: &Etcd) -> anyhow::Result<()> {
    let mut loaders = JoinSet::new();
    for loader in 0..LOADERS {
        let mut client = Client::new(etcd, loader);
        loaders.spawn(async move {
            for record in (loader..RECORDS).step_by(LOADERS as usize) {
                client.put(record).await?;
            }
            Ok::<(), Status>(())
        });
    }
    let filled: Result<(), Status> = loaders.join_all().await.into_iter().collect();
    filled.context("etcd takes no records")
}

/// Runs a load for a while.
pub(super) async fn measure(
    etcd: &Etcd,
    load: Load,
    clients: u32,
    span: Duration,
) -> anyhow::Result<Figures> {
    let from = Instant::now() + WARM_UP;
    let to = from + span;
    let mut running = JoinSet::new();
    for number in 0..clients {
        running.spawn(Client::new(etcd, number).run(load, from..to));
    }
    sleep_until(from).await;
    let before = etcd.cpu()?;
    sleep_until(to).await;
    let spent = etcd.cpu()? - before;
    let mut took = Vec::new();
    for client in running.join_all().await {
        took.extend(client.with_context(|| format!("etcd refuses {load:?}"))?);
    }
    ensure!(!took.is_empty(), "etcd did nothing of {load:?} in {span:?}");
    took.sort_unstable();
    Ok(Figures {
        throughput: took.len() as f64 / span.as_secs_f64(),
        cpu_us: spent.as_secs_f64() * 1e6 / took.len() as f64,
        p99_ms: took[took.len() * 99 / 100].as_secs_f64() * 1e3,
    })
}

impl Client {
    fn new(etcd: &Etcd, number: u32) -> Client {
        Client { node: etcd.node(number), random: SmallRng::seed_from_u64(number.into()) }
    }

    /// How long each operation took that ended in the window.
    async fn run(mut self, load: Load, window: Range<Instant>) -> Result<Vec<Duration>, Status> {
        let mut took = Vec::new();
        while Instant::now() < window.end {
            let began = Instant::now();
            self.perform(load).await?;
            let ended = Instant::now();
            if window.contains(&ended) {
                took.push(ended - began);
            }
        }
        Ok(took)
    }

    async fn perform(&mut self, load: Load) -> Result<(), Status> {
        let record = self.random.random_range(0..RECORDS);
        match load {
            Load::Put => self.put(record).await,
            Load::Get => {
                calls::range(&self.node, RangeRequest { key: key(record) }).await.map(drop)
            }
            Load::Hotspot if self.random.random_range(0..100) < HOT_PERCENT => {
                self.change_two(HOT_RECORDS).await
            }
            Load::Uniform | Load::Hotspot => self.change_two(RECORDS).await,
        }
    }

    async fn put(&mut self, record: u32) -> Result<(), Status> {
        let request = PutRequest { key: key(record), value: self.value() };
        calls::put(&self.node, request).await.map(drop)
    }

    async fn change_two(&mut self, of: u32) -> Result<(), Status> {
        let first = self.random.random_range(0..of);
        let other = (first + self.random.random_range(1..of)) % of;
        let keys = [key(first), key(other)];
        loop {
            let then = keys.iter().map(|key| What::Range(RangeRequest { key: key.clone() }));
            let found = calls::txn(&self.node, TxnRequest::of(Vec::new(), then)).await?;
            let revisions = found.answers.into_iter().map(|answer| revision(answer.range));
            let pairs = keys.iter().cloned().zip(revisions);
            let unless_changed = pairs.map(|(key, at)| Compare::unchanged(key, at)).collect();
            let values = [self.value(), self.value()];
            let puts = keys.iter().cloned().zip(values);
            let then = puts.map(|(key, value)| What::Put(PutRequest { key, value }));
            if calls::txn(&self.node, TxnRequest::of(unless_changed, then)).await?.succeeded {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = vec![0; VALUE_BYTES];
        self.random.fill(value.as_mut_slice());
        value
    }
}

impl TxnRequest {
    fn of(unless_changed: Vec<Compare>, then: impl Iterator<Item = What>) -> TxnRequest {
        let then = then.map(|what| Operation { what: Some(what) }).collect();
        TxnRequest { unless_changed, then }
    }
}

fn key(record: u32) -> Vec<u8> {
    format!("r{record:08}").into_bytes()
}

/// 0 of a record that is not there, as etcd compares.
fn revision(found: Option<RangeResponse>) -> i64 {
    found.and_then(|found| found.records.first().map(|record| record.revision)).unwrap_or(0)
}
