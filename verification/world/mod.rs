//! The simulated cluster: one queue of events, one generator, no other source of change.
//!
//! Nodes carry replicas, gateways and coordinators and lose all that is volatile when they crash;
//! a group's log is the one thing that consensus promises, so here it simply is: an entry is
//! committed or it is not, each replica applies it when it gets there. All protocol work is done by
//! vatic-core; what is written here is the shell around it and the misfortune.

mod attest;
mod chaos;
mod cluster;
mod coordinate;
mod deployed;
mod disaster;
mod dispatching;
mod drain;
mod driving;
mod ending;
mod healing;
mod judging;
mod moving;
mod noting;
mod onlooking;
mod operation;
mod reading;
mod reference;
mod replacing;
mod resolve;
mod serve;
mod setup;
mod sweep;
mod tamper;
mod together;
mod transaction;
mod wild;
mod workload;

use crate::{
    conformance::Tape,
    deployment::Deployment,
    event::{Envelope, Event, Message},
    faults::{Fault, Faults},
    history::History,
    limits,
    probe::{Probe, Probes},
    rng::Rng,
    sabotage::{Level, Options, Sabotage},
    swarm::Swarm,
    trace::Trace,
    violation::{Check, Violation},
};
use coordinate::Coordination;
use dispatching::Dispatching;
use drain::Drain;
use driving::Driving;
use healing::Core;

use onlooking::Onlooking;
use operation::Operation;
use replacing::Replacements;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};
use vatic_core::{
    id::{GroupId, Timestamp},
    key::Key,
    ring::Ring,
};
use wild::Wild;

pub(crate) use cluster::SimGroup;
pub(crate) use judging::ENFORCED;
pub(crate) use moving::operations_on;
pub(crate) use serve::found;

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) swarm: Swarm,
    pub(crate) history: History,
    pub(crate) probes: Probes,
    pub(crate) faults: Faults,
    pub(crate) violations: Vec<Violation>,
    pub(crate) groups: Vec<SimGroup>,
    pub(crate) trace: Trace,
    /// What crosses the boundary of the core, where that is recorded.
    pub(crate) tape: Option<Tape>,
    /// A group met a contradiction and stands still: what follows proves nothing more.
    pub(crate) halted: bool,
    /// All operations and coordinators were over within the drain.
    pub(crate) drained: bool,
    rng: Rng,
    now: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    in_flight: u64,
    nodes: Vec<Node>,
    cuts: BTreeMap<u64, BTreeSet<(usize, usize)>>,
    driving: Driving,
    /// At level 2: who looks on while a leader is cut off.
    onlooking: Onlooking,
    /// At level 2: which replica begins anew.
    replacements: Replacements,
    /// At level 2: the nodes behind it all.
    deployment: Option<Deployment>,
    /// Who led each group in each term.
    elected: BTreeMap<(usize, u64), usize>,
    ring: Arc<Ring>,
    accounts: Vec<Key>,
    items: Vec<Key>,
    /// A record of each of several groups.
    together: Vec<Key>,
    /// Whether whoever was last to write them wrote, or removed them.
    together_come: bool,
    dispatching: Dispatching,
    operations: BTreeMap<u64, Operation>,
    coordinations: BTreeMap<u64, Coordination>,
    last_id: u64,
    core: Core,
    wild: Wild,
    /// Load has ended and nothing breaks any more.
    healed: bool,
}

struct Node {
    up: bool,
    /// Its wall clock is ahead by this; all are positive, so skew is between nodes.
    ahead_us: u64,
}

struct Scheduled {
    at: u64,
    order: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl World {
    /// Runs the load with its faults, heals a majority core or everything at once, and waits until
    /// all is decided.
    pub(crate) fn run(&mut self) {
        if self.options.level == Level::Deployed {
            return self.run_deployed();
        }
        let load_ends = limits::EPOCH_US + self.options.load_us;
        let mut drain = Drain::from(load_ends, limits::DRAIN_US);
        while let Some(Reverse(next)) = self.queue.pop() {
            if !self.healed && next.at > load_ends {
                self.heal();
            }
            if self.halted || drain.is_over(next.at, || self.tickets_left()) {
                break;
            }
            self.now = self.now.max(next.at);
            self.trace.note(&[self.now, next.event.kind()]);
            self.handle(next.event);
            if self.healed && self.is_quiet() {
                if self.heal_the_rest() {
                    drain = Drain::from(self.now, limits::DRAIN_US);
                    continue;
                }
                self.drained = true;
                self.spoil_the_end();
                break;
            }
        }
    }

    /// Virtual time since the start.
    pub(crate) fn elapsed_us(&self) -> u64 {
        self.now - limits::EPOCH_US
    }

    pub(crate) fn violate(&mut self, check: Check, detail: String) {
        if self.violations.len() < limits::VIOLATIONS_MAX {
            self.violations.push(Violation { check, detail });
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver(envelope) => self.deliver(envelope),
            Event::Commit { group, term } => self.commit(group, term),
            Event::Apply { group, replica, life } => self.apply_some(group, replica, life),
            Event::Sweep { group } => self.sweep(group),
            Event::Elect { group, term } => self.elect(group, term),
            Event::Chaos => self.chaos(),
            Event::Restart { node } => self.restart(node),
            Event::Fall { node } => self.fall(node),
            Event::Heal { cut } => {
                self.cuts.remove(&cut);
                self.onlooking.heal(cut);
                self.share_cuts();
            }
            Event::NextOperation { client } => self.next_operation(client),
            Event::OperationTimer { operation, step } => self.operation_timer(operation, step),
            Event::CoordinatorRetry { id } => self.coordinator_retry(id),
            Event::CoordinatorGivesUp { id } => self.coordinator_gives_up(id),
        }
    }

    fn deliver(&mut self, Envelope { from, to, message }: Envelope) {
        self.in_flight -= 1;
        if !self.nodes[to].up {
            return;
        }
        match message {
            Message::Propose { group, proposed, reply } => {
                self.propose(group, to, proposed, Some((from, reply)));
            }
            Message::Query { group, query, reply } => self.query(group, to, query, (from, reply)),
            Message::Applied { reply, applied } => self.applied(reply, &applied),
            Message::Found { reply, found } => self.found(reply, &found),
            Message::Start { operation, sealed } => self.start_coordinator(to, operation, sealed),
            Message::Recover { group, tid } => self.recover(group, to, tid),
            Message::Outcome { operation, tid, answer, receipt } => {
                self.outcome(operation, tid, &answer, receipt.as_deref());
            }
        }
    }

    /// Puts a message on the network, which may lose, repeat, delay or cut it off.
    fn send(&mut self, from: usize, to: usize, message: Message) {
        let cut = self.cuts.values().any(|cut| cut.contains(&(from, to)));
        if cut {
            return self.faults.hit(Fault::Partitioned);
        }
        let network = self.swarm.network.clone();
        if from == to {
            let delay = 1 + self.rng.below(5);
            return self.post(delay, from, to, message);
        }
        if !self.healed && self.rng.chance(network.repeat) {
            self.faults.hit(Fault::Repeated);
            let delay = self.delay(network.jitter_us * 4);
            self.post(delay, from, to, message.clone());
        }
        if !self.healed && self.rng.chance(network.limbo) {
            self.faults.hit(Fault::Limbo);
            let delay = self.rng.between(network.limbo_us / 4, network.limbo_us);
            self.post(delay, from, to, message.clone());
        }
        if !self.healed && self.rng.chance(network.loss) {
            return self.faults.hit(Fault::Lost);
        }
        let delay = self.delay(network.jitter_us);
        self.post(delay, from, to, message);
    }

    fn delay(&mut self, jitter_us: u64) -> u64 {
        let late = if self.rng.chance(100) { jitter_us } else { jitter_us / 8 };
        self.swarm.network.delay_us + self.rng.below(late + 1)
    }

    fn post(&mut self, delay: u64, from: usize, to: usize, message: Message) {
        self.in_flight += 1;
        self.after(delay, Event::Deliver(Envelope { from, to, message }));
    }

    fn after(&mut self, delay: u64, event: Event) {
        self.scheduled += 1;
        let (at, order) = (self.now + delay, self.scheduled);
        self.queue.push(Reverse(Scheduled { at, order, event }));
    }

    /// A node's wall clock.
    fn clock(&self, node: usize) -> Timestamp {
        Timestamp(self.now + self.nodes[node].ahead_us)
    }

    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn group_at(&self, id: GroupId) -> usize {
        id.0 as usize - 1
    }

    fn owner(&self, key: &Key) -> GroupId {
        self.ring.group_of(&key.partition).expect("the ring has groups")
    }

    fn hit(&mut self, probe: Probe) {
        self.probes.hit(probe);
    }

    fn sabotaged(&self, sabotage: Sabotage) -> bool {
        self.options.sabotage == Some(sabotage)
    }

    /// Nothing is under way and nothing is left behind, of what is not left out.
    fn is_quiet(&self) -> bool {
        let left_out = |node: usize| self.core.leaves_out(node);
        self.operations.values().all(|operation| left_out(operation.node))
            && self.coordinations.values().all(|coordination| left_out(coordination.node))
            && self.in_flight == 0
            && self.groups.iter().all(|group| group.unrest(&self.core).is_none())
            && self.tickets_left() == 0
            && self.is_level()
    }

    /// Whether all real replicas are where the reference is.
    fn is_level(&self) -> bool {
        let Some(deployment) = &self.deployment else { return true };
        let last = self.groups.iter().map(|group| (group.id, group.log.len() as u64));
        deployment.is_level(&last.collect::<Vec<_>>(), |node| self.core.leaves_out(node))
    }
}
