//! Transactions at their gateway: claim, read, push transitions, seal, stage, submit.
//!
//! The draft is volatile. Until the sealed transaction is handed to a coordinator nothing has
//! happened and a crash costs nothing; from then on its effect is in doubt until somebody is told.

use super::{
    World, moving,
    operation::{Flow, Operation, Task},
    workload::{Plan, Step},
};
use crate::{
    event::{Found, Learned, Message, Query, Sealed, Token},
    faults::Fault,
    history::{Attempt, Observed},
    limits,
    probe::Probe,
    sabotage::Sabotage,
};
use std::{collections::BTreeMap, rc::Rc};
use vatic_core::{
    body::Part,
    chain::Transition,
    command::{Applied, Command, Decision, Reply, Why},
    coordinator::Answer,
    draft::Draft,
    hash::Hash,
    id::{GroupId, Tid},
    limits::Limits,
    read::{Blocked, Record},
    receipt::Receipt,
    strategy::Basis,
};

pub(super) struct Transaction {
    pub(super) plan: Plan,
    pub(super) phase: Phase,
    draft: Option<Draft>,
    /// How many of the plan's steps are done.
    at: usize,
    seen: Observed,
    /// What it read and need not hold.
    moved: Vec<Record>,
    deltas: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    begun_us: u64,
    submitted_us: u64,
    pub(super) sealed: Option<Rc<Sealed>>,
    /// Stages that were not acknowledged yet.
    stages: BTreeMap<GroupId, Vec<Transition>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Asks whether the request was done already.
    Claiming,
    /// Reads and pushes transitions.
    Building,
    /// Waits until stages are in the participants' logs.
    Staging,
    /// A coordinator is at it.
    Submitted,
    /// Nobody answered: ask the home group.
    Doubting,
}

impl Transaction {
    pub(super) fn new(plan: Plan, now: u64) -> Transaction {
        let asks = plan.request.is_some() && plan.claims && !plan.blind;
        Transaction {
            plan,
            phase: if asks { Phase::Claiming } else { Phase::Building },
            draft: None,
            at: 0,
            seen: Observed::default(),
            moved: Vec::new(),
            deltas: Vec::new(),
            kept: Vec::new(),
            begun_us: now,
            submitted_us: 0,
            sealed: None,
            stages: BTreeMap::new(),
        }
    }

    pub(super) fn is_submitted(&self) -> bool {
        matches!(self.phase, Phase::Submitted | Phase::Doubting)
    }
}

fn transaction(operation: &mut Operation) -> &mut Transaction {
    let Task::Transaction(transaction) = &mut operation.task else { unreachable!("a transaction") };
    transaction
}

impl World {
    pub(super) fn pursue_transaction(&mut self, operation: &mut Operation) -> Flow {
        match transaction(operation).phase {
            Phase::Claiming => self.ask_for_request(operation),
            Phase::Building => self.build(operation),
            Phase::Staging => self.send_stages(operation),
            Phase::Submitted => self.submit(operation),
            Phase::Doubting => self.ask_for_outcome(operation),
        }
    }

    fn ask_for_request(&mut self, operation: &mut Operation) -> Flow {
        let request = transaction(operation).plan.request.expect("a claim has a request");
        let id = self.history.requests[request].id.clone();
        let group = self.ring.group_of(&id.route).expect("the ring has groups");
        self.query_leader(operation, group, operation.step, Query::Request(id));
        Flow::Waits
    }

    /// Goes on with the plan until a read has to be awaited or the stream ends.
    fn build(&mut self, operation: &mut Operation) -> Flow {
        if transaction(operation).draft.is_none() {
            self.begin(operation);
        }
        loop {
            let held = transaction(operation);
            let Some(step) = held.plan.steps.get(held.at).cloned() else {
                return self.seal(operation);
            };
            match step {
                Step::Read(key) => {
                    let group = self.owner(&key);
                    self.query_leader(operation, group, operation.step, Query::Peek(key));
                    return Flow::Waits;
                }
                Step::Scan(range, limit) => {
                    let group = self.ring.group_of(&range.partition).expect("the ring has groups");
                    let query = Query::PeekRange(range, limit);
                    self.query_leader(operation, group, operation.step, query);
                    return Flow::Waits;
                }
                Step::Write(delta) => {
                    if !self.push(operation, delta) {
                        return Flow::Over;
                    }
                }
            }
        }
    }

    fn begin(&mut self, operation: &mut Operation) {
        let (mint, nonce) = (self.clock(operation.node), self.rng.next());
        let seed = Hash([self.rng.next() as u8; 32]);
        let known = self.swarm.limits.clone();
        let plan = &transaction(operation).plan;
        let limits = if plan.lax { Limits::production() } else { known };
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, nonce, seed);
        if let Some(request) = plan.request.filter(|_| plan.claims) {
            let request = &mut self.history.requests[request];
            request.attempts += 1;
            draft.claim(request.id.clone(), request.content).expect("routes are plain");
        }
        transaction(operation).draft = Some(draft);
    }

    fn push(&mut self, operation: &mut Operation, delta: Vec<u8>) -> bool {
        let held = transaction(operation);
        let forged = held.plan.forged.clone().filter(|(at, _)| *at == held.at);
        let sent = forged.map_or_else(|| delta.clone(), |(_, forged)| forged);
        let draft = held.draft.as_mut().expect("a stream has begun");
        if draft.push(sent.clone(), None, None).is_err() {
            self.probes.hit(Probe::DraftRefused);
            return false;
        }
        held.deltas.push(sent);
        held.kept.push(delta);
        held.at += 1;
        true
    }

    /// A query of a transaction was answered.
    pub(super) fn transaction_found(
        &mut self,
        operation: &mut Operation,
        tag: u32,
        found: &Found,
    ) -> Flow {
        if tag != operation.step {
            return Flow::Waits;
        }
        let held = transaction(operation);
        let noted = match (held.phase, found, &mut held.draft) {
            (Phase::Building, Found::Peeked(record), Some(draft)) => {
                held.seen.records.push(record.clone());
                draft.note_read(record).map(drop)
            }
            (Phase::Building, Found::PeekedRange(found), Some(draft)) => {
                held.seen.note_range(found);
                draft.note_scan(found).map(drop)
            }
            (Phase::Claiming, Found::Request(found), _) => {
                return self.request_found(operation, found);
            }
            (Phase::Doubting, Found::Outcome(outcome), _) => {
                return self.outcome_found(operation, outcome);
            }
            _ => return Flow::Waits,
        };
        if noted.is_err() {
            self.hit(Probe::DraftRefused);
            return Flow::Over;
        }
        transaction(operation).at += 1;
        Flow::Moved
    }

    fn request_found(
        &mut self,
        operation: &mut Operation,
        found: &Result<Option<vatic_core::request::Held>, Blocked>,
    ) -> Flow {
        let at = transaction(operation).plan.request.expect("a claim has a request");
        let request = &mut self.history.requests[at];
        match found {
            Err(Blocked { by }) => {
                let group = self.ring.group_of(&request.id.route).expect("the ring has groups");
                self.hit(Probe::RequestBlocked);
                self.blocked(operation, group, *by)
            }
            Ok(Some(held)) => {
                if held.content == request.content {
                    request.answered_by = Some(held.tid);
                    self.hit(Probe::RequestAnswered);
                }
                Flow::Over
            }
            Ok(None) => {
                transaction(operation).phase = Phase::Building;
                Flow::Moved
            }
        }
    }

    /// Ends the stream, perhaps alters it, and hands it on.
    fn seal(&mut self, operation: &mut Operation) -> Flow {
        let held = transaction(operation);
        let mut draft = held.draft.take().expect("a stream has begun");
        held.moved = World::may_move(&mut draft, &held.deltas, &mut held.seen);
        let twin = held.plan.twin.clone().map(|extra| (draft.clone(), extra));
        World::judge(&mut draft);
        let Ok((mut body, parts)) = draft.finish() else {
            self.hit(Probe::DraftRefused);
            return Flow::Over;
        };
        let passed_off = World::pass_off(&mut body).then_some(body.tid.home);
        let digest = body.digest();
        let mut sealed = Sealed { body, digest, parts };
        let tampered = if held.plan.tamper { self.tamper(&mut sealed) } else { None };
        self.record_attempt(operation, &sealed, tampered.or(passed_off));
        if let Some((draft, extra)) = twin {
            self.start_twin(operation, draft, extra);
        }
        self.hand_on(operation, sealed);
        Flow::Moved
    }

    /// Next comes the coordinator; or, if the plan says so, stages before it.
    fn hand_on(&mut self, operation: &mut Operation, mut sealed: Sealed) {
        let held = transaction(operation);
        held.phase = Phase::Submitted;
        if !held.plan.staged {
            held.sealed = Some(Rc::new(sealed));
            return;
        }
        held.stages = stages(&sealed.parts);
        sealed.parts.iter_mut().for_each(|part| part.transitions.clear());
        held.sealed = Some(Rc::new(sealed));
        let impatient = held.plan.impatient;
        if !held.stages.is_empty() {
            self.probes.hit(Probe::StagedVote);
        }
        if impatient {
            self.faults.hit(Fault::Impatience);
            self.send_stages(operation);
        } else if !held.stages.is_empty() {
            held.phase = Phase::Staging;
        }
    }

    fn record_attempt(
        &mut self,
        operation: &mut Operation,
        sealed: &Sealed,
        tampered: Option<GroupId>,
    ) {
        let rechained = self.sabotaged(Sabotage::RechainedTampering);
        let held = transaction(operation);
        let forged = held.plan.forged.is_some();
        if forged {
            self.faults.hit(Fault::Forgery);
        }
        let attempt = Attempt {
            body: sealed.body.clone(),
            digest: sealed.digest,
            deltas: held.deltas.clone(),
            kept: forged.then(|| held.kept.clone()),
            seen: held.seen.clone(),
            moved: held.moved.clone(),
            invoked_us: held.begun_us,
            request: held.plan.request,
            tampered: tampered.or((forged && rechained).then_some(sealed.body.tid.home)),
            learned: None,
            receipts: Vec::new(),
        };
        self.history.attempts.insert(sealed.digest, attempt);
    }

    /// The same transaction id for another body: a gateway that lost its memory, say.
    fn start_twin(&mut self, operation: &mut Operation, mut draft: Draft, extra: Vec<u8>) {
        if draft.push(extra.clone(), None, None).is_err() {
            return;
        }
        let Ok((body, parts)) = draft.finish() else { return };
        self.faults.hit(Fault::Twin);
        let sealed = Sealed { digest: body.digest(), body, parts };
        self.record_attempt(operation, &sealed, None);
        let attempt = self.history.attempts.get_mut(&sealed.digest).expect("just recorded");
        attempt.deltas.push(extra);
        if sealed.body.basis == Basis::Rebase {
            // What this one alone writes is moved over as well.
            attempt.moved.extend(moving::taken_over(&attempt.deltas, &mut attempt.seen));
        }
        let home = self.group_at(sealed.body.tid.home);
        let to = self.believed_leader(home);
        let message = Message::Start { operation: None, sealed: Rc::new(sealed) };
        self.send(operation.node, to, message);
    }

    fn send_stages(&mut self, operation: &mut Operation) -> Flow {
        let (node, id, step) = (operation.node, operation.id, operation.step);
        let held = transaction(operation);
        let tid = held.sealed.as_ref().expect("sealed before staging").body.tid;
        for (group, transitions) in held.stages.clone() {
            let reply = Token::Operation { operation: id, group, tag: step };
            self.ask(node, group, Command::Stage { tid, transitions }, reply);
        }
        Flow::Waits
    }

    /// A stage was applied, or refused: then its transitions travel with the vote.
    pub(super) fn transaction_staged(
        &mut self,
        operation: &mut Operation,
        group: GroupId,
        applied: &Applied,
    ) -> Flow {
        let held = transaction(operation);
        if held.phase != Phase::Staging {
            return Flow::Waits;
        }
        if let Some(transitions) = held.stages.remove(&group)
            && applied.reply != Reply::Done
        {
            let mut sealed = held.sealed.as_deref().expect("sealed before staging").clone();
            let part = sealed.parts.iter_mut().find(|part| part.group == group);
            part.expect("staged for a participant").transitions = transitions;
            held.sealed = Some(Rc::new(sealed));
        }
        if !held.stages.is_empty() {
            return Flow::Waits;
        }
        held.phase = Phase::Submitted;
        Flow::Moved
    }

    /// Hands the transaction to the home group's leader; again, if nothing comes back.
    fn submit(&mut self, operation: &mut Operation) -> Flow {
        let now = self.now;
        let held = transaction(operation);
        let first = held.submitted_us == 0;
        if first {
            held.submitted_us = now;
        } else if now - held.submitted_us > limits::DOUBT_US {
            return self.fall_in_doubt(operation);
        }
        let sealed = held.sealed.clone().expect("sealed before it is submitted");
        if first || self.rng.chance(250) {
            let to = self.driver_of(operation.node, &sealed);
            let message = Message::Start { operation: Some(operation.id), sealed };
            self.send(operation.node, to, message);
        }
        Flow::Waits
    }

    /// The coordinator's answer, unless the client does not hear it.
    pub(super) fn transaction_outcome(
        &mut self,
        operation: &mut Operation,
        tid: Tid,
        answer: &Answer,
        receipt: Option<&Receipt>,
    ) -> Flow {
        let Task::Transaction(held) = &mut operation.task else { return Flow::Waits };
        let mine = held.sealed.as_ref().is_some_and(|sealed| sealed.body.tid == tid);
        if !mine || !held.is_submitted() {
            return Flow::Waits;
        }
        let deaf = self.swarm.client.deaf;
        if !self.healed && self.rng.chance(deaf) {
            self.faults.hit(Fault::ReplyUnheard);
            return self.fall_in_doubt(operation);
        }
        match answer {
            Answer::Decided(decision @ Decision::Committed { .. }) => {
                self.learn(operation, Learned::of(decision));
                match receipt {
                    Some(receipt) => {
                        self.hit(Probe::ReceiptAtOnce);
                        self.keep_receipt(operation, receipt.clone());
                        Flow::Over
                    }
                    None => {
                        transaction(operation).phase = Phase::Doubting;
                        Flow::Moved
                    }
                }
            }
            Answer::Decided(decision @ Decision::RolledBack(cause)) => {
                self.learn(operation, Learned::of(decision));
                let hopeless = matches!(
                    cause.why,
                    Why::RequestMismatch { .. }
                        | Why::RequestExpired { .. }
                        | Why::Rejected { .. }
                        | Why::Quota { .. }
                );
                if hopeless { Flow::Over } else { self.try_request_again(operation) }
            }
            Answer::Fault(_) => {
                self.learn(operation, Learned::Faulted);
                Flow::Over
            }
            Answer::Forgotten => Flow::Over,
        }
    }

    /// Another attempt of the same request through another gateway, if there is a request.
    pub(super) fn try_request_again(&mut self, operation: &mut Operation) -> Flow {
        let plan = transaction(operation).plan.clone();
        let Some(request) = plan.request else { return Flow::Over };
        let enough = self.history.requests[request].attempts >= limits::ATTEMPTS_MAX;
        let (false, Some(node)) = (enough || self.healed, self.gateway()) else {
            return Flow::Over;
        };
        let careless = self.sabotaged(Sabotage::RetryWithoutId);
        let blind = self.rng.chance(self.swarm.client.blind);
        let next = Transaction::new(Plan { claims: !careless, blind, ..plan }, self.now);
        operation.node = node;
        operation.invoked_us = self.now;
        operation.blocked_since = None;
        operation.task = Task::Transaction(Box::new(next));
        Flow::Moved
    }
}

/// What each participant is sent ahead of its vote: all of it, in two pieces at most.
fn stages(parts: &[Part]) -> BTreeMap<GroupId, Vec<Transition>> {
    let staged = parts.iter().filter(|part| !part.transitions.is_empty());
    staged.map(|part| (part.group, part.transitions.clone())).collect()
}
