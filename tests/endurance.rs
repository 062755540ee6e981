//! A long run of overwrites with everything that looks for trouble switched to often, beside scans
//! that nobody takes any further: nobody may raise an alarm, and the disks may not fill.
//!
//! The limits are small, so that all that is kept for a while in production (versions, outcomes,
//! request ids, chain heads, log entries, snapshots) has to go within seconds. Each check is shown
//! to fail by a run that is sabotaged.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use vatic_client::Client;
use vatic_core::delta::{Delta, Op};
use vatic_core::key::Key;
use vatic_core::value::{Fields, Value};

use crate::alarms;
use crate::cluster::{Cluster, NODES, Setting};
use crate::disk_use::{self, Measure, Sample};
use crate::overwrites::Overwrites;
use crate::scrape::Scrape;
use crate::stalled::Stalled;
use crate::tamper;
use crate::wait::{SOON, until};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a flipped byte may go unnoticed.
const FOUND_WITHIN: Duration = Duration::from_secs(60);
/// At rest at the end: time for several comparisons of states, and for a scrub to read all of it.
const REST: Duration = Duration::from_secs(3);
/// Clients stopped by something for so long have met a bug.
const STUCK: Duration = Duration::from_secs(60);
/// What the flipped value says.
const MARKER: &str = "a value that nobody overwrites, of which one copy rots";

/// All that is kept for a while goes within seconds, and comparison and scrub come often.
pub const SMALL: [Setting; 27] = [
    ("limits", "snapshot_retention_ms", 1_000),
    ("limits", "stream_age_max_ms", 1_000),
    ("limits", "forget_after_ms", 1_500),
    ("limits", "sweep_interval_ms", 200),
    ("limits", "attest_interval_ms", 250),
    ("limits", "compare_interval_ms", 250),
    ("limits", "scrub_interval_ms", 500),
    ("limits", "scan_chunk_records", 4),
    ("limits", "delta_bytes_max", 64 << 10),
    ("limits", "stage_chunk_bytes", 64 << 10),
    ("group_limits", "outcome_ttl_us", 1_000_000),
    ("group_limits", "request_ttl_us", 1_000_000),
    ("group_limits", "heads_max", 2_000),
    ("group_limits", "checkpoint_entries_max", 256),
    ("group_limits", "history_batch_bytes_max", 64 << 10),
    ("group_limits", "history_rows_max", 200),
    ("consensus_limits", "command_bytes_max", 256 << 10),
    ("consensus_limits", "batch_bytes_max", 128 << 10),
    ("consensus_limits", "snapshot_every_entries", 500),
    ("consensus_limits", "entries_kept_behind_snapshot", 500),
    ("log_limits", "segment_bytes", 1 << 20),
    ("log_limits", "segments_target", 3),
    ("log_limits", "spares_max", 1),
    ("log_limits", "batch_bytes_max", 256 << 10),
    ("log_limits", "entry_bytes_max", 448 << 10),
    ("log_limits", "carry_bytes_per_batch", 64 << 10),
    ("store_limits", "flush_interval_ms", 200),
];

/// What a check must be seen to fail at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// Versions that no snapshot needs are kept for an hour.
    KeepGarbage,
    /// Outcomes are kept for an hour.
    KeepOutcomes,
    /// A byte of a node's state is flipped half-way.
    FlipByte,
    /// What a scan has begun to read stays in view until its client has gone.
    KeepViews,
}

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Overwrites that must be acknowledged.
    pub operations: u64,
    /// Decides which records are overwritten.
    pub seed: u64,
    /// Clients at once.
    pub clients: u64,
    /// Records.
    pub keys: u64,
    /// What the nodes are told.
    pub settings: Vec<Setting>,
    /// What is made to go wrong.
    pub sabotage: Option<Sabotage>,
}

/// What a run that found nothing has seen.
#[derive(Debug)]
pub struct Report {
    /// Overwrites acknowledged.
    pub acknowledged: u64,
    /// Attempts made again after a rollback.
    pub rolled_back: u64,
    /// Attempts made again after another error.
    pub troubled: u64,
    /// How long the overwrites took.
    pub took: Duration,
    /// The most that any node took in the second and in the last quarter.
    pub peaks: [BTreeMap<Measure, u64>; 2],
    /// Log entries purged, over all groups and nodes.
    pub purged: u64,
    /// Passes of the scrub that read all of a replica and found nothing.
    pub scrubbed: usize,
    /// Scans that nodes could not get rid of, since nobody took them.
    pub untaken: u64,
}

struct Run {
    cluster: Cluster,
    client: Client,
    stalled: Stalled,
    samples: Vec<Sample>,
}

/// Runs it; an error is the first thing that is not as it should be.
pub async fn run(plan: &Plan) -> Result<Report, String> {
    let mut settings = plan.settings.clone();
    match plan.sabotage {
        Some(Sabotage::KeepGarbage) => {
            settings.push(("limits", "snapshot_retention_ms", 3_600_000));
        }
        Some(Sabotage::KeepOutcomes) => {
            settings.push(("group_limits", "outcome_ttl_us", 3_600_000_000));
        }
        Some(Sabotage::FlipByte | Sabotage::KeepViews) | None => {}
    }
    let cluster = Cluster::start_with(&settings, "info,vatic_server::scrub=debug").await;
    if plan.sabotage == Some(Sabotage::KeepViews) {
        for at in 0..NODES {
            cluster.arm(at, "server::scan_view=return").await;
        }
    }
    let client = cluster.client();
    let stalled = Stalled::start(&client).await.map_err(|error| error.to_string())?;
    let mut run = Run { cluster, client, stalled, samples: Vec::new() };
    run.mark().await?;
    let started = Instant::now();
    let load = run.overwrite(plan).await?;
    let took = started.elapsed();
    sleep(REST).await;
    run.cluster.wait_agreed().await;
    run.quiet().await?;
    disk_use::growth(&run.samples).map_or(Ok(()), Err)?;
    let untaken = run.untaken().await?;
    let logged = |at| run.cluster.logged(at, "scrubbed").len();
    Ok(Report {
        acknowledged: load.acknowledged(),
        rolled_back: load.counts.rolled_back.load(Ordering::Acquire),
        troubled: load.counts.troubled.load(Ordering::Acquire),
        took,
        peaks: [(0.25, 0.5), (0.75, 1.0)].map(|(from, to)| disk_use::peaks(&run.samples, from, to)),
        purged: run.purged().await,
        scrubbed: (0..NODES).map(logged).sum(),
        untaken,
    })
}

impl Run {
    /// Writes the record that the sabotage looks for.
    async fn mark(&self) -> Result<(), String> {
        let key = Key::new("rot", "marked", "").map_err(|error| error.to_string())?;
        let op = Op::Put(Fields::from([("value".to_owned(), Value::from(MARKER))]));
        let done = self.client.run(|txn| {
            let delta = Delta { key: key.clone(), op: op.clone() };
            async move { txn.apply(&delta).await }
        });
        done.await.map(drop).map_err(|error| error.to_string())
    }

    async fn overwrite(&mut self, plan: &Plan) -> Result<Overwrites, String> {
        let Plan { operations, seed, clients, keys, .. } = *plan;
        let load = Overwrites::start(&self.client, seed, operations, clients, keys).await;
        let mut load = load.map_err(|error| error.to_string())?;
        let mut flips = plan.sabotage == Some(Sabotage::FlipByte);
        let mut moved = (0, Instant::now());
        while !load.finished().map_err(|error| format!("an overwrite ended: {error}"))? {
            let done = load.acknowledged();
            if done > moved.0 {
                moved = (done, Instant::now());
            } else if moved.1.elapsed() > STUCK {
                return Err(format!("nothing commits after {done} operations"));
            }
            if flips && done > operations / 2 {
                flips = false;
                self.flip().await;
            }
            self.stalled.begin_another(&self.cluster.client()).await;
            self.sample(done as f64 / operations as f64).await;
            if plan.sabotage == Some(Sabotage::FlipByte) && !flips {
                // A node that meets the damage ends; it raises the alarm when it starts again.
                self.revive();
                self.unalarmed().await?;
            } else {
                self.quiet().await?;
            }
            sleep(LOOK_EVERY).await;
        }
        if plan.sabotage == Some(Sabotage::FlipByte) {
            until("the flipped byte is found", FOUND_WITHIN, || async {
                self.revive();
                self.unalarmed().await.err()
            })
            .await;
        }
        Ok(load)
    }

    /// Flips a byte of a node that is down for a moment.
    async fn flip(&self) {
        const VICTIM: usize = 1;
        self.cluster.ask_to_stop(VICTIM);
        let gone = || async { self.cluster.stopped(VICTIM).then_some(()) };
        until("the node is gone", SOON, gone).await;
        tamper::flip(&self.cluster.data_dir(VICTIM), MARKER.as_bytes());
        self.cluster.restart(VICTIM);
    }

    /// A node that met damage has ended; whoever runs it starts it again.
    fn revive(&self) {
        (0..NODES).for_each(|at| self.cluster.revive(at));
    }

    async fn sample(&mut self, progress: f64) {
        let mut sample = Sample { progress, bytes: BTreeMap::new() };
        for at in 0..NODES {
            // A node that is down for a moment is looked at the next time.
            let Some(metrics) = self.metrics(at).await else { return };
            sample.look(at, &self.cluster.data_dir(at), &metrics);
        }
        self.samples.push(sample);
    }

    async fn metrics(&self, at: usize) -> Option<Scrape> {
        let (status, text) = self.cluster.admin(at, "/metrics").await.ok()?;
        (status == 200).then(|| Scrape::read(&text))
    }

    /// Nobody has raised an alarm, and every node lives.
    async fn quiet(&self) -> Result<(), String> {
        self.unalarmed().await?;
        self.cluster.casualties().map_or(Ok(()), Err)
    }

    /// Nobody has raised an alarm.
    async fn unalarmed(&self) -> Result<(), String> {
        let alarms = alarms::raised(&self.cluster, &self.client).await;
        if !alarms.is_empty() {
            return Err(format!("an alarm: {}", alarms.join("\n")));
        }
        Ok(())
    }

    /// Scans of which nodes had something left. That none was sent to its end shows that what is
    /// scanned fits no buffers.
    async fn untaken(&self) -> Result<u64, String> {
        let of = |outcome| format!("vatic_scans_total{{outcome=\"{outcome}\"}}");
        let (mut whole, mut untaken) = (0.0, 0.0);
        for at in 0..NODES {
            let Some(metrics) = self.metrics(at).await else { continue };
            whole += metrics.is(&of("whole"));
            untaken += metrics.is(&of("untaken"));
        }
        match whole > 0.0 {
            true => Err(format!("{whole} scans were sent to their end though nobody took them")),
            false => Ok(untaken as u64),
        }
    }

    async fn purged(&self) -> u64 {
        let mut purged = 0;
        for at in 0..NODES {
            let Some(metrics) = self.metrics(at).await else { continue };
            purged += metrics.sum("vatic_group_purged_index") as u64;
        }
        purged
    }
}
