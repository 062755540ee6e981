//! Durable tickets: clients put transactions into a group's queue, and its leader has them happen.
//!
//! The queue lies in the state, and which ticket is begun when is the core's to say. Here are the
//! leaders that try, lose their memory with their nodes, and find out that another one tried too.
//! Seeds without tickets are as they were before there were any: chance for these is its own.

use super::{
    World,
    operation::Task,
    transaction::Transaction,
    workload::{Plan, Step, write},
};
use crate::{
    conformance::{Queue, QueueEvent, Taped},
    probe::Probe,
    rng::Rng,
    swarm::Swarm,
};
use std::collections::BTreeMap;
use vatic_core::{
    delta::Op,
    dispatch::{DispatchLimits, Ended, Now, Touched},
    id::{GroupId, Tid, Timestamp},
    key::Key,
    limits::Limits,
    ticket::{self, Entry, Resolved, Ticket},
};

/// One of so many seeds has tickets.
const SEEDS_WITH: u64 = 4;
/// How many of a thousand operations of its clients are one.
const TICKETS_PER_MILLE: u32 = 150;
/// How many of a thousand looks a deposed leader takes as well.
const DEPOSED_PER_MILLE: u32 = 300;
/// Tickets that a leader looks at.
const LOOKED_MAX: usize = 64;
/// Tells a seed's chance for tickets from its other.
const OWN_CHANCE: u64 = 0x71C4_E75E_ED00_0001;

/// What leaders know beside the state, and who is trying what.
pub(super) struct Dispatching {
    rng: Rng,
    on: bool,
    /// By group and node; gone with the node.
    dispatchers: BTreeMap<(usize, usize), Taped<Queue>>,
    /// By operation.
    attempts: BTreeMap<u64, Attempt>,
}

struct Attempt {
    group: usize,
    node: usize,
    ticket: Ticket,
}

impl Dispatching {
    /// Whether a seed has tickets: small limits would refuse one for ever, or its resolution.
    pub(super) fn draw(seed: u64, swarm: &Swarm) -> Dispatching {
        let Limits { record_bytes_max, records_bytes_max, .. } = swarm.limits;
        let fits = record_bytes_max >= Limits::simulation().record_bytes_max;
        Dispatching {
            rng: Rng::new(seed ^ OWN_CHANCE),
            on: seed.is_multiple_of(SEEDS_WITH) && fits && records_bytes_max == u64::MAX,
            dispatchers: BTreeMap::new(),
            attempts: BTreeMap::new(),
        }
    }
}

fn limits() -> DispatchLimits {
    DispatchLimits {
        running_max: 2,
        aged_us: 40_000,
        pause_us: [1_000, 16_000],
        ..DispatchLimits::simulation()
    }
}

impl World {
    /// A client's ticket, now and then.
    pub(super) fn draw_ticket(&mut self, node: usize) -> Option<Task> {
        let drawn = self.dispatching.on && self.dispatching.rng.chance(TICKETS_PER_MILLE);
        drawn.then(|| self.enqueue(node))
    }

    /// A transfer that waits in the queue of the first account's group.
    fn enqueue(&mut self, node: usize) -> Task {
        let rng = &mut self.dispatching.rng;
        let from = rng.index(self.accounts.len());
        let to = (from + 1 + rng.index(self.accounts.len() - 1)) % self.accounts.len();
        let (amount, priority) = (rng.between(1, 5) as i64, rng.below(3) as u8);
        let nonce = rng.next();
        let [from, to] = [from, to].map(|at| self.accounts[at].clone());
        let partition = ticket::partition_of(&self.ring, self.owner(&from));
        let add = |key, by| write(key, Op::Add { field: "balance".into(), by });
        let steps = [add(&from, -amount), add(&to, amount)];
        let deltas = steps.iter().filter_map(Step::delta).map(<[u8]>::to_vec).collect();
        let entry = Entry { deltas, priority, principal: "caller".into() };
        let ticket = Ticket::new(partition, self.clock(node), nonce);
        let plan = Plan::of(vec![write(&ticket.queued_key(), Op::Put(entry.fields()))]);
        let plan = self.misbehave(plan, false);
        self.as_request(plan, node)
    }

    /// Its leader looks at the queue, and begins what is due; now and then somebody else does as
    /// well, who led before and has not heard that it does no more.
    pub(super) fn dispatch_some(&mut self, group: usize, leader: usize) {
        if !self.dispatching.on {
            return;
        }
        for ((of, node), dispatch) in &mut self.dispatching.dispatchers {
            if *of == group && *node != leader {
                dispatch.handle(QueueEvent::Deposed);
            }
        }
        self.begin_some(group, leader);
        if !self.healed && self.dispatching.rng.chance(DEPOSED_PER_MILLE) {
            let members = &self.groups[group].members;
            let other = *self.dispatching.rng.pick(members);
            if other != leader && self.nodes[other].up {
                self.begin_some(group, other);
            }
        }
    }

    fn begin_some(&mut self, group: usize, node: usize) {
        let waiting = self.waiting(group);
        let queued: Vec<(Ticket, u8)> =
            waiting.iter().map(|(ticket, (entry, _))| (ticket.clone(), entry.priority)).collect();
        let now = Now { clock: self.clock(node), us: self.now };
        let ring = &self.ring;
        let own = self.groups[group].id;
        let at_home = |key: &Key| ring.group_of(&key.partition) == Some(own);
        let touched = |(ticket, (entry, _)): (&Ticket, &(Entry, Timestamp))| {
            let records = entry.records();
            let at_home = records.iter().all(at_home);
            (ticket.clone(), Touched { records, at_home })
        };
        let touched = waiting.iter().map(touched).collect();
        let dispatch = self.dispatching.dispatchers.entry((group, node)).or_insert_with(|| {
            let queues = self.tape.as_mut().map(|tape| &mut tape.queues);
            Taped::begin(limits(), self.options.rules, queues)
        });
        dispatch.handle(QueueEvent::Looked { queued, touched, now });
        let begun: Vec<Ticket> = std::iter::from_fn(|| dispatch.poll()).collect();
        for ticket in begun {
            let mut attempts = self.dispatching.attempts.values();
            if attempts.any(|attempt| attempt.ticket == ticket) {
                self.probes.hit(Probe::TicketsOfTwo);
            }
            let (entry, seen) = &waiting[&ticket];
            self.attempt(Attempt { group, node, ticket }, entry, *seen);
        }
    }

    fn attempt(&mut self, attempt: Attempt, entry: &Entry, seen: Timestamp) {
        let (id, node) = (self.fresh_id(), attempt.node);
        // Which attempt it was, for whoever reads it: the id is not known before the draft.
        let nonce = Tid { mint: Timestamp(self.now), home: GroupId(0), nonce: id };
        let outcome = Resolved::Committed(nonce);
        let rules = self.options.rules;
        let deltas = attempt.ticket.resolving(seen, &entry.deltas, &outcome, rules);
        let plan = Plan::of(deltas.into_iter().map(Step::Write).collect());
        let task = Task::Transaction(Box::new(Transaction::new(plan, self.now)));
        self.dispatching.attempts.insert(id, attempt);
        self.begin_operation(id, usize::MAX, node, task);
    }

    /// An operation is over: if it was an attempt at a ticket, that is tried again unless it is
    /// gone from the queue by then.
    pub(super) fn attempt_ended(&mut self, operation: u64) -> bool {
        let Some(attempt) = self.dispatching.attempts.remove(&operation) else { return false };
        let Attempt { group, node, ticket } = attempt;
        if self.waiting(group).contains_key(&ticket) {
            self.hit(Probe::TicketAgain);
        }
        let now = Now { clock: self.clock(node), us: self.now };
        let drawn = self.dispatching.rng.next();
        if let Some(dispatch) = self.dispatching.dispatchers.get_mut(&(group, node)) {
            dispatch.handle(QueueEvent::Ended { ticket, how: Ended::Met, now, drawn });
        }
        true
    }

    /// Whether an operation is an attempt at a ticket: it dies with its node, which is its client.
    pub(super) fn is_attempt(&self, operation: u64) -> bool {
        self.dispatching.attempts.contains_key(&operation)
    }

    /// What a node had in memory of queues is lost.
    pub(super) fn forget_dispatchers(&mut self, node: usize) {
        self.dispatching.dispatchers.retain(|(_, of), _| *of != node);
    }

    /// Tickets that wait in any group.
    pub(super) fn tickets_left(&self) -> usize {
        if !self.dispatching.on {
            return 0;
        }
        (0..self.groups.len()).map(|group| self.waiting(group).len()).sum()
    }

    fn waiting(&self, group: usize) -> BTreeMap<Ticket, (Entry, Timestamp)> {
        let target = &self.groups[group];
        let held = &target.replicas[target.leader];
        let range = ticket::queued_range(&ticket::partition_of(&self.ring, target.id));
        let (found, _) = held.machine.peek_range(&held.state, &range, LOOKED_MAX);
        let read = found.records.into_iter().filter_map(|record| {
            let entry = Entry::read(record.fields.as_ref()?)?;
            Some((Ticket::at(&record.key), (entry, record.version)))
        });
        read.collect()
    }
}
