//! One simulated node: its disk, and the process that runs on it while it is up.
//!
//! A crash ends the process and then decides what the disk keeps. Nothing else survives: the next
//! start opens log, store and groups as the server does.

use super::{
    Deployment, Ending, Report, machine::Watched, pace::Pace, replacing::look_after,
    settings::Settings,
};
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::TcpListener,
    process::Process,
    sync::{Notify, mpsc::UnboundedSender},
};
use vatic_consensus::{Config, Fatal, GroupHandle, Member, Node};
use vatic_core::id::GroupId;
use vatic_log::{Log, SimDisk, Step, Writer};
use vatic_store::Store;

const CLUSTER: &str = "simulation";
const PORT: u16 = 7000;

/// Pause of the writer before it looks for room again.
const STALL: Duration = Duration::from_millis(20);

pub(super) struct SimNode {
    pub(super) disk: SimDisk,
    pub(super) pace: Pace,
    pub(super) folder: PathBuf,
    pub(super) process: Option<Arc<Process>>,
    pub(super) consensus: Option<Node>,
    pub(super) groups: BTreeMap<GroupId, GroupHandle>,
    /// Rises with each start.
    pub(super) life: u32,
    /// How far each replica has applied, in this life.
    pub(super) applied: BTreeMap<GroupId, u64>,
    /// The same at the last crash.
    pub(super) applied_before: BTreeMap<GroupId, u64>,
    /// How its disk will fail: its end is meant then.
    pub(super) doomed: Option<Ending>,
    /// The world has ended it.
    pub(super) ended: bool,
    /// A bit of its disk is flipped.
    pub(super) rotten: bool,
    /// Its next start finds an empty disk.
    pub(super) loses_disk: bool,
}

impl SimNode {
    pub(super) fn new(folder: PathBuf, pace: Pace) -> SimNode {
        SimNode {
            disk: SimDisk::new(),
            pace,
            folder,
            process: None,
            consensus: None,
            groups: BTreeMap::new(),
            life: 0,
            applied: BTreeMap::new(),
            applied_before: BTreeMap::new(),
            doomed: None,
            ended: true,
            rotten: false,
            loses_disk: false,
        }
    }

    /// Nothing is left of what was written. No process runs.
    fn lose_disk(&mut self) {
        self.disk = SimDisk::new();
        self.rotten = false;
        self.applied_before.clear();
        heed::forget(&self.folder);
        // Where there is none, no snapshot was ever written.
        let _ = std::fs::remove_dir_all(&self.folder);
    }

    /// Whether it has opened its groups.
    pub(super) fn is_up(&self) -> bool {
        self.consensus.is_some()
    }
}

/// What a start needs to know.
#[derive(Clone)]
pub(super) struct Boot {
    pub(super) number: usize,
    pub(super) life: u32,
    disk: SimDisk,
    pace: Pace,
    folder: PathBuf,
    settings: Settings,
    groups: Vec<(GroupId, Vec<Member>)>,
    pub(super) reports: UnboundedSender<Report>,
    process: Arc<Process>,
}

impl Deployment {
    /// Starts a node's process; [`Report::Started`] tells when it serves.
    pub(crate) fn boot(&mut self, number: usize, ids: &[GroupId]) {
        let groups = ids.iter().zip(&self.members).filter(|(_, nodes)| nodes.contains(&number));
        let groups = groups.map(|(id, nodes)| (*id, nodes.iter().copied().map(member).collect()));
        let groups = groups.collect();
        let (settings, reports) = (self.settings.clone(), self.reports.clone());
        let node = &mut self.nodes[number];
        assert!(node.process.as_ref().is_none_or(|process| process.is_gone()), "it has ended");
        let process = Process::new(number as u32 + 1);
        if std::mem::take(&mut node.loses_disk) {
            node.lose_disk();
        }
        node.life += 1;
        node.ended = false;
        node.process = Some(process.clone());
        let (disk, pace) = (node.disk.clone(), node.pace.clone());
        let (folder, life) = (node.folder.clone(), node.life);
        let (told, spawner) = (reports.clone(), process.clone());
        let boot = Boot { number, life, disk, pace, folder, settings, groups, reports, process };
        spawner.spawn(async move {
            let report = match boot.start().await {
                Ok((consensus, groups)) => {
                    Report::Started { node: number, life, consensus, groups }
                }
                Err(reason) => Report::Refused { node: number, life, reason },
            };
            let _ = told.send(report);
        });
    }

    /// Ends a node's process at once. What the disk keeps is decided next.
    pub(crate) fn kill(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if let Some(process) = &node.process {
            process.kill();
        }
        let flown = node.consensus.take().map_or(0, |consensus| batches_flown(&consensus));
        self.batches_flown += flown;
        node.groups.clear();
        if !node.applied.is_empty() {
            node.applied_before = std::mem::take(&mut node.applied);
        }
        (node.doomed, node.ended) = (None, true);
    }
}

/// As the process's own metrics have it.
fn batches_flown(consensus: &Node) -> u64 {
    let collectors = consensus.collectors();
    let mut families = collectors.iter().flat_map(|collector| collector.collect());
    let family = families.find(|family| family.name() == "vatic_consensus_batches_in_flight");
    let family = family.expect("consensus counts its batches in flight");
    let histogram = family.get_metric()[0].get_histogram();
    histogram.get_sample_count() - histogram.get_bucket()[0].cumulative_count()
}

fn member(number: usize) -> Member {
    let address = address(number).to_string();
    Member { node: number as u32 + 1, generation: 1, address }
}

fn address(number: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 0, 0, number as u8 + 1), PORT).into()
}

impl Boot {
    /// Opens what is on the disk, as the server does.
    async fn start(self) -> Result<(Node, BTreeMap<GroupId, GroupHandle>), String> {
        let fatal = self.fatal();
        let log_fatal = {
            let fatal = fatal.clone();
            Arc::new(move |error: &io::Error| fatal(&format!("the log: {error}")))
        };
        let disk = Arc::new(self.disk.clone());
        let log = Log::open_stepped(disk, self.settings.log.clone(), log_fatal);
        let (log, writer) = log.map_err(|error| error.to_string())?;
        let queued = Arc::new(Notify::new());
        log.on_queued({
            let queued = queued.clone();
            move || queued.notify_one()
        });
        tokio::spawn(write(writer, queued, self.pace.clone()));

        let limits = self.settings.store.clone();
        let store = Store::open_stepped(&self.folder, limits, fatal.clone());
        let store = store.map_err(|error| error.to_string())?;
        tokio::spawn(flush(store.clone(), self.settings.disk.flush_ms));

        let listener = TcpListener::at(address(self.number));
        let config = Config {
            cluster: CLUSTER.into(),
            node: self.number as u32 + 1,
            limits: self.settings.consensus.clone(),
            fatal: Fatal::new(move |reason| fatal(reason)),
            routes: tonic::service::Routes::default(),
        };
        let node = Node::start(config, listener, log, store).await;
        let node = node.map_err(|error| error.to_string())?;
        let mut groups = BTreeMap::new();
        for (id, members) in &self.groups {
            let machine = Watched::new(*id, self.number, self.life, self.reports.clone());
            let handle = node.create_group(id.0, 1, members, machine).await;
            let handle = handle.map_err(|error| error.to_string())?;
            let founders = (*id, members.clone());
            tokio::spawn(look_after(self.clone(), node.clone(), founders, handle.clone()));
            groups.insert(*id, handle);
        }
        Ok((node, groups))
    }

    /// The process's end, which the world is told of.
    fn fatal(&self) -> Arc<dyn Fn(&str) + Send + Sync> {
        let (node, life) = (self.number, self.life);
        let (reports, process) = (self.reports.clone(), self.process.clone());
        Arc::new(move |reason| {
            process.kill();
            let _ = reports.send(Report::Fatal { node, life, reason: reason.into() });
        })
    }
}

/// The log's writer, as its thread would run it: what gathers while one batch is on its way to the
/// disk is the next.
async fn write(mut writer: Writer, queued: Arc<Notify>, pace: Pace) {
    loop {
        queued.notified().await;
        loop {
            pace.batch().await;
            writer.look_for_room();
            match writer.step() {
                Step::Wrote => {}
                Step::Idle => break,
                Step::Stalled => tokio::time::sleep(STALL).await,
                Step::Failed => return,
            }
        }
    }
}

/// The store's committer, as its thread would run it.
async fn flush(store: Store, every_ms: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(every_ms)).await;
        store.step();
    }
}
