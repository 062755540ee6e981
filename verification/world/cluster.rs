//! Groups as replicated logs, and the replicas that apply them.
//!
//! Consensus is taken for granted and reduced to what it promises: one sequence of committed
//! entries a group, a prefix of which each replica has applied. What it does not promise is played
//! out: a deposed leader's batch is kept in part or lost, nobody hears of it, replicas lag, and a
//! restarted one applies again from what it had saved.

use super::{World, healing::Core};
use crate::{
    event::{Event, Message, Proposed, Query, Token},
    faults::Fault,
    limits,
    oracle::agreement,
    probe::Probe,
    sabotage::Sabotage,
    sim_state::SimState,
    violation::Check,
};
use std::{collections::BTreeSet, rc::Rc};
use vatic_core::{
    command::{Applied, ChainHead, Command},
    group::Group,
    id::{GroupId, Tid},
    invariant,
    rules::Rules,
};

pub(crate) struct SimGroup {
    pub(crate) id: GroupId,
    /// The nodes that hold a replica.
    pub(super) members: Vec<usize>,
    /// At level 2 one alone, the reference, which stands for all.
    pub(crate) replicas: Vec<Replica>,
    pub(super) leader: usize,
    pub(super) term: u64,
    pub(crate) log: Vec<Rc<Entry>>,
    /// What the leader has taken and not yet committed.
    pub(super) pending: Vec<Proposal>,
    pub(super) committing: bool,
    /// What each entry came to, at whichever replica got there first.
    pub(crate) results: Vec<EntryResult>,
    /// Transactions that a coordinator reported settled to this leader.
    pub(super) settled: BTreeSet<Tid>,
    /// The last batch of the history that was proposed here, which may be proposed again.
    pub(super) noted: Option<Rc<Proposed>>,
}

/// A command in a leader's hands, and at which node who waits for its reply.
pub(super) struct Proposal {
    pub(super) proposed: Rc<Proposed>,
    pub(super) reply: Option<(usize, Token)>,
}

pub(crate) struct Replica {
    pub(super) node: usize,
    pub(crate) machine: Group,
    pub(crate) state: SimState,
    pub(crate) applied: u64,
    pub(super) saved: (SimState, u64),
    /// Rises with each crash: what was scheduled for an earlier life is void.
    pub(super) life: u32,
    pub(super) applying: bool,
    /// Proposals up to this entry were answered; applying them again answers nobody.
    answered: u64,
    pub(super) waiting: Vec<Waiting>,
}

/// A query that waits until the replica has applied what was committed when it came.
pub(super) struct Waiting {
    pub(super) index: u64,
    pub(super) query: Rc<Query>,
    pub(super) reply: (usize, Token),
}

pub(crate) struct Entry {
    pub(super) commands: Vec<Rc<Proposed>>,
    /// Who to tell, by command, and at which replica the proposal is held.
    replies: Vec<Option<(usize, Token)>>,
    proposer: usize,
}

#[derive(PartialEq, Eq)]
pub(crate) struct EntryResult {
    pub(crate) chain: ChainHead,
    pub(crate) state: u64,
    pub(crate) applied: Vec<Applied>,
}

impl SimGroup {
    /// Who leads, where the reference stands for all replicas.
    pub(super) fn set_leader_node(&mut self, node: usize) {
        self.replicas[0].node = node;
    }

    /// Indexes that hold nothing of ours: a leader's first entry, a membership.
    pub(super) fn skip_to(&mut self, index: u64) {
        while (self.log.len() as u64) + 1 < index {
            let held = &mut self.replicas[0];
            held.applied += 1;
            let (chain, state) = (held.machine.chain(), held.state.digest());
            self.log.push(Entry::unclaimed(Vec::new()));
            self.results.push(EntryResult { chain, state, applied: Vec::new() });
        }
    }

    /// Applies the next entry to the reference; the error says why it halted.
    pub(super) fn apply_reference(&mut self, index: u64, entry: Rc<Entry>) -> Result<(), String> {
        let held = &mut self.replicas[0];
        let commands = entry.commands.iter().map(|command| command.bytes.as_slice());
        let applied = held.machine.apply_entry(&mut held.state, index, commands);
        let applied = applied.map_err(|halt| halt.to_string())?;
        held.applied = index;
        let (chain, state) = (held.machine.chain(), held.state.digest());
        self.log.push(entry);
        self.results.push(EntryResult { chain, state, applied });
        Ok(())
    }

    pub(super) fn leader_node(&self) -> usize {
        self.replicas[self.leader].node
    }

    pub(super) fn replica_on(&self, node: usize) -> Option<usize> {
        self.replicas.iter().position(|replica| replica.node == node)
    }

    /// What is not yet at rest here: proposals, replicas behind, undecided votes, stages.
    pub(super) fn unrest(&self, core: &Core) -> Option<String> {
        let last = self.log.len() as u64;
        let asked = self.replicas.iter().filter(|replica| !core.leaves_out(replica.node));
        let applied: Vec<u64> = asked.map(|replica| replica.applied).collect();
        let held = &self.replicas[self.leader];
        let undecided = held.machine.undecided(&held.state);
        let staged = held.machine.staged(&held.state);
        let rests = !core.leaves_out(held.node)
            && self.pending.is_empty()
            && applied.iter().all(|&applied| applied == last)
            && undecided.is_empty()
            && staged.is_empty();
        (!rests).then(|| {
            let (id, pending) = (self.id, self.pending.len());
            format!(
                "group {id}: {pending} pending, {applied:?} of {last} applied, undecided \
                 {undecided:?}, staged {staged:?}"
            )
        })
    }
}

impl Replica {
    pub(super) fn new(node: usize, id: GroupId, rules: Rules) -> Replica {
        let state = SimState::default();
        Replica {
            node,
            machine: Group::open(id, &state, rules),
            state,
            applied: 0,
            saved: (SimState::default(), 0),
            life: 0,
            applying: false,
            answered: 0,
            waiting: Vec::new(),
        }
    }
}

impl Entry {
    pub(super) fn new(proposals: Vec<Proposal>, proposer: usize) -> Rc<Entry> {
        let split = proposals.into_iter().map(|Proposal { proposed, reply }| (proposed, reply));
        let (commands, replies) = split.unzip();
        Rc::new(Entry { commands, replies, proposer })
    }

    /// An entry whose proposers hear of it elsewhere.
    pub(super) fn unclaimed(commands: Vec<Rc<Proposed>>) -> Rc<Entry> {
        Rc::new(Entry { commands, replies: Vec::new(), proposer: 0 })
    }

    pub(crate) fn commands(&self) -> impl Iterator<Item = &Proposed> {
        self.commands.iter().map(AsRef::as_ref)
    }

    pub(super) fn holds(&self, command: &[u8]) -> bool {
        self.commands.iter().any(|held| held.bytes == command)
    }

    pub(super) fn is_of<'a>(&self, commands: impl Iterator<Item = &'a [u8]>) -> bool {
        self.commands.iter().map(|held| held.bytes.as_slice()).eq(commands)
    }
}

impl World {
    /// Takes a proposal in, if this node leads the group.
    pub(super) fn propose(
        &mut self,
        group: usize,
        node: usize,
        proposed: Rc<Proposed>,
        reply: Option<(usize, Token)>,
    ) {
        let target = &mut self.groups[group];
        if let Some(deployment) = &self.deployment {
            return deployment.propose(target.id, node, proposed.bytes.clone(), reply);
        }
        if target.leader_node() != node {
            return;
        }
        target.pending.push(Proposal { proposed, reply });
        if !target.committing {
            target.committing = true;
            let term = target.term;
            let delay = 1 + self.rng.below(self.swarm.log.batch_us);
            self.after(delay, Event::Commit { group, term });
        }
    }

    /// Commits the leader's batch, or a part of it, if a majority can be reached.
    pub(super) fn commit(&mut self, group: usize, term: u64) {
        if self.groups[group].term != term {
            return;
        }
        if !self.has_quorum(group) {
            return self.after(limits::RETRY_US, Event::Commit { group, term });
        }
        let pending = self.groups[group].pending.len();
        let taken = self.rng.between(1, pending as u64) as usize;
        let target = &mut self.groups[group];
        let batch: Vec<_> = target.pending.drain(..taken).collect();
        target.log.push(Entry::new(batch, target.leader));
        target.committing = !target.pending.is_empty();
        if target.committing {
            let delay = 1 + self.rng.below(self.swarm.log.batch_us);
            self.after(delay, Event::Commit { group, term });
        }
        self.wake_replicas(group);
    }

    pub(super) fn wake_replicas(&mut self, group: usize) {
        for replica in 0..self.groups[group].replicas.len() {
            self.wake_replica(group, replica);
        }
    }

    fn wake_replica(&mut self, group: usize, replica: usize) {
        let target = &self.groups[group];
        let leads = target.leader == replica;
        let last = target.log.len() as u64;
        let Replica { node, applied, applying, life, .. } = target.replicas[replica];
        // A short partition holds no entries up here; who is left out for long gets none.
        if applying || applied == last || !self.nodes[node].up || self.core.leaves_out(node) {
            return;
        }
        let lag_us = if leads { self.swarm.log.lag_us / 8 } else { self.swarm.log.lag_us };
        let delay = self.swarm.network.delay_us + self.rng.below(lag_us + 1);
        self.groups[group].replicas[replica].applying = true;
        self.after(delay, Event::Apply { group, replica, life });
    }

    /// A replica applies a random number of the entries that it lacks.
    pub(super) fn apply_some(&mut self, group: usize, replica: usize, life: u32) {
        let target = &mut self.groups[group];
        let behind = target.log.len() as u64 - target.replicas[replica].applied;
        let held = &mut target.replicas[replica];
        if held.life != life {
            return;
        }
        held.applying = false;
        for _ in 0..self.rng.between(1, behind.max(1)).min(behind) {
            if !self.apply_next(group, replica) {
                return;
            }
        }
        self.serve_waiting(group, replica);
        self.wake_replica(group, replica);
    }

    /// Applies one entry; false where the group has halted.
    pub(super) fn apply_next(&mut self, group: usize, replica: usize) -> bool {
        let skips = self.sabotaged(Sabotage::SkippedCommand) && replica == 1;
        let target = &mut self.groups[group];
        let held = &mut target.replicas[replica];
        let index = held.applied + 1;
        let entry = target.log[held.applied as usize].clone();
        let skipped = usize::from(skips && index.is_multiple_of(13));
        let commands = entry.commands.iter().skip(skipped).map(|command| command.bytes.as_slice());
        let applied = match held.machine.apply_entry(&mut held.state, index, commands) {
            Ok(applied) => applied,
            Err(halt) => {
                self.halted = true;
                self.violate(Check::NoHalt, halt.to_string());
                return false;
            }
        };
        held.applied = index;
        let chain = held.machine.chain();
        let result = EntryResult { chain, state: held.state.digest(), applied };
        let digest = u64::from_be_bytes(chain.digest.0[..8].try_into().expect("32 bytes"));
        self.trace.note(&[group as u64, replica as u64, index, digest, result.state]);
        self.conclude_entry(group, replica, &entry, result);
        true
    }

    fn conclude_entry(
        &mut self,
        group: usize,
        replica: usize,
        entry: &Rc<Entry>,
        new: EntryResult,
    ) {
        let index = new.chain.index;
        let held = &mut self.groups[group].replicas[replica];
        if entry.proposer == replica && index > held.answered {
            held.answered = index;
            self.answer_proposals(group, replica, entry, &new.applied);
        }
        let target = &mut self.groups[group];
        if let Some(known) = target.results.get(index as usize - 1) {
            if *known != new {
                let id = target.id;
                let detail = format!(
                    "group {id}, entry {index}, replica {replica}: chain {:?}, state {:x}; \
                     before: chain {:?}, state {:x}",
                    new.chain.digest, new.state, known.chain.digest, known.state
                );
                self.violate(Check::Replicas, detail);
                self.halted = true;
            }
            return;
        }
        self.observe_entry(group, replica, entry, &new.applied);
        self.groups[group].results.push(new);
        self.tape_order(group);
    }

    fn answer_proposals(
        &mut self,
        group: usize,
        replica: usize,
        entry: &Entry,
        applied: &[Applied],
    ) {
        let node = self.groups[group].replicas[replica].node;
        for (reply, applied) in entry.replies.iter().zip(applied) {
            if let Some((to, token)) = *reply
                && token != Token::Nobody
            {
                let applied = Rc::new(applied.clone());
                self.send(node, to, Message::Applied { reply: token, applied });
            }
        }
    }

    /// The onlooker's notes: what the log says of each transaction, when it is first applied.
    pub(super) fn observe_entry(
        &mut self,
        group: usize,
        replica: usize,
        entry: &Entry,
        applied: &[Applied],
    ) {
        for (proposed, applied) in entry.commands.iter().zip(applied) {
            self.observe_reply(group, &proposed.command, applied);
        }
        // Only now: the state is that after the whole entry.
        for proposed in &entry.commands {
            self.observe_standing(group, replica, &proposed.command);
        }
    }

    /// The last entry of a group that has a result was applied for the first time.
    pub(super) fn tape_order(&mut self, group: usize) {
        if let Some(tape) = &mut self.tape {
            tape.order.push((group, self.groups[group].results.len() as u64));
        }
    }

    fn observe_reply(&mut self, group: usize, command: &Command, applied: &Applied) {
        self.observe_probes(command, applied);
        if let Command::Vote(vote) = command {
            self.observe_tampering(vote, self.groups[group].id, applied);
        }
        let Some(tid) = command.tid() else { return };
        let id = self.groups[group].id;
        let fact = self.history.facts.entry((tid, id)).or_default();
        let Some((standing, body)) = agreement::told(fact, command, applied) else { return };
        if fact.yes.is_some() && matches!(command, Command::Vote(_)) {
            self.probes.hit(Probe::RepeatedVote);
        }
        let faults = [agreement::note_body(fact, &standing, body), fact.fold(&standing).err()];
        for fault in faults.into_iter().flatten() {
            self.violate(Check::Agreement, format!("{tid:?} in group {id}: {fault}"));
        }
    }

    fn observe_standing(&mut self, group: usize, replica: usize, command: &Command) {
        let Some(tid) = command.tid() else { return };
        let id = self.groups[group].id;
        let held = &self.groups[group].replicas[replica];
        let standing = held.machine.standing(&held.state, tid);
        let fact = self.history.facts.entry((tid, id)).or_default();
        if let Err(fault) = fact.fold(&standing) {
            self.violate(Check::Agreement, format!("{tid:?} in group {id}: {fault}"));
        }
    }

    pub(super) fn check_invariants(&mut self, group: usize, replica: usize) {
        let target = &self.groups[group];
        let held = &target.replicas[replica];
        if let Err(fault) = invariant::check(&held.machine, &held.state) {
            let detail = format!("group {}, entry {}: {fault}", target.id, held.applied);
            self.violate(Check::CoreInvariants, detail);
        }
    }

    pub(super) fn has_quorum(&self, group: usize) -> bool {
        if self.deployment.is_some() {
            // Whoever leads finds out.
            return true;
        }
        let target = &self.groups[group];
        self.quorum_around(group, target.leader)
    }

    pub(super) fn quorum_around(&self, group: usize, replica: usize) -> bool {
        let replicas = &self.groups[group].replicas;
        let node = replicas[replica].node;
        let linked = |other: usize| {
            let cut = |pair| self.cuts.values().any(|cut| cut.contains(&pair));
            self.nodes[other].up && !cut((node, other)) && !cut((other, node))
        };
        let reached = replicas.iter().filter(|replica| linked(replica.node)).count();
        let all = self.sabotaged(Sabotage::AllMustAgree);
        let needed = if all { replicas.len() } else { replicas.len() / 2 + 1 };
        self.nodes[node].up && reached >= needed
    }

    /// Gives the group another leader; of the old one's batch a prefix may have been committed.
    pub(super) fn change_leader(&mut self, group: usize, leader: usize) {
        let pending = self.groups[group].pending.len();
        let kept = self.rng.below(pending as u64 + 1) as usize;
        let target = &mut self.groups[group];
        let batch: Vec<_> = target
            .pending
            .drain(..)
            .take(kept)
            .map(|kept| Proposal { reply: None, ..kept })
            .collect();
        if !batch.is_empty() {
            target.log.push(Entry::new(batch, target.leader));
        }
        target.leader = leader;
        target.term += 1;
        target.committing = false;
        target.settled.clear();
        self.faults.hit(Fault::LeaderChange);
        if kept > 0 {
            self.hit(Probe::LeaderKeptBatch);
        }
        if kept < pending {
            self.hit(Probe::LeaderLostBatch);
        }
        self.wake_replicas(group);
    }
}
