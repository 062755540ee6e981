//! The load: many client tasks, each streaming its own transactions through its own node.
//!
//! Tasks are dealt to the nodes in turn and stay there while it works, so that every node takes
//! streams for every group. When its node is gone a client goes on at the next one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use vatic_client::{Client, Options, Routing};

use super::bank;
use super::evidence_file::{EvidenceWriter, Kept};
use super::limits::{HOT, OPENERS, client_limits};
use super::mix::Mix;
use super::tally::Tally;

/// Acknowledged commits on their way to the disk.
const KEPT_IN_FLIGHT: usize = 4_096;
/// After an error that should not be, before the next transaction.
const STRANGE_PAUSE_MS: u64 = 100;

/// What the load is.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) endpoints: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) customers: u32,
    pub(crate) clients: u32,
}

/// Writes evidence to a file, on a thread of its own.
pub(crate) struct Keeper {
    sender: mpsc::Sender<Kept>,
    writer: JoinHandle<std::io::Result<()>>,
}

impl Keeper {
    pub(crate) fn start(path: &Path) -> anyhow::Result<Keeper> {
        let mut file = EvidenceWriter::create(path)?;
        let (sender, mut receiver) = mpsc::channel(KEPT_IN_FLIGHT);
        let writer = tokio::task::spawn_blocking(move || {
            while let Some(kept) = receiver.blocking_recv() {
                file.append(&kept)?;
            }
            file.finish()
        });
        Ok(Keeper { sender, writer })
    }

    /// Waits until everything is in the file.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        drop(self.sender);
        self.writer.await?.context("keeping the evidence")
    }
}

impl Load {
    /// Opens every customer's accounts, each in one transaction.
    pub(crate) async fn open_accounts(&self, keeper: &Keeper) -> anyhow::Result<()> {
        let client = self.client(0)?;
        let mut opened = futures::stream::iter(0..self.customers)
            .map(|customer| {
                let client = client.clone();
                async move { client.submit(&bank::opening(customer)).await }
            })
            .buffer_unordered(OPENERS);
        while let Some(committed) = opened.next().await {
            let committed = committed.context("opening accounts")?;
            keeper.sender.send(Kept::new(true, committed.evidence)).await?;
        }
        Ok(())
    }

    /// Runs all clients until the time is up, and each until its last transaction has ended.
    pub(crate) async fn run(
        &self,
        until: Instant,
        tally: &Arc<Tally>,
        keeper: &Keeper,
    ) -> anyhow::Result<()> {
        let mut tasks = JoinSet::new();
        for task in 0..self.clients {
            let client = self.client(task)?;
            let mix = Mix::new(self.seed, task, self.customers, HOT);
            tasks.spawn(play(client, mix, until, tally.clone(), keeper.sender.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(())
    }

    /// A client whose own node is the task's.
    fn client(&self, task: u32) -> anyhow::Result<Client> {
        let mut endpoints = self.endpoints.clone();
        let own = task as usize % endpoints.len();
        endpoints.rotate_left(own);
        let limits = client_limits();
        let options = Options { limits, routing: Routing::InOrder, ..Options::default() };
        Ok(Client::lazy(&endpoints, options)?)
    }
}

async fn play(
    client: Client,
    mut mix: Mix,
    until: Instant,
    tally: Arc<Tally>,
    keep: mpsc::Sender<Kept>,
) {
    while Instant::now() < until {
        let deal = mix.next();
        let runner = client.transaction().exactly_once(deal.writes()).observe(&*tally);
        match runner.run(|txn| deal.play(txn)).await {
            Ok(done) => {
                let kept = Kept::new(false, done.committed.evidence.clone());
                if keep.send(kept).await.is_err() {
                    return;
                }
                tally.acknowledge(&done.committed);
            }
            Err(error) => {
                if !tally.give_up(&error) {
                    sleep(Duration::from_millis(STRANGE_PAUSE_MS)).await;
                }
            }
        }
    }
}
