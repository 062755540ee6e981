//! Drives a coordinator: carries its effects out, feeds it the answers.
//!
//! Why a task of its own for each transaction: the client is answered at the decision, and the
//! decisions still have to reach the participants. A driver that dies leaves Yes votes behind,
//! which the sweeps find; so it need not survive anything.

use crate::{
    cluster::{Cluster, refusing},
    peer::{Finished, Origin, PeerRead, PeerReply, Proposed},
    telemetry::drive_times::{DriveTimes, Voted},
    time,
};
use fail::fail_point;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Shared},
    stream::FuturesUnordered,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::Instant};
use tracing::{Instrument, Span};
use vatic_core::{
    body::{Body, Part},
    checkpoint::Endorsement,
    command::{Applied, Cause, Command, Decision, Vote, Why},
    coordinator::{Answer, Coordinator, Effect, Event},
    group::Undecided,
    hash::Hash,
    id::{GroupId, Tid},
    receipt::Receipt,
    rules::Rules,
};

/// A sealed transaction that is driven on this node: its outcome, for everyone who asks.
pub(crate) type Driving = Shared<oneshot::Receiver<Finished>>;

/// Starts a sealed transaction, or joins its driver where it is repeated; the future is its
/// outcome, or `None` where the driver gave up.
pub(crate) fn start(
    cluster: &Arc<Cluster>,
    body: Body,
    parts: Vec<Part>,
    origin: Origin,
) -> impl Future<Output = Option<Finished>> + use<> {
    let digest = body.digest();
    let name = (body.tid, digest);
    let answered = cluster.driving.join(name, || {
        let coordinator =
            Coordinator::drive(body.tid, Some(digest), &body.groups(), Rules::default());
        let parts = parts.into_iter().map(|part| (part.group, part)).collect();
        spawn(cluster, coordinator, Some(Sealed { body, parts, origin }), None).shared()
    });
    async { answered.await.ok() }
}

/// Brings a transaction that somebody left behind to its decision. At most one recovery of a
/// transaction runs on a node at once; asking for a second one waits for nothing.
pub(crate) async fn recover(cluster: &Arc<Cluster>, left: Undecided) {
    recover_parts(cluster, left.tid, Some(left.body), left.participants).await;
}

/// As [`recover`], for one whose body or participants may be unknown.
pub(crate) async fn recover_parts(
    cluster: &Arc<Cluster>,
    tid: Tid,
    body: Option<Hash>,
    participants: Vec<GroupId>,
) {
    let Some(recovery) = Recovery::begin(cluster, tid) else { return };
    cluster.metrics.recoveries.inc();
    tracing::debug!(%tid, ?participants, "recovering a transaction");
    let coordinator = Coordinator::recover(tid, body, &participants, Rules::default());
    // Whoever waits may stop waiting: the driver goes on, and the recovery ends with it.
    if spawn(cluster, coordinator, None, Some(recovery)).await.is_err() {
        tracing::warn!(%tid, "a recovery did not come to an end; the sweep will try again");
    }
}

/// A recovery that runs on this node; over when dropped.
struct Recovery {
    cluster: Arc<Cluster>,
    tid: Tid,
}

impl Recovery {
    /// `None` where one runs already.
    fn begin(cluster: &Arc<Cluster>, tid: Tid) -> Option<Recovery> {
        let fresh = cluster.recovering.lock().expect("no holder panics").insert(tid);
        fresh.then(|| Recovery { cluster: cluster.clone(), tid })
    }
}

impl Drop for Recovery {
    fn drop(&mut self) {
        self.cluster.recovering.lock().expect("no holder panics").remove(&self.tid);
    }
}

struct Sealed {
    body: Body,
    parts: BTreeMap<GroupId, Part>,
    origin: Origin,
}

/// What one question came to.
#[allow(clippy::large_enum_variant)] // It is taken apart at once; boxing would cost more.
enum Told {
    Heard(Heard),
    /// It is not voted on there, and will not be.
    Refused(Box<PeerReply>),
    Nothing,
}

struct Heard {
    event: Event,
    endorsement: Option<Box<Endorsement>>,
    /// Where it was a vote: how long that took.
    voted: Option<Voted>,
}

struct Driver {
    cluster: Arc<Cluster>,
    coordinator: Coordinator,
    sealed: Option<Sealed>,
    answered: Option<oneshot::Sender<Finished>>,
    pending: FuturesUnordered<BoxFuture<'static, Told>>,
    /// What a participant's leader refused its vote with.
    refused: Option<Box<PeerReply>>,
    endorsements: Vec<Endorsement>,
    /// Of a sealed transaction; a recovery is nobody's wait.
    times: Option<DriveTimes>,
    _recovery: Option<Recovery>,
}

fn spawn(
    cluster: &Arc<Cluster>,
    coordinator: Coordinator,
    sealed: Option<Sealed>,
    recovery: Option<Recovery>,
) -> oneshot::Receiver<Finished> {
    let (answered, answer) = oneshot::channel();
    let times = sealed.is_some().then(|| DriveTimes::begin(cluster));
    let span = times.as_ref().map_or_else(Span::none, DriveTimes::span);
    let driver = Driver {
        cluster: cluster.clone(),
        coordinator,
        sealed,
        answered: Some(answered),
        pending: FuturesUnordered::new(),
        refused: None,
        endorsements: Vec::new(),
        times,
        _recovery: recovery,
    };
    tokio::spawn(driver.run().instrument(span));
    answer
}

impl Driver {
    async fn run(mut self) {
        self.until_settled().await;
        self.times.take().into_iter().for_each(|times| times.end(&self.coordinator));
        if let (Some(_), Some(body)) = (&self.sealed, self.coordinator.body()) {
            let name = (self.coordinator.tid(), body);
            self.cluster.driving.land(&name);
        }
    }

    async fn until_settled(&mut self) {
        let limits = self.cluster.config.limits.clone();
        let ends = time::deadline_in(limits.drive_age_max_ms);
        let mut gives_up = Some(time::deadline_in(limits.vote_deadline_ms));
        self.handle(Event::Start);
        while !self.coordinator.is_settled() && Instant::now() < ends {
            let wakes = gives_up.unwrap_or(ends);
            tokio::select! {
                biased;
                Some(told) = self.pending.next() => match told {
                    Told::Heard(heard) => self.hear(heard),
                    Told::Refused(reply) => {
                        self.refused = Some(reply);
                        self.handle(Event::GiveUp);
                    }
                    Told::Nothing => {}
                },
                () = tokio::time::sleep_until(wakes), if gives_up.is_some() => {
                    gives_up = None;
                    self.handle(Event::GiveUp);
                }
                () = pause(limits.drive_retry_ms), if self.pending.is_empty() => {
                    self.handle(Event::Retry);
                }
            }
        }
    }

    fn hear(&mut self, Heard { event, endorsement, voted }: Heard) {
        self.endorsements.extend(endorsement.map(|endorsement| *endorsement));
        if let (Some(times), Some(voted), Event::Reply { reply, .. }) =
            (&mut self.times, voted, &event)
        {
            times.voted(voted, reply);
        }
        self.handle(event);
    }

    fn handle(&mut self, event: Event) {
        self.coordinator.handle(event);
        while let Some(effect) = self.coordinator.poll() {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let (tid, body) = (self.coordinator.tid(), self.coordinator.body());
        match effect {
            Effect::Vote { group, round } => {
                let Some(sealed) = &self.sealed else { return };
                let Some(part) = sealed.parts.get(&group).cloned() else { return };
                fail_point!("server::vote");
                let vote = Vote { body: sealed.body.clone(), part, hint: time::now() };
                self.ask(group, round, Command::Vote(Box::new(vote)));
            }
            Effect::Force { group, round } => {
                let participants = self.coordinator.participants();
                self.ask(group, round, Command::Force { tid, body, participants });
            }
            Effect::Decide { group, decision } => self.decide(group, decision),
            Effect::Answer(answer) => self.answer(answer),
            Effect::Settled => {
                self.cluster.settled.post(tid, &self.coordinator.participants());
            }
        }
    }

    fn ask(&mut self, group: GroupId, round: u32, command: Command) {
        let cluster = self.cluster.clone();
        let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
        let is_vote = matches!(command, Command::Vote(_));
        let origin = self.sealed.as_ref().map(|sealed| sealed.origin).unwrap_or_default();
        let asked = Instant::now();
        self.pending.push(Box::pin(async move {
            match cluster.propose_signed(group, command, origin, deadline).await {
                Ok(Proposed { applied: Applied { reply, proof }, endorsement, times }) => {
                    let voted = is_vote.then(|| Voted { group, took: asked.elapsed(), times });
                    let event = Event::Reply { group, round, reply, proof };
                    Told::Heard(Heard { event, endorsement, voted })
                }
                Err(error) => {
                    tracing::debug!(%group, %error, "a participant did not answer");
                    cluster.refusals.note(group, &error);
                    let refused = refusing(&error).filter(|_| is_vote).map(Box::new);
                    refused.map_or(Told::Nothing, Told::Refused)
                }
            }
        }));
    }

    fn decide(&mut self, group: GroupId, decision: Decision) {
        let (tid, body) = (self.coordinator.tid(), self.coordinator.body());
        let at_home = group == tid.home;
        let proofs = if at_home { self.coordinator.proofs() } else { Vec::new() };
        if matches!(decision, Decision::Committed { .. }) {
            fail_point!("server::decide");
        }
        let command = Command::Decide { tid, body, decision, proofs };
        let cluster = self.cluster.clone();
        let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
        self.pending.push(Box::pin(async move {
            let applied = cluster.propose(group, command, deadline).await;
            let event = Event::Acked { group };
            let heard = Heard { event, endorsement: None, voted: None };
            applied.map_or(Told::Nothing, |_| Told::Heard(heard))
        }));
    }

    fn answer(&mut self, answer: Answer) {
        self.times.iter_mut().for_each(DriveTimes::answered);
        if matches!(answer, Answer::Decided(Decision::Committed { .. })) {
            fail_point!("server::voted");
        }
        if let (Some(Sealed { body, parts, .. }), Answer::Decided(decision)) =
            (&self.sealed, &answer)
        {
            let policies = || self.cluster.policies_in(body.tid.home);
            self.cluster.conflicts.ended(policies, (body, parts.values()), decision);
        }
        self.look_after_holder(&answer);
        let receipt = self.receipt(&answer);
        if let Some(answered) = self.answered.take() {
            // Nobody may be waiting any more: the outcome can be asked for.
            // Where a vote said No, that says more.
            let forced = matches!(
                answer,
                Answer::Decided(Decision::RolledBack(Cause { why: Why::Forced, .. }))
            );
            let refused = self.refused.take().filter(|_| forced);
            let _ = answered.send(Finished { answer, receipt, refused });
        }
    }

    /// A transaction that lost to an old undecided one has that one looked after: a read of the key
    /// waits for it and, if nobody decides it, recovers it.
    fn look_after_holder(&self, answer: &Answer) {
        let Answer::Decided(Decision::RolledBack(Cause { group, why })) = answer else { return };
        let (Why::Locked { key, by } | Why::RangeLocked { key, by }) = why else { return };
        let limits = &self.cluster.config.limits;
        if by.mint >= time::before_now(limits.recover_after_ms) {
            return;
        }
        let (cluster, group, key) = (self.cluster.clone(), *group, key.clone());
        let deadline = time::deadline_in(2 * limits.recover_after_ms + limits.propose_deadline_ms);
        tokio::spawn(async move {
            // A hint: the sweep finds it too.
            let _ = cluster.read(group, PeerRead::Get(key), deadline).await;
        });
    }

    fn receipt(&self, answer: &Answer) -> Option<Receipt> {
        let Answer::Decided(Decision::Committed { ts }) = *answer else { return None };
        let body = self.sealed.as_ref()?.body.clone();
        let proofs = self.coordinator.proofs();
        let complete = proofs.len() == body.participants.len();
        if !complete {
            return None;
        }
        let mut receipt = Receipt::new(body, ts, proofs);
        self.endorsements.iter().for_each(|endorsement| receipt.endorse(endorsement.clone()));
        Some(receipt)
    }
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
