//! How a deployment begins and ends: its nodes, their folders, the network between them.

use super::{
    Deployment, Ending, Led, Report, node::SimNode, pace::Pace, settings, settings::Settings,
    weather,
};
use crate::{faults::Faults, misfortune::Family, rng::Rng, trace::Trace, trace::digest_of};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};
use tokio::{chance, sync::mpsc, wire};
use vatic_consensus::{GroupHandle, Node};
use vatic_core::id::GroupId;
use vatic_log::Disk;
use weather::Sky;

/// In memory where the machine has that: snapshots are synced, and nobody needs them tomorrow.
const MEMORY: &str = "/dev/shm";

static RUNS: AtomicU64 = AtomicU64::new(0);

impl Deployment {
    /// Nodes that are down, and a network; to be called on the runtime that will run them.
    pub(crate) fn new(
        nodes: usize,
        members: Vec<Vec<usize>>,
        families: &BTreeSet<Family>,
        rng: &mut Rng,
    ) -> Deployment {
        let mut rng = Rng::new(rng.next());
        chance::seed(rng.next());
        let settings = Settings::draw(&mut rng).with_only(families);
        let sky = Rc::new(RefCell::new(Sky {
            rng: Rng::new(rng.next()),
            network: settings.network.clone(),
            cut: BTreeSet::new(),
            clear: true,
            faults: Faults::default(),
            trace: Trace::new(),
            messages: 0,
        }));
        wire::begin(weather::weather(&sky));
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let memory = PathBuf::from(MEMORY);
        let above = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let folder = above.join(format!("vatic-simulation-{}-{run}", std::process::id()));
        let (reports, inbox) = mpsc::unbounded_channel();
        let drawn = settings.disk.clone();
        let mut node = |at: usize| {
            let sync_us = if drawn.uneven { settings::sync_us(&mut rng) } else { drawn.sync_us };
            SimNode::new(folder.join(at.to_string()), Pace::new(sync_us))
        };
        Deployment {
            nodes: (0..nodes).map(&mut node).collect(),
            leaders: vec![Led::default(); members.len()],
            batches_flown: 0,
            members,
            sky,
            inbox,
            reports,
            rng,
            settings,
            folder,
            began: tokio::time::Instant::now(),
        }
    }

    /// Load begins now, and with it the world's time and its misfortune.
    pub(crate) fn begin(&mut self) {
        self.began = tokio::time::Instant::now();
        self.sky.borrow_mut().clear = false;
    }

    /// Nothing is lost any more.
    pub(crate) fn clear_up(&mut self) {
        let mut sky = self.sky.borrow_mut();
        sky.clear = true;
        sky.cut.clear();
        drop(sky);
        for node in &self.nodes {
            node.disk.limit_capacity(None);
            node.pace.recover();
        }
    }

    pub(crate) fn cut(&mut self, pairs: BTreeSet<(usize, usize)>) {
        self.sky.borrow_mut().cut = pairs;
    }

    pub(crate) fn take_report(&mut self) -> Option<Report> {
        self.inbox.try_recv().ok()
    }

    pub(crate) async fn next_report(&mut self) -> Option<Report> {
        self.inbox.recv().await
    }

    /// Takes a node's word that it serves, unless it is from an earlier life.
    pub(crate) fn started(
        &mut self,
        number: usize,
        life: u32,
        consensus: Node,
        groups: BTreeMap<GroupId, GroupHandle>,
    ) -> bool {
        let node = &mut self.nodes[number];
        let is_now = node.life == life && node.process.as_ref().is_some_and(|it| !it.is_killed());
        if is_now {
            (node.consensus, node.groups) = (Some(consensus), groups);
        }
        is_now
    }

    /// Whether a node's process could be started: there is none, and nothing is left of the last.
    pub(crate) fn is_down(&self, number: usize) -> bool {
        self.nodes[number].process.as_ref().is_none_or(|it| it.is_killed())
    }

    /// Whether nothing is left in memory of the process that a node had.
    pub(crate) fn is_gone(&self, number: usize) -> bool {
        self.nodes[number].process.as_ref().is_none_or(|it| it.is_gone())
    }

    /// Whether a report of an end is news: of the present life, which the world has not ended
    /// itself. Then, whether that end was meant.
    pub(crate) fn dies(&self, number: usize, life: u32) -> Option<Option<Ending>> {
        let node = &self.nodes[number];
        (node.life == life && !node.ended).then_some(node.doomed)
    }

    /// Notes how far a replica has come; what was noted before in this life.
    pub(crate) fn note_applied(&mut self, node: usize, group: GroupId, index: u64) -> Option<u64> {
        self.nodes[node].applied.insert(group, index)
    }

    /// How far a replica had come when its node crashed last.
    pub(crate) fn applied_before(&self, node: usize, group: GroupId) -> u64 {
        self.nodes[node].applied_before.get(&group).copied().unwrap_or(0)
    }

    pub(crate) fn life(&self, node: usize) -> u32 {
        self.nodes[node].life
    }

    /// What the network counted.
    pub(crate) fn faults(&self) -> Faults {
        self.sky.borrow().faults.clone()
    }

    /// A digest of all messages, and of all that lies on the disks.
    pub(crate) fn trace(&self) -> u64 {
        let mut trace = self.sky.borrow().trace;
        trace.note(&[self.sky.borrow().messages]);
        for node in &self.nodes {
            for slot in node.disk.slots().unwrap_or_default() {
                let bytes = node.disk.contents(slot).unwrap_or_default();
                trace.note(&[slot, digest_of(&bytes)]);
            }
            heed::digest(&node.folder, &mut |bytes| trace.note(&[digest_of(bytes)]));
        }
        trace.value()
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        for number in 0..self.nodes.len() {
            self.kill(number);
            heed::forget(&self.nodes[number].folder);
        }
        // Left behind it takes room, no more.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
