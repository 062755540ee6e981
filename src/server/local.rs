//! What this node answers itself, as the leader of a group: the far end of every question.

use crate::{
    attest,
    cluster::Cluster,
    compare, drive,
    mechanisms::Mechanism,
    peer::{NodeStatus, Origin, Outlook, PeerReply, PeerRequest, Proposed, ReplicaStatus},
    scrub, serve_read, time,
};
use fail::fail_point;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use tokio::time::Instant;
use vatic_consensus::{GroupHandle, ProposeError, Rank};
use vatic_core::{
    body::{Body, KeyRead, Part},
    codec,
    command::{Applied, Command},
    conflict::Touch,
    delta::Delta,
    group::Group,
    id::{GroupId, Tid, Timestamp},
    key::Key,
    lane::Urgency,
    precedence,
    rules::Rules,
};

/// What a command has beside its body and part.
const COMMAND_SLACK_BYTES: u64 = 64;

/// Transactions that all participants have applied, as far as this node was told. It is a hint
/// that saves questions: a lost one is found out again by recovery.
#[derive(Default)]
pub(crate) struct Settled {
    known: Mutex<ByGroup>,
    outbox: Mutex<ByGroup>,
}

pub(crate) type ByGroup = BTreeMap<GroupId, BTreeSet<Tid>>;

impl Settled {
    /// A driver on this node saw all participants apply the decision: to be told to them.
    pub(crate) fn post(&self, tid: Tid, participants: &[GroupId]) {
        // A group alone needs no telling.
        if participants.len() > 1 {
            let mut outbox = self.outbox.lock().expect("no holder panics");
            for &group in participants {
                outbox.entry(group).or_default().insert(tid);
            }
        }
    }

    /// Takes what is to be told.
    pub(crate) fn take_outbox(&self) -> ByGroup {
        std::mem::take(&mut self.outbox.lock().expect("no holder panics"))
    }

    pub(crate) fn note(&self, group: GroupId, tids: impl IntoIterator<Item = Tid>) {
        self.known.lock().expect("no holder panics").entry(group).or_default().extend(tids);
    }

    pub(crate) fn contains(&self, group: GroupId, tid: Tid) -> bool {
        let known = self.known.lock().expect("no holder panics");
        known.get(&group).is_some_and(|tids| tids.contains(&tid))
    }

    /// Drops what was minted up to the watermark.
    pub(crate) fn forget(&self, group: GroupId, watermark: Timestamp) {
        if let Some(tids) = self.known.lock().expect("no holder panics").get_mut(&group) {
            tids.retain(|tid| tid.mint > watermark);
        }
    }
}

impl Cluster {
    /// Answers a question from a peer or from this very node.
    pub(crate) async fn serve(
        self: &Arc<Self>,
        request: PeerRequest,
        deadline: Instant,
    ) -> PeerReply {
        let group = request.group();
        let handle = group.and_then(|group| self.groups.get(&group));
        match (request, handle) {
            // It may be wrong in anything that it says.
            (request, Some(_)) if request.group().is_some_and(|it| self.set_aside.contains(it)) => {
                PeerReply::NotLeader { leader: None }
            }
            // What is in quarantine is no witness: its state may be damaged, or hidden.
            (
                PeerRequest::Heads { .. }
                | PeerRequest::StateDigest { .. }
                | PeerRequest::Witness { .. },
                Some(handle),
            ) if handle.serving_view().is_none() => PeerReply::NotLeader { leader: None },
            (PeerRequest::Heads { group, from }, Some(handle)) => {
                PeerReply::Heads(compare::heads(group, handle, from))
            }
            (PeerRequest::StateDigest { group }, Some(_)) => self.state_digest(group).await,
            (PeerRequest::SetAside { group, generation, divergence }, Some(_)) => {
                self.set_aside(group, generation, divergence);
                PeerReply::Noted
            }
            (PeerRequest::Witness { checkpoint }, Some(_)) => {
                PeerReply::Witness(attest::witness(self, checkpoint))
            }
            (PeerRequest::Status { with_state_digest }, _) => {
                PeerReply::Status(self.status(with_state_digest).await)
            }
            (PeerRequest::Learnt, _) => PeerReply::Learnt(self.learnt()),
            (_, None) => PeerReply::NotLeader { leader: None },
            (request, Some(handle)) if request.is_of_present() && !handle.is_leader() => {
                PeerReply::NotLeader { leader: handle.leader().map(|id| id.node()) }
            }
            (PeerRequest::Propose { group, mut command, origin }, Some(handle)) => {
                self.serve_propose(group, handle, &mut command, origin, deadline).await
            }
            (PeerRequest::Read { group, read }, Some(handle)) => {
                Box::pin(serve_read::serve(self, group, handle, read, deadline)).await
            }
            (PeerRequest::Settled { group, tids }, Some(_)) => {
                self.settled.note(group, tids);
                PeerReply::Noted
            }
            (PeerRequest::Coordinate { body, parts, origin }, Some(handle)) => {
                self.serve_coordinate(handle, body, parts, origin, deadline).await
            }
            (PeerRequest::Explain { group, user, deltas }, Some(handle)) => {
                self.serve_explain(group, handle, user, deltas)
            }
            (PeerRequest::Foresee { group, reads, weighed }, Some(handle)) => {
                self.serve_foresee(group, handle, &reads, weighed)
            }
            (PeerRequest::Shadow { group, id, deltas }, Some(handle)) => {
                self.serve_shadow(group, handle, id, deltas)
            }
            (PeerRequest::LeaveStage { group, id }, Some(_)) => {
                self.staging.leave(group, id);
                PeerReply::Noted
            }
        }
    }

    /// Replicates a command in a group that is led here.
    pub(crate) async fn serve_propose(
        &self,
        group: GroupId,
        handle: &GroupHandle,
        command: &mut Command,
        origin: Origin,
        deadline: Instant,
    ) -> PeerReply {
        let proposing = match command {
            Command::Vote(vote) => Some(self.conflicts.proposing(group, vote, origin)),
            _ => None,
        };
        let rank = match command {
            Command::Vote(vote) if self.config.has(Mechanism::Order) => {
                Rank(precedence::of_vote(origin.urgency, vote.body.tid))
            }
            // The rest is few, and others wait for it. Whoever has been shown what a decision will
            // install (`Group::peek_ahead`) votes behind it because of this.
            _ => Rank::FIRST,
        };
        let reply = self.propose_here(group, handle, command, rank, deadline).await;
        proposing.into_iter().for_each(|proposing| proposing.end(&reply));
        self.conflicts.applied(command);
        reply
    }

    async fn propose_here(
        &self,
        group: GroupId,
        handle: &GroupHandle,
        command: &mut Command,
        rank: Rank,
        deadline: Instant,
    ) -> PeerReply {
        if let Some((limit, max)) = self.shortage().filter(|_| command.adds_work()) {
            return PeerReply::Full { limit: limit.to_owned(), max };
        }
        if let Command::Vote(vote) = command {
            // Another node's clock may run ahead, and the group's would follow it for good.
            let ahead_us = self.config.limits.clock_ahead_max_ms * 1_000;
            vote.hint = vote.hint.min(time::now().plus_us(ahead_us));
        }
        let votes = matches!(command, Command::Vote(_));
        self.metrics.commands.proposed(command);
        let passing = self.lanes.passing(handle, command);
        let proposed = handle.propose_ranked(codec::encode(command).into(), rank);
        let proposed = tokio::time::timeout_at(deadline, proposed).await;
        drop(passing);
        match proposed {
            Ok(Ok(applied)) => match codec::decode::<Applied>(&applied.reply) {
                Ok(reply) => {
                    let proof = reply.proof.as_ref().filter(|_| votes);
                    let signed =
                        proof.and_then(|proof| self.signer.endorse(group, handle, proof.index));
                    let (endorsement, times) = (signed.map(Box::new), applied.times.into());
                    PeerReply::Applied(Proposed { applied: reply, endorsement, times })
                }
                Err(_) => PeerReply::Late,
            },
            Ok(Err(ProposeError::NotLeader { hint })) => {
                PeerReply::NotLeader { leader: hint.map(|hint| hint.id.node()) }
            }
            Ok(Err(ProposeError::TooLarge { limit_bytes, command_bytes, .. })) => {
                let (limit_bytes, command_bytes) = (limit_bytes as u64, command_bytes as u64);
                PeerReply::TooLarge { limit_bytes, command_bytes }
            }
            Ok(Err(ProposeError::Stopped)) => PeerReply::Stopping,
            Ok(Err(ProposeError::Unknown)) | Err(_) => PeerReply::Late,
        }
    }

    /// The same with how likely a conflict is, where all participants are led here: of other groups
    /// little is known, and who is told little by chance must not go behind for that. Whoever
    /// coordinates says it, so that all participants put votes in the same order.
    pub(crate) fn scored(&self, origin: Origin, parts: &[Part]) -> Origin {
        let led_here = parts.iter().all(|part| self.led_here(part.group).is_some());
        if !led_here || !self.config.has(Mechanism::Order) {
            return origin;
        }
        let score_ppm = self.conflicts.score(origin.user, parts).unwrap_or(0);
        origin.with_urgency(Urgency { score_ppm, ..origin.urgency })
    }

    async fn serve_coordinate(
        self: &Arc<Self>,
        handle: &GroupHandle,
        body: Body,
        parts: Vec<Part>,
        origin: Origin,
        deadline: Instant,
    ) -> PeerReply {
        if !handle.is_leader() {
            return PeerReply::NotLeader { leader: handle.leader().map(|id| id.node()) };
        }
        self.drive(body, parts, origin, deadline).await
    }

    /// Coordinates a sealed transaction on this node.
    pub(crate) async fn drive(
        self: &Arc<Self>,
        body: Body,
        parts: Vec<Part>,
        origin: Origin,
        deadline: Instant,
    ) -> PeerReply {
        let led_here = self.led_here(body.tid.home).is_some();
        if let Some((limit, max)) = self.shortage().filter(|_| led_here) {
            return PeerReply::Full { limit: limit.to_owned(), max };
        }
        let limit_bytes = self.config.consensus_limits.command_bytes_max as u64;
        let part_bytes = parts.iter().map(codec::encoded_bytes).max().unwrap_or(0);
        let command_bytes = (codec::encoded_bytes(&body) + part_bytes) as u64 + COMMAND_SLACK_BYTES;
        if command_bytes > limit_bytes {
            return PeerReply::TooLarge { limit_bytes, command_bytes };
        }
        let origin = self.scored(origin, &parts);
        let finished = drive::start(self, once_more(body), parts, origin);
        match tokio::time::timeout_at(deadline, finished).await {
            Ok(Some(finished)) => PeerReply::Finished(finished),
            Ok(None) | Err(_) => PeerReply::Late,
        }
    }

    /// What each record of a transaction would meet in a group that is led here.
    fn serve_explain(
        &self,
        group: GroupId,
        handle: &GroupHandle,
        user: u64,
        numbered: Vec<(u64, Delta)>,
    ) -> PeerReply {
        if !handle.is_leader() {
            return PeerReply::NotLeader { leader: handle.leader().map(|id| id.node()) };
        }
        let view = handle.view();
        let reader = Group::of_view(group, &view, Rules::default());
        let deltas: Vec<Delta> = numbered.iter().map(|(_, delta)| delta.clone()).collect();
        let keys: BTreeSet<&Key> = deltas.iter().map(|delta| &delta.key).collect();
        let outlook = keys.into_iter().map(|key| {
            let (_, holder) = reader.peek(&view, key);
            let ahead = self.lanes.ahead(key);
            Outlook { holder, ..self.conflicts.outlook(user, key, &deltas, ahead) }
        });
        let outlook = outlook.collect();
        PeerReply::Outlook(outlook, reader.try_out(&view, numbered))
    }

    /// A look at applied state, and one at who is in flight.
    fn serve_foresee(
        &self,
        group: GroupId,
        handle: &GroupHandle,
        reads: &[KeyRead],
        weighed: Vec<(u64, Vec<Touch>)>,
    ) -> PeerReply {
        let Some((_, view)) = handle.serving_view() else {
            return PeerReply::NotLeader { leader: None };
        };
        let disturbed = Group::of_view(group, &view, Rules::default()).disturbed(&view, reads);
        let odds = weighed.into_iter().map(|(user, touches)| self.conflicts.odds(user, touches));
        PeerReply::Foreseen { disturbed, odds_ppm: odds.collect() }
    }

    /// Reads one replica's whole state.
    pub(crate) async fn state_digest(self: &Arc<Self>, group: GroupId) -> PeerReply {
        let _one_at_a_time = self.digests.lock().await;
        let handle = self.groups.get(&group).filter(|_| !self.set_aside.contains(group));
        let Some(handle) = handle else { return PeerReply::NotLeader { leader: None } };
        if !scrub::is_sound(self, group).await {
            return PeerReply::NotLeader { leader: None };
        }
        let Some((replica, view)) = handle.serving_view() else {
            return PeerReply::NotLeader { leader: None };
        };
        let read = tokio::task::spawn_blocking(move || {
            let index = view.mark().map_or(0, |mark| mark.index);
            PeerReply::StateDigest { replica, index, digest: view.digest().0 }
        });
        read.await.unwrap_or(PeerReply::Stopping)
    }

    /// What new work finds too little of, the limit's name and value; decisions are proposed all
    /// the same.
    pub(crate) fn shortage(&self) -> Option<(&'static str, u64)> {
        let reserve = self.config.store_limits.disk_reserve_bytes;
        let log = || self.consensus.log_is_full().then_some(("disk_reserve_bytes", reserve));
        self.store.shortage().or_else(log)
    }

    /// What this node knows of its own replicas.
    pub(crate) async fn status(self: &Arc<Self>, with_state_digest: bool) -> NodeStatus {
        let _one_at_a_time = if with_state_digest { Some(self.digests.lock().await) } else { None };
        let mut replicas = Vec::with_capacity(self.groups.len());
        for (&group, handle) in &self.groups {
            // Reading all of a damaged state would stop the node.
            let sound = self.set_aside.get(group).is_none() && handle.serving_view().is_some();
            let digest = with_state_digest && sound && scrub::is_sound(self, group).await;
            let status = replica_status(group, handle.clone(), digest).await;
            let divergence = self.set_aside.get(group);
            let status = ReplicaStatus { divergence, ..status };
            replicas.push(status);
        }
        NodeStatus { node: self.config.node, replicas }
    }
}

/// What a driver must not do: take a seal that comes again for one that it does not know.
fn once_more(body: Body) -> Body {
    fail_point!("server::again", |_| {
        static SEEN: Mutex<BTreeSet<Tid>> = Mutex::new(BTreeSet::new());
        let mut tid = body.tid;
        while !SEEN.lock().expect("no holder panics").insert(tid) {
            tid.nonce = tid.nonce.wrapping_add(1);
        }
        Body { tid, ..body.clone() }
    });
    body
}

async fn replica_status(
    id: GroupId,
    handle: GroupHandle,
    with_state_digest: bool,
) -> ReplicaStatus {
    let (status, leader) = (handle.status(), handle.leader_heard());
    let serves = handle.serving_view().is_some();
    let view = handle.view();
    let group = Group::of_view(id, &view, Rules::default());
    let undecided = group.undecided(&view).len() as u64;
    let applied_index = view.mark().map_or(0, |mark| mark.index);
    let (state_digest, records) = match with_state_digest {
        false => (None, 0),
        // It reads the whole state: off the threads that serve.
        true => tokio::task::spawn_blocking(move || {
            (Some(view.digest().0), vatic_core::read::count(&view))
        })
        .await
        .unwrap_or((None, 0)),
    };
    let chain = group.chain();
    ReplicaStatus {
        group: id,
        generation: status.id.generation(),
        leader: leader.map(|leader| leader.node()),
        term: status.leadership.term,
        last_log_index: status.last.unwrap_or(0),
        applied_index,
        chain_index: chain.index,
        chain_digest: serves.then_some(chain.digest.0),
        state_digest,
        undecided,
        clock: group.clock(),
        records,
        configured: id == GroupId::META || group.config().ring.is_some(),
        divergence: None,
    }
}
