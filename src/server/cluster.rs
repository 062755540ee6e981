//! The cluster as this node sees it: its own groups, the other nodes, who leads what.
//!
//! Every question to a group goes through [`Cluster::ask`], which finds the leader by guess, hint
//! and rotation until a deadline. All commands are idempotent (by transaction id, watermark or
//! epoch), so a question whose answer was lost is simply asked again.

use crate::{
    config::Config,
    conflicts::Conflicts,
    diary::Diaries,
    divergence::SetAside,
    drive::Driving,
    lanes::KeyLanes,
    load::{self, Ingress},
    local::Settled,
    mechanisms::Mechanism,
    peer::{Finished, NodeLearnt, Origin, PeerFound, PeerRead, PeerReply, PeerRequest, Proposed},
    peer_client::{PeerClients, QUESTION_BYTES_MAX},
    placement, queue,
    quick::{self, Quick},
    rollback,
    room::Refusals,
    serve_read,
    signer::Signer,
    telemetry::{metrics::Metrics, readiness::Readiness},
};
use fail::fail_point;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use vatic_consensus::{GroupHandle, Node};
use vatic_core::{
    body::{Body, Part},
    command::{Applied, Command},
    group::Group,
    hash::Hash,
    id::{GroupId, Tid},
    meta::NodeRecord,
    policy::Policies,
    ring::Ring,
    rules::Rules,
};
use vatic_sync::{Door, Flights};

/// What all tasks of a node share.
pub(crate) struct Cluster {
    pub(crate) config: Config,
    pub(crate) client_endpoint: String,
    pub(crate) signer: Signer,
    pub(crate) consensus: Node,
    pub(crate) store: vatic_store::Store,
    pub(crate) groups: BTreeMap<GroupId, GroupHandle>,
    pub(crate) diaries: Option<Diaries>,
    pub(crate) peers: PeerClients,
    pub(crate) ring: watch::Sender<Option<Arc<Ring>>>,
    pub(crate) registry: RwLock<BTreeMap<u32, NodeRecord>>,
    policies: RwLock<Arc<Policies>>,
    pub(crate) settled: Settled,
    pub(crate) lanes: KeyLanes,
    pub(crate) conflicts: Conflicts,
    /// The version of this node's forecasters.
    pub(crate) forecasters: watch::Sender<u64>,
    /// What clients send to be committed passes it.
    pub(crate) ingress: Ingress,
    /// How many tickets wait, as far as this gateway knows.
    pub(crate) tickets: queue::Counts,
    pub(crate) ticket_counters: queue::Counters,
    /// Tickets that were tried out by this node as a leader, and have not ended.
    pub(crate) staging: queue::StagingAreas,
    /// Held while the whole state is read for its digest.
    pub(crate) digests: tokio::sync::Mutex<()>,
    pub(crate) recovering: Mutex<BTreeSet<Tid>>,
    /// Sealed transactions that this node drives, by id and body.
    pub(crate) driving: Flights<(Tid, Hash), Driving>,
    /// Closed, like `submits`, when the node drains.
    pub(crate) streams: Door,
    /// One-shots that were admitted.
    pub(crate) submits: Door,
    /// Operations of pipelines in flight.
    pub(crate) operations: Door,
    /// This node's replicas that differ from the others.
    pub(crate) set_aside: SetAside,
    /// What running transactions keep in memory.
    pub(crate) gateway_bytes: Door,
    /// What reads hold on its way to clients, in bytes.
    pub(crate) reads_held: Arc<Door>,
    /// Whose turn it is to raise a group's clock.
    pub(crate) advances: BTreeMap<GroupId, tokio::sync::Mutex<()>>,
    pub(crate) metrics: Metrics,
    pub(crate) readiness: Readiness,
    guesses: Mutex<BTreeMap<GroupId, u32>>,
    pub(crate) refusals: Refusals,
}

/// Why a question got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody who leads the group answered in time.
    #[error("group {group} has no leader that answers")]
    NoLeader { group: GroupId },
    /// The group's leader had no answer by the deadline.
    #[error("the leader of group {group} had no answer by the deadline")]
    Late { group: GroupId },
    /// It is larger than an entry, or than a question to another node, may be.
    #[error("{what} has {actual} bytes, {limit} is {max}")]
    TooLarge { what: &'static str, limit: &'static str, max: u64, actual: u64 },
    /// The group's leader has no room for new work.
    #[error("the leader of group {group} has no room: {limit} is {max}")]
    Full { group: GroupId, limit: String, max: u64 },
}

/// How that limit of a question is called.
const QUESTION_BYTES: &str = "question_bytes_max";

/// Pauses between two tries: short at first, since most errors are a leader that just moved.
const RETRY_PAUSES_MS: [u64; 6] = [2, 5, 10, 25, 50, 100];

impl Cluster {
    pub(crate) fn new(
        config: Config,
        client_endpoint: String,
        signer: Signer,
        consensus: Node,
        store: vatic_store::Store,
        groups: BTreeMap<GroupId, GroupHandle>,
        diaries: Option<Diaries>,
    ) -> Cluster {
        let others = config.members.iter().filter(|member| member.node != config.node);
        let addresses = others.map(|member| (member.node, member.peer.clone())).collect();
        let (ring, _) = watch::channel(None);
        let metrics = Metrics::new(&config, &rollback::causes());
        metrics.include(consensus.collectors());
        metrics.include(store.collectors());
        let ticket_counters = queue::Counters::default();
        metrics.include(ticket_counters.collectors());
        Cluster {
            peers: PeerClients::new(config.cluster.clone(), addresses),
            client_endpoint,
            signer,
            advances: groups.keys().map(|&group| (group, Default::default())).collect(),
            consensus,
            store,
            groups,
            diaries,
            ring,
            registry: RwLock::default(),
            policies: RwLock::default(),
            settled: Settled::default(),
            lanes: KeyLanes::new(config.has(Mechanism::Lanes)),
            conflicts: Conflicts::new(&config),
            forecasters: watch::channel(0).0,
            ingress: Ingress::new(load::limits(&config), config.has(Mechanism::Priority)),
            tickets: queue::Counts::default(),
            ticket_counters,
            staging: queue::StagingAreas::default(),
            digests: tokio::sync::Mutex::default(),
            recovering: Mutex::default(),
            driving: Flights::default(),
            streams: Door::default(),
            submits: Door::default(),
            operations: Door::default(),
            gateway_bytes: Door::default(),
            reads_held: Arc::default(),
            set_aside: SetAside::default(),
            metrics,
            readiness: Readiness::default(),
            guesses: Mutex::default(),
            refusals: Refusals::default(),
            config,
        }
    }

    /// Replicates a command in a group.
    pub(crate) async fn propose(
        self: &Arc<Self>,
        group: GroupId,
        command: Command,
        deadline: Instant,
    ) -> Result<Applied, CallError> {
        let proposed = self.propose_signed(group, command, Origin::default(), deadline).await;
        proposed.map(|proposed| proposed.applied)
    }

    /// The same, with what the leader signed of a Yes, and how long it took where.
    pub(crate) async fn propose_signed(
        self: &Arc<Self>,
        group: GroupId,
        command: Command,
        origin: Origin,
        deadline: Instant,
    ) -> Result<Proposed, CallError> {
        let request = PeerRequest::Propose { group, command, origin };
        match self.ask(group, request, deadline).await? {
            PeerReply::Applied(proposed) => Ok(proposed),
            _ => Err(CallError::NoLeader { group }),
        }
    }

    /// Reads at a group's leader; what any replica can tell also at this node's own.
    pub(crate) async fn read(
        self: &Arc<Self>,
        group: GroupId,
        read: PeerRead,
        deadline: Instant,
    ) -> Result<PeerFound, CallError> {
        let own = self.groups.get(&group).filter(|_| !self.set_aside.contains(group));
        if let Some(found) = own.and_then(|own| serve_read::answer_here(group, own, &read)) {
            return Ok(found);
        }
        match self.ask(group, PeerRequest::Read { group, read }, deadline).await? {
            PeerReply::Read(found) => Ok(found),
            _ => Err(CallError::NoLeader { group }),
        }
    }

    /// Brings a sealed transaction to its decision. Asking again is safe: votes are remembered by
    /// transaction id and body.
    ///
    /// Whoever coordinates asks all participants at once, so it is best near all of them: that is
    /// the home group's leader where that leads them all, and this node where leaders are apart,
    /// since a question by way of the home group's leader would travel once more.
    pub(crate) async fn coordinate(
        self: &Arc<Self>,
        body: Body,
        parts: Vec<Part>,
        origin: Origin,
        deadline: Instant,
    ) -> Result<Finished, CallError> {
        let group = body.tid.home;
        fail_point!("server::seal");
        let (body, parts, in_doubt) = match quick::vote(self, body, parts, origin, deadline).await {
            Quick::Finished(finished) => return Ok(finished),
            Quick::Open { body, parts, in_doubt } => (body, parts, in_doubt),
        };
        let refused = self.refusals.believed(&body.groups());
        if let Some(refused) = refused.filter(|_| !in_doubt && body.participants.len() > 1) {
            return Err(refused);
        }
        // Boxed: what is seldom needed would make each transaction's future large.
        let reply = if in_doubt || !self.leaders_are_apart(&body) {
            let asked = PeerRequest::Coordinate { body, parts, origin };
            Box::pin(self.ask_again(group, asked, in_doubt, deadline)).await?
        } else {
            Box::pin(self.drive(body, parts, origin, deadline)).await
        };
        match reply {
            PeerReply::Finished(finished) => {
                fail_point!("server::sealed");
                Ok(finished)
            }
            PeerReply::Late => Err(CallError::Late { group }),
            reply => Err(refusal(group, &reply).unwrap_or(CallError::NoLeader { group })),
        }
    }

    /// Whether some participant is led by another node than the home group, as far as this node
    /// knows. Not where it has no good replica of the home group: whoever coordinates notes what
    /// strayed for that group's history, by the policies that its votes are held to.
    fn leaders_are_apart(&self, body: &Body) -> bool {
        let leader = self.guess(body.tid.home);
        self.groups.contains_key(&body.tid.home)
            && !self.set_aside.contains(body.tid.home)
            && body.groups().into_iter().any(|group| self.guess(group) != leader)
    }

    /// Tells a group's leader which transactions are settled. A hint: losing it costs a recovery.
    pub(crate) async fn tell_settled(
        self: &Arc<Self>,
        group: GroupId,
        tids: Vec<Tid>,
        deadline: Instant,
    ) {
        if let Err(error) = self.ask(group, PeerRequest::Settled { group, tids }, deadline).await {
            tracing::debug!(%error, "settled transactions were not told");
        }
    }

    /// Asks whoever leads the group until one answers or time runs out.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        group: GroupId,
        request: PeerRequest,
        deadline: Instant,
    ) -> Result<PeerReply, CallError> {
        self.ask_again(group, request, false, deadline).await
    }

    /// The same for a question that may have been asked before and had its effect.
    async fn ask_again(
        self: &Arc<Self>,
        group: GroupId,
        request: PeerRequest,
        mut in_doubt: bool,
        deadline: Instant,
    ) -> Result<PeerReply, CallError> {
        let mut pauses = RETRY_PAUSES_MS.iter();
        let mut pause_ms = 0;
        let mut late = true;
        // Once an answer was lost the question may have had its effect: a refusal says nothing.
        while Instant::now() < deadline {
            let node = self.guess(group);
            let reply = if node == self.config.node {
                Some(Box::pin(self.serve(request.clone(), deadline)).await)
            } else {
                Box::pin(self.peers.call(node, &request, deadline)).await
            };
            late = matches!(reply, Some(PeerReply::Late)) || late && reply.is_none();
            match (reply.as_ref().and_then(|reply| refusal(group, reply)), reply) {
                (Some(error), _) if !in_doubt => return Err(error),
                (_, Some(PeerReply::NotLeader { leader })) => self.learn(group, node, leader),
                (Some(_), _) | (_, Some(PeerReply::Late | PeerReply::Stopping) | None) => {
                    in_doubt = true;
                    self.learn(group, node, None);
                }
                (None, Some(reply)) => return Ok(reply),
            }
            pause_ms = pauses.next().copied().unwrap_or(pause_ms);
            let pause = Duration::from_millis(rand::random_range(1..=pause_ms));
            tokio::time::sleep_until(deadline.min(Instant::now() + pause)).await;
        }
        Err(if late { CallError::Late { group } } else { CallError::NoLeader { group } })
    }

    /// A group that this node leads, as far as it knows, and may answer for.
    pub(crate) fn led_here(&self, group: GroupId) -> Option<&GroupHandle> {
        let handle = self.groups.get(&group).filter(|handle| handle.is_leader());
        handle.filter(|_| !self.set_aside.contains(group))
    }

    /// The nodes that hold a group, the preferred leader first.
    pub(crate) fn holders(&self, group: GroupId) -> Vec<u32> {
        placement::nodes_of(group, &self.config.members, self.config.replicas)
    }

    /// The leader of a group as far as this node knows, and where clients reach it.
    pub(crate) fn leader_hint(&self, group: GroupId) -> (u32, String) {
        let leader = match self.groups.get(&group) {
            Some(handle) => handle.leader().map(|id| id.node()),
            None => self.guesses.lock().expect("no holder panics").get(&group).copied(),
        };
        let leader = leader.unwrap_or(0);
        let registry = self.registry.read().expect("no holder panics");
        let endpoint = registry.get(&leader).map(|record| record.client_addr.clone());
        (leader, endpoint.unwrap_or_default())
    }

    /// What this node has learnt.
    pub(crate) fn learnt(&self) -> NodeLearnt {
        NodeLearnt { forecasters: *self.forecasters.borrow(), ..self.conflicts.account() }
    }

    /// What collections ask for, as far as this node has heard.
    pub(crate) fn policies(&self) -> Arc<Policies> {
        self.policies.read().expect("no holder panics").clone()
    }

    /// What a group's votes are held to, as this node's replica of it has applied it.
    pub(crate) fn policies_in(&self, group: GroupId) -> Policies {
        let Some(handle) = self.groups.get(&group) else { return Policies::default() };
        Group::of_view(group, &handle.view(), Rules::default()).config().policies.clone()
    }

    /// Group 0 has these policies.
    pub(crate) fn know_policies(&self, policies: Policies) {
        let mut known = self.policies.write().expect("no holder panics");
        if known.version < policies.version {
            *known = Arc::new(policies);
        }
    }

    /// The ring, once this node knows it.
    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.borrow().clone()
    }

    /// Whether new transactions are refused.
    pub(crate) fn is_draining(&self) -> bool {
        self.submits.is_closed()
    }

    /// Whether nothing runs that a client waits for.
    pub(crate) fn is_idle(&self) -> bool {
        let doors = [&self.streams, &self.submits, &self.operations];
        doors.iter().all(|door| door.inside() == 0)
    }

    fn guess(&self, group: GroupId) -> u32 {
        let local = self.groups.get(&group).and_then(|handle| handle.leader());
        let guessed = || self.guesses.lock().expect("no holder panics").get(&group).copied();
        let first = || self.holders(group).first().copied();
        local.map(|id| id.node()).or_else(guessed).or_else(first).unwrap_or(self.config.node)
    }

    /// A node said that it does not lead: remember who does, or try the next one.
    fn learn(&self, group: GroupId, asked: u32, leader: Option<u32>) {
        let holders = self.holders(group);
        let next = leader.filter(|&leader| leader != asked).unwrap_or_else(|| {
            let at = holders.iter().position(|&node| node == asked).map_or(0, |at| at + 1);
            holders[at % holders.len()]
        });
        self.guesses.lock().expect("no holder panics").insert(group, next);
    }
}

/// The answer that such a refusal was, to be passed on.
pub(crate) fn refusing(error: &CallError) -> Option<PeerReply> {
    match error {
        &CallError::TooLarge { limit: QUESTION_BYTES, actual: question_bytes, .. } => {
            Some(PeerReply::Unsendable { question_bytes })
        }
        &CallError::TooLarge { max: limit_bytes, actual: command_bytes, .. } => {
            Some(PeerReply::TooLarge { limit_bytes, command_bytes })
        }
        CallError::Full { limit, max, .. } => {
            Some(PeerReply::Full { limit: limit.clone(), max: *max })
        }
        CallError::NoLeader { .. } | CallError::Late { .. } => None,
    }
}

/// Where a question is refused for what it is.
pub(crate) fn refusal(group: GroupId, reply: &PeerReply) -> Option<CallError> {
    match reply {
        &PeerReply::TooLarge { limit_bytes: max, command_bytes: actual } => {
            let (what, limit) = ("the command", "command_bytes_max");
            Some(CallError::TooLarge { what, limit, max, actual })
        }
        &PeerReply::Unsendable { question_bytes: actual } => {
            let (what, limit) = ("a question to a node", QUESTION_BYTES);
            let max = QUESTION_BYTES_MAX as u64;
            Some(CallError::TooLarge { what, limit, max, actual })
        }
        PeerReply::Full { limit, max } => {
            Some(CallError::Full { group, limit: limit.clone(), max: *max })
        }
        _ => None,
    }
}
