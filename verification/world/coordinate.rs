//! Coordinators: the core's state machine, driven by messages, dying when the seed says so.
//!
//! Drivers start at the home group's leader or at a gateway (`driving`); recoverers start wherever
//! a blocked reader or a sweep finds an undecided vote. They are volatile: a crash forgets them,
//! and nothing may depend on it.

use super::World;
use crate::{
    conformance::{Beginning, Taped},
    event::{Event, Learned, Message, Proposed, Sealed, Token},
    faults::Fault,
    limits,
    probe::Probe,
    sabotage::Sabotage,
};
use std::{collections::BTreeMap, rc::Rc};
use vatic_core::{
    body::Fault as BodyFault,
    codec,
    command::{Applied, Command, Decision, Reply, Standing, Vote, Why},
    coordinator::{Answer, Coordinator, Effect, Event as Input},
    group::Undecided,
    hash::Hash,
    id::{GroupId, Tid},
    receipt::Receipt,
};

pub(super) struct Coordination {
    pub(super) node: usize,
    machine: Taped<Coordinator>,
    body: Option<Hash>,
    sealed: Option<Rc<Sealed>>,
    /// Who waits for the outcome.
    operation: Option<u64>,
    /// Which group wants to know that all is settled, in order to forget.
    settles_for: Option<usize>,
    retries: u32,
    /// At level 2: whose answer is waited for, and until when. As a node's driver does, nobody
    /// asks again meanwhile: a slow group that is asked ever more often answers ever later.
    unanswered: BTreeMap<GroupId, u64>,
}

impl World {
    /// A gateway hands a sealed transaction over; a repeated hand-over starts a second coordinator.
    pub(super) fn start_coordinator(
        &mut self,
        node: usize,
        operation: Option<u64>,
        sealed: Rc<Sealed>,
    ) {
        let (tid, body) = (sealed.body.tid, Some(sealed.digest));
        let participants = sealed.body.groups();
        let machine = self.machine(Beginning { tid, body, participants, recovers: false });
        let id = self.coordinate(Coordination {
            node,
            machine,
            body,
            sealed: Some(sealed),
            operation,
            settles_for: None,
            retries: 0,
            unanswered: BTreeMap::new(),
        });
        self.after(limits::GIVE_UP_US, Event::CoordinatorGivesUp { id });
    }

    /// Recovers an undecided vote of this group, unless this node is at it already.
    pub(super) fn recover(&mut self, group: usize, node: usize, tid: Tid) {
        if self.sabotaged(Sabotage::NoRecovery) {
            return;
        }
        let target = &self.groups[group];
        let replica = match &self.deployment {
            // The reference knows what whoever leads knows.
            Some(_) => 0,
            None => match target.replica_on(node) {
                Some(replica) => replica,
                None => return,
            },
        };
        let held = &target.replicas[replica];
        if let Some(undecided) = held.machine.undecided_of(&held.state, tid) {
            let Undecided { tid, body, participants, .. } = undecided;
            self.recover_with(node, tid, Some(body), &participants, None);
        }
    }

    pub(super) fn recover_with(
        &mut self,
        node: usize,
        tid: Tid,
        body: Option<Hash>,
        participants: &[GroupId],
        settles_for: Option<usize>,
    ) {
        let at_it = |other: &Coordination| {
            other.node == node
                && other.machine.tid() == tid
                && other.sealed.is_none()
                && other.settles_for == settles_for
        };
        if self.coordinations.values().any(at_it) {
            return;
        }
        let participants = participants.to_vec();
        let machine = self.machine(Beginning { tid, body, participants, recovers: true });
        let (sealed, operation, retries) = (None, None, 0);
        let unanswered = BTreeMap::new();
        self.coordinate(Coordination {
            node,
            machine,
            body,
            sealed,
            operation,
            settles_for,
            retries,
            unanswered,
        });
    }

    fn machine(&mut self, beginning: Beginning) -> Taped<Coordinator> {
        let plays = self.tape.as_mut().map(|tape| &mut tape.coordinators);
        Taped::begin(beginning, self.options.rules, plays)
    }

    fn coordinate(&mut self, mut coordination: Coordination) -> u64 {
        let id = self.fresh_id();
        coordination.machine.handle(Input::Start);
        self.coordinations.insert(id, coordination);
        self.after(limits::RETRY_US, Event::CoordinatorRetry { id });
        self.pump(id);
        id
    }

    pub(super) fn coordinator_retry(&mut self, id: u64) {
        let Some(coordination) = self.coordinations.get_mut(&id) else { return };
        coordination.retries += 1;
        if coordination.retries > limits::COORDINATOR_RETRIES_MAX {
            self.coordinations.remove(&id);
            return;
        }
        let now = self.now;
        if coordination.unanswered.values().all(|until| *until <= now) {
            coordination.machine.handle(Input::Retry);
        }
        self.after(limits::RETRY_US, Event::CoordinatorRetry { id });
        self.pump(id);
    }

    /// A question came to nothing where it arrived; whoever asked learns of it.
    pub(super) fn not_applied(&mut self, token: Token) {
        let (Token::Standing { coordinator, group, .. } | Token::Decision { coordinator, group }) =
            token
        else {
            return;
        };
        if let Some(coordination) = self.coordinations.get_mut(&coordinator) {
            coordination.unanswered.remove(&group);
        }
    }

    pub(super) fn coordinator_gives_up(&mut self, id: u64) {
        let Some(coordination) = self.coordinations.get_mut(&id) else { return };
        if coordination.machine.decision().is_none() {
            self.probes.hit(Probe::GaveUp);
        }
        coordination.machine.handle(Input::GiveUp);
        self.pump(id);
    }

    /// A participant answered a coordinator.
    pub(super) fn participant_answered(
        &mut self,
        id: u64,
        group: GroupId,
        round: u32,
        applied: &Applied,
    ) {
        let early = self.sabotaged(Sabotage::EarlyAnswer);
        let Some(coordination) = self.coordinations.get_mut(&id) else { return };
        coordination.unanswered.remove(&group);
        tracing::debug!(now = self.now, id, %group, round, ?applied, "a coordinator is answered");
        let Applied { reply, proof } = applied.clone();
        if let (true, Reply::Standing(Standing::Yes { ts, .. })) = (early, &reply) {
            let answer = Answer::Decided(Decision::Committed { ts: *ts });
            coordination.machine.handle(Input::Reply { group, round, reply, proof });
            self.tell(id, answer);
        } else {
            coordination.machine.handle(Input::Reply { group, round, reply, proof });
        }
        self.pump(id);
    }

    pub(super) fn participant_decided(&mut self, id: u64, group: GroupId, applied: &Applied) {
        let Some(coordination) = self.coordinations.get_mut(&id) else { return };
        coordination.unanswered.remove(&group);
        if applied.reply == Reply::Done {
            coordination.machine.handle(Input::Acked { group });
            self.pump(id);
        }
    }

    /// Carries out a coordinator's effects; it may die after any of them.
    fn pump(&mut self, id: u64) {
        loop {
            let Some(coordination) = self.coordinations.get_mut(&id) else { return };
            let Some(effect) = coordination.machine.poll() else { break };
            self.carry_out(id, effect);
            if !self.healed && self.rng.chance(self.swarm.coordinator_dies) {
                self.faults.hit(Fault::CoordinatorDied);
                self.coordinations.remove(&id);
                return;
            }
        }
        if self.coordinations.get(&id).is_some_and(|held| held.machine.is_settled()) {
            self.coordinations.remove(&id);
        }
    }

    fn carry_out(&mut self, id: u64, effect: Effect) {
        let Some(coordination) = self.coordinations.get(&id) else { return };
        let (node, tid, body) = (coordination.node, coordination.machine.tid(), coordination.body);
        tracing::debug!(now = self.now, id, node, %tid, ?effect, "a coordinator");
        self.trace.note_all(&(id, node, tid, &effect));
        match effect {
            Effect::Vote { group, round } => {
                let Some(sealed) = coordination.sealed.clone() else { return };
                let part = sealed.parts.iter().find(|part| part.group == group);
                let part = part.expect("a sealed transaction has each participant's part").clone();
                let hint = self.clock(node);
                let vote = Vote { body: sealed.body.clone(), part, hint };
                let reply = Token::Standing { coordinator: id, group, round };
                self.ask_for(id, group, Command::Vote(Box::new(vote)), reply);
            }
            Effect::Force { group, round } => {
                let participants = coordination.machine.participants();
                let reply = Token::Standing { coordinator: id, group, round };
                self.ask_for(id, group, Command::Force { tid, body, participants }, reply);
            }
            Effect::Decide { group, decision } => {
                let proofs = coordination.machine.proofs();
                let reply = Token::Decision { coordinator: id, group };
                self.ask_for(id, group, Command::Decide { tid, body, decision, proofs }, reply);
            }
            Effect::Answer(answer) => {
                self.observe_answer(id, &answer);
                self.tell(id, answer);
            }
            Effect::Settled => {
                if let Some(group) = coordination.settles_for {
                    self.groups[group].settled.insert(tid);
                }
            }
        }
    }

    /// Asks for a coordinator, which waits for an answer.
    fn ask_for(&mut self, id: u64, group: GroupId, command: Command, reply: Token) {
        let patience = self.deployment.as_ref().map(|_| limits::ANSWER_DEPLOYED_US);
        let until = patience.map(|patience| self.now + patience);
        let Some(coordination) = self.coordinations.get_mut(&id) else { return };
        coordination.unanswered.extend(until.map(|until| (group, until)));
        let node = coordination.node;
        self.ask(node, group, command, reply);
    }

    /// Sends a command to the group's leader, or sometimes to a node that only used to lead it.
    pub(super) fn ask(&mut self, node: usize, group: GroupId, command: Command, reply: Token) {
        let bytes = codec::encode(&command);
        let proposed = Rc::new(Proposed { command, bytes });
        let group = self.group_at(group);
        let to = self.believed_leader(group);
        self.send(node, to, Message::Propose { group, proposed, reply });
    }

    pub(super) fn believed_leader(&mut self, group: usize) -> usize {
        if !self.healed && self.rng.chance(30) {
            return self.any_member(group);
        }
        self.look_for_leader(group);
        if let (false, Some(deposed)) = (self.healed, self.deposed_leader(group)) {
            return deposed;
        }
        self.groups[group].leader_node()
    }

    fn tell(&mut self, id: u64, answer: Answer) {
        let coordination = &self.coordinations[&id];
        let Some(operation) = coordination.operation else { return };
        let (node, tid) = (coordination.node, coordination.machine.tid());
        let receipt = receipt(coordination, &answer).map(Rc::new);
        let Some(gateway) = self.operations.get(&operation).map(|operation| operation.node) else {
            return;
        };
        self.send(node, gateway, Message::Outcome { operation, tid, answer, receipt });
    }

    fn observe_answer(&mut self, id: u64, answer: &Answer) {
        let coordination = &self.coordinations[&id];
        let recovers = coordination.sealed.is_none() && coordination.settles_for.is_none();
        let learned = match answer {
            Answer::Decided(decision) => Some(Learned::of(decision)),
            Answer::Fault(_) => Some(Learned::Faulted),
            Answer::Forgotten => None,
        };
        self.history.conclusions.extend(coordination.body.zip(learned));
        match answer {
            Answer::Decided(Decision::Committed { .. }) if recovers => {
                self.hit(Probe::RecoveredCommit);
            }
            Answer::Decided(Decision::RolledBack(cause)) => {
                if recovers {
                    self.hit(Probe::RecoveredRollback);
                }
                if cause.why == Why::Abandoned {
                    self.hit(Probe::Abandoned);
                }
            }
            Answer::Fault(_) => self.hit(Probe::FaultAnswer),
            Answer::Forgotten => self.hit(Probe::Forgotten),
            Answer::Decided(_) => {}
        }
    }

    /// Counts the rare paths that a command's reply shows.
    pub(super) fn observe_probes(&mut self, command: &Command, applied: &Applied) {
        let probe = match (&applied.reply, command) {
            (Reply::Refused(_), Command::Forget { .. }) => Probe::ForgetRefused,
            (Reply::Refused(_), Command::Stage { .. }) => Probe::StageFull,
            (Reply::Done, Command::Forget { .. }) => Probe::ForgetApplied,
            (Reply::Done, Command::Collect { .. }) => Probe::Collected,
            (Reply::Refused(_), Command::Attest { .. }) => Probe::CheckpointRefused,
            (Reply::Done, Command::Attest { .. }) => Probe::CheckpointKept,
            (Reply::Done, Command::History(_)) => Probe::HistoryKept,
            (Reply::Refused(_), Command::History(_)) => Probe::HistoryRefused,
            (Reply::Fault(BodyFault::BodyMismatch { .. }), _) => Probe::BodyMismatch,
            (Reply::Fault(BodyFault::Chain(_)), _) => Probe::FaultChain,
            (Reply::Fault(BodyFault::Limit { .. }), _) => Probe::FaultLimit,
            (Reply::Fault(BodyFault::Judgement { .. }), _) => Probe::FaultJudgement,
            (Reply::Standing(Standing::Stale(kept)), _) => {
                if matches!(command, Command::Vote(_)) {
                    self.hit(Probe::LateVote);
                }
                if kept.is_some() { Probe::StaleWithOutcome } else { Probe::StaleAnswer }
            }
            (Reply::Standing(Standing::No(cause)), _) => match cause.why {
                Why::ReadChanged { .. } => Probe::NoReadChanged,
                Why::RangeChanged { .. } => Probe::NoRangeChanged,
                Why::Locked { .. } => Probe::NoLocked,
                Why::RangeLocked { .. } => Probe::NoRangeLocked,
                Why::Rejected { .. } => Probe::NoRejected,
                Why::Quota { .. } => Probe::NoQuota,
                Why::RequestHeld { .. } => Probe::RequestHeld,
                Why::RequestMismatch { .. } => Probe::RequestMismatch,
                Why::RequestExpired { .. } => Probe::RequestExpired,
                Why::Forced => Probe::NoForced,
                Why::Unforeseen { .. } | Why::Quarantined { .. } | Why::Unjudged { .. } => {
                    Probe::NoUnforeseen
                }
                // No simulated gateway reads a snapshot to write: the models do.
                Why::WrittenSince { .. } | Why::SnapshotTooOld { .. } => return,
                Why::OtherBody | Why::Abandoned => return,
            },
            _ => return,
        };
        self.hit(probe);
    }
}

/// The receipt, where this coordinator saw every vote of a commit.
fn receipt(coordination: &Coordination, answer: &Answer) -> Option<Receipt> {
    let Answer::Decided(Decision::Committed { ts }) = *answer else { return None };
    let body = coordination.sealed.as_ref()?.body.clone();
    let proofs = coordination.machine.proofs();
    let complete = proofs.iter().map(|proof| proof.group).eq(body.groups());
    complete.then_some(Receipt::new(body, ts, proofs))
}
