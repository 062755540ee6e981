//! Level 2: the groups of a world as real ones, on simulated nodes.
//!
//! openraft runs with the server's own consensus module, the server's machine, our log on a disk in
//! memory that tears, and our store over what stands in for LMDB. The world above stays what it is
//! at level 1: its clients, gateways, coordinators and oracles. What it takes for granted there,
//! it here proposes to whoever leads, and reads from whoever answers.
//!
//! A reference of each group is kept beside the real replicas: it applies each entry when the first
//! of them does, in memory, without any store. Whatever a replica answers or holds is compared.

mod damage;
mod disasters;
mod machine;
mod node;
mod pace;
mod replacing;
mod serve;
mod settings;
mod start;
mod weather;

pub(crate) use damage::Flip;
pub(crate) use disasters::{Disaster, Ending};
pub(crate) use replacing::Replacing;

use crate::{
    event::{Found, Query, Token},
    rng::Rng,
};
use node::SimNode;
use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, rc::Rc, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use vatic_consensus::{GroupHandle, Node};
use vatic_core::{
    command::{Applied, ChainHead},
    id::GroupId,
};
use weather::Sky;

/// One microsecond of the world takes so many of the cluster's: the world's times are those of
/// messages and entries, a hundredth of what elections and disks take.
pub(crate) const SLOWNESS: u64 = 100;

pub(crate) struct Deployment {
    nodes: Vec<SimNode>,
    /// By group, in the world's order: which nodes hold a replica.
    pub(crate) members: Vec<Vec<usize>>,
    sky: Rc<RefCell<Sky>>,
    inbox: mpsc::UnboundedReceiver<Report>,
    reports: mpsc::UnboundedSender<Report>,
    rng: Rng,
    settings: settings::Settings,
    /// Where snapshots lie; a folder of this run alone.
    folder: PathBuf,
    began: tokio::time::Instant,
    leaders: Vec<Led>,
    /// Batches that were submitted while another of their group was in flight, by processes that
    /// have ended.
    batches_flown: u64,
}

/// Who led a group last, as far as an onlooker knows.
#[derive(Clone, Copy, Default)]
struct Led {
    term: u64,
    node: usize,
}

/// What nodes tell the world.
pub(crate) enum Report {
    /// A proposal was applied where it was made.
    Applied { node: usize, to: (usize, Token), applied: Box<Applied> },
    /// A proposal came to nothing, or nobody knows what it came to.
    NotApplied { node: usize, to: (usize, Token) },
    /// A query was answered.
    Found { node: usize, to: (usize, Token), found: Box<Found> },
    /// A replica applied an entry.
    Entry { node: usize, group: GroupId, entry: AppliedEntry },
    /// A replica was opened, or got a snapshot, at this index.
    Restored { node: usize, life: u32, group: GroupId, index: u64, undecided: bool },
    /// A node is up.
    Started { node: usize, life: u32, consensus: Node, groups: BTreeMap<GroupId, GroupHandle> },
    /// A node did not come up.
    Refused { node: usize, life: u32, reason: String },
    /// A node cannot go on.
    Fatal { node: usize, life: u32, reason: String },
}

/// An entry as one replica applied it.
#[derive(Debug)]
pub(crate) struct AppliedEntry {
    pub(crate) index: u64,
    pub(crate) commands: Vec<bytes::Bytes>,
    pub(crate) replies: Vec<bytes::Bytes>,
    pub(crate) chain: ChainHead,
}

/// A proposal that hangs for so long is given up; its caller has asked again.
const PROPOSAL_DEADLINE: Duration = Duration::from_secs(5);

impl Deployment {
    /// Hands a command to a node's replica, whether that leads or not.
    pub(crate) fn propose(
        &self,
        group: GroupId,
        node: usize,
        command: Vec<u8>,
        to: Option<(usize, Token)>,
    ) {
        let Some((process, handle)) = self.replica(group, node) else { return };
        let reports = self.reports.clone();
        process.spawn(async move {
            let proposed = handle.propose(command.into());
            let proposed = tokio::time::timeout(PROPOSAL_DEADLINE, proposed).await;
            let Some(to) = to else { return };
            let applied = proposed.ok().and_then(Result::ok);
            let applied = applied.and_then(|it| vatic_core::codec::decode(&it.reply).ok());
            let _ = reports.send(match applied {
                Some(applied) => Report::Applied { node, to, applied: Box::new(applied) },
                None => Report::NotApplied { node, to },
            });
        });
    }

    /// Asks a node's replica.
    pub(crate) fn query(&self, group: GroupId, node: usize, query: Query, to: (usize, Token)) {
        let Some((process, handle)) = self.replica(group, node) else { return };
        let reports = self.reports.clone();
        process.spawn(async move {
            if let Some(found) = serve::answer(group, &handle, &query).await {
                let _ = reports.send(Report::Found { node, to, found: Box::new(found) });
            }
        });
    }

    fn replica(
        &self,
        group: GroupId,
        node: usize,
    ) -> Option<(Arc<tokio::process::Process>, GroupHandle)> {
        let node = &self.nodes[node];
        Some((node.process.clone()?, node.groups.get(&group)?.clone()))
    }

    /// The node that leads the group, or else the one that did.
    pub(crate) fn leader(&mut self, group: usize, id: GroupId) -> usize {
        let known = &mut self.leaders[group];
        for &node in &self.members[group] {
            let Some(handle) = self.nodes[node].groups.get(&id) else { continue };
            let leadership = handle.leadership_now();
            if leadership.local && leadership.term > known.term {
                *known = Led { term: leadership.term, node };
            }
        }
        known.node
    }

    /// Who holds itself for the leader, and in which term.
    pub(crate) fn leaders_seen(&self, group: usize, id: GroupId) -> Vec<(u64, usize)> {
        let members = self.members[group].iter();
        let seen = members.filter_map(|&node| {
            let leadership = self.nodes[node].groups.get(&id)?.leadership_now();
            leadership.local.then_some((leadership.term, node))
        });
        seen.collect()
    }

    /// The term that the group's last known leader had.
    pub(crate) fn term(&self, group: usize) -> u64 {
        self.leaders[group].term
    }

    pub(crate) fn batches_flown(&self) -> u64 {
        self.batches_flown
    }

    /// The world's time.
    pub(crate) fn now_us(&self) -> u64 {
        let elapsed = self.began.elapsed().as_micros() as u64;
        crate::limits::EPOCH_US + elapsed / SLOWNESS
    }

    pub(crate) fn instant(&self, world_us: u64) -> tokio::time::Instant {
        let since = world_us.saturating_sub(crate::limits::EPOCH_US) * SLOWNESS;
        self.began + Duration::from_micros(since)
    }

    /// Whether every node that is not left out is up and has applied its groups' entries up to
    /// these indexes.
    pub(crate) fn is_level(
        &self,
        last: &[(GroupId, u64)],
        left_out: impl Fn(usize) -> bool,
    ) -> bool {
        let asked = (0..self.nodes.len()).filter(|&node| !left_out(node));
        asked.map(|node| &self.nodes[node]).all(|node| {
            node.is_up()
                && last.iter().all(|(group, last)| {
                    !node.groups.contains_key(group)
                        || node.applied.get(group).is_some_and(|applied| applied >= last)
                })
        })
    }

    /// A view of what a node holds of a group.
    pub(crate) fn view(&self, group: GroupId, node: usize) -> Option<vatic_store::View> {
        Some(self.nodes[node].groups.get(&group)?.view())
    }
}
