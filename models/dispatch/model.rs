//! The model: the core's dispatch in the memory of two nodes that lead in turn, the core's tickets
//! in the state of the core's group, and clients that take tickets back or pause the queue.
//!
//! # What is abstracted away, and why that is sound
//!
//! - **One group.** A ticket's own deltas raise one counter there. What other groups would add is
//!   the commit protocol, which has its own models; here an attempt may be lost for any reason.
//! - **Votes are on their way in any order**, each is applied once or never, and its answer is
//!   heard or not: whoever led when it was begun.
//! - **A shadow is clean or not, at any moment.** It is tried out on what cannot be written.
//! - **A node's look is at the state as it last saw it**, which may be any earlier one, but for
//!   what it has heard answers of.
//! - **Only what goes wrong is bounded** (`faults`); attempts and looks are not.

use crate::{
    commit::site::Site,
    dispatch::{deltas::counter, property, scenarios::Scenario},
    premise::Noted,
    shared::Shared,
};
use stateright::{Model, Property};
use std::sync::Arc;
use vatic_core::{
    codec,
    command::{Cause, Command, Decision, Reply, Standing, Vote, Why},
    delta::{Delta, Op},
    dispatch::{After, Dispatch, DispatchLimits, Ended, Now, after_rollback},
    draft::Draft,
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
    limits::Limits,
    ring::{Ring, RingSpec},
    rules::Rules,
    ticket::{self, Entry, Resolved, Ticket},
};

/// The group that has the tickets.
pub const GROUP: GroupId = GroupId(1);
/// Nodes that may lead it.
pub const NODES: usize = 2;

/// A scenario under a set of rules.
#[derive(Debug)]
pub struct Desk {
    /// The scenario.
    pub scenario: Scenario,
    /// The tickets, in the order in which they were minted.
    pub tickets: Vec<Ticket>,
    ring: Arc<Ring>,
    rules: Rules,
    pub(crate) noted: Noted,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The clock.
    pub now: u64,
    /// The group as it is.
    pub site: Shared<Site>,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Who leads.
    pub leader: usize,
    /// Votes on their way.
    pub flights: Vec<Flight>,
    /// What is tried out.
    pub trials: Vec<Trial>,
    /// Whether a ticket was ever held back.
    pub was_held_back: Vec<bool>,
    /// Attempts so far of each ticket: each has an id of its own.
    pub attempts: Vec<u8>,
    /// Whose taking back was answered with yes.
    pub cancelled: Vec<bool>,
    /// Tickets that a client may still take back.
    pub cancels: Vec<bool>,
    /// Whether the queue is paused.
    pub paused: bool,
    /// How often it may still be paused or resumed.
    pub pauses: u8,
    /// What may still go wrong.
    pub faults: u8,
    /// Whether a look began what was not due first.
    pub unfair: bool,
    /// Whether a look that knew of the pause began something.
    pub unpaused: bool,
    /// Whether what had waited too long went before what had priority.
    pub aged: bool,
    /// Whether an attempt met that its ticket was resolved already.
    pub beaten: bool,
}

/// One node.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Node {
    /// The core's part, which a crash loses.
    pub dispatch: Dispatch,
    /// The group as it last saw it.
    pub seen: Shared<Site>,
    /// Whether it believes that it leads.
    pub leads: bool,
    /// Whether it knows the queue to be paused.
    pub paused: bool,
    /// How often each ticket was tried out in a row since it leads, and not sent.
    pub held_back: Vec<u8>,
}

/// A ticket that a node tries out before it is sent, and as which version it was seen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Trial {
    /// The node.
    pub of: usize,
    /// The ticket.
    pub ticket: usize,
    seen: Timestamp,
}

/// A vote on its way.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flight {
    /// The node that waits for its answer, if one does; else a client does, or nobody.
    pub of: Option<usize>,
    /// The ticket.
    pub ticket: usize,
    /// What the ticket would be resolved as.
    pub what: What,
    vote: Shared<Command>,
}

/// What a vote would resolve a ticket as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum What {
    /// It happens.
    Happen,
    /// It cannot happen.
    GiveUp,
    /// It is taken back.
    Cancel,
}

/// What can happen next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A node looks at the queue and begins what is due.
    Look(usize),
    /// A node sees the group as it is.
    CatchUp(usize),
    /// A node asks whether the queue is paused.
    Ask(usize),
    /// A shadow is clean: it is sent.
    Promote(usize),
    /// Somebody is in a shadow's way: it is tried again later.
    HoldBack(usize),
    /// A vote is applied and its answer heard.
    Apply(usize),
    /// A vote is applied, and its answer lost.
    ApplyUnheard(usize),
    /// A vote is lost.
    Lose(usize),
    /// The other node leads, and knows it.
    ChangeLeader,
    /// A node learns that it leads no more.
    Notice(usize),
    /// A node dies and comes back with nothing in its memory.
    Crash(usize),
    /// A client takes a ticket back.
    Cancel(usize),
    /// The queue is paused, or goes on.
    TogglePause,
    /// Time passes.
    Tick,
}

impl Model for Desk {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let site = self.enqueued();
        let dispatch = Dispatch::new(self.limits(), self.rules);
        let count = self.tickets.len();
        let node = |leads| {
            let (dispatch, seen, held_back) = (dispatch.clone(), site.clone(), vec![0; count]);
            Node { dispatch, seen, leads, paused: false, held_back }
        };
        vec![World {
            now: self.scenario.begins,
            nodes: (0..NODES).map(|at| node(at == 0)).collect(),
            site,
            leader: 0,
            flights: vec![],
            trials: vec![],
            was_held_back: vec![false; count],
            attempts: vec![0; count],
            cancelled: vec![false; count],
            cancels: self.scenario.tickets.iter().map(|ticket| ticket.cancelled).collect(),
            paused: false,
            pauses: self.scenario.pauses,
            faults: self.scenario.faults,
            unfair: false,
            unpaused: false,
            aged: false,
            beaten: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.noted.look(property::PREMISES, self, world);
        let faulty = world.faults > 0;
        for (at, node) in world.nodes.iter().enumerate() {
            steps.extend(node.leads.then_some(Step::Look(at)));
            steps.extend((node.leads && node.seen != world.site).then_some(Step::CatchUp(at)));
            steps.extend((node.leads && node.paused != world.paused).then_some(Step::Ask(at)));
            steps.extend((node.leads && at != world.leader).then_some(Step::Notice(at)));
            steps.extend((faulty && node.leads).then_some(Step::Crash(at)));
        }
        for at in 0..world.trials.len() {
            steps.extend([Step::Promote(at), Step::HoldBack(at)]);
        }
        for at in 0..world.flights.len() {
            steps.push(Step::Apply(at));
            steps.extend(faulty.then_some(Step::ApplyUnheard(at)));
            steps.extend(faulty.then_some(Step::Lose(at)));
        }
        steps.extend(faulty.then_some(Step::ChangeLeader));
        let cancels = world.cancels.iter().enumerate().filter(|(_, may)| **may);
        steps.extend(cancels.map(|(at, _)| Step::Cancel(at)));
        steps.extend((world.pauses > 0).then_some(Step::TogglePause));
        steps.extend((world.now < self.scenario.ends).then_some(Step::Tick));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Look(at) => self.look(&mut world, at),
            Step::CatchUp(at) => world.nodes[at].seen = world.site.clone(),
            Step::Ask(at) => world.nodes[at].paused = world.paused,
            Step::Promote(at) => {
                let Trial { of, ticket, seen } = world.trials.remove(at);
                world.nodes[of].held_back[ticket] = 0;
                self.send(&mut world, Some(of), ticket, What::Happen, seen);
            }
            Step::HoldBack(at) => {
                let Trial { of, ticket, .. } = world.trials.remove(at);
                world.nodes[of].held_back[ticket] += 1;
                world.was_held_back[ticket] = true;
                self.ended(&mut world, of, ticket, Ended::NotSent);
            }
            Step::Apply(at) => self.apply(&mut world, at, true),
            Step::ApplyUnheard(at) => {
                world.faults -= 1;
                self.apply(&mut world, at, false);
            }
            Step::Lose(at) => {
                world.faults -= 1;
                let flight = world.flights.remove(at);
                self.unknown(&mut world, &flight);
            }
            Step::ChangeLeader => {
                world.faults -= 1;
                world.leader = 1 - world.leader;
                world.nodes[world.leader].leads = true;
            }
            Step::Notice(at) => {
                let node = &mut world.nodes[at];
                (node.leads, node.paused) = (false, false);
                node.held_back.fill(0);
                node.dispatch.deposed();
            }
            Step::Crash(at) => {
                world.faults -= 1;
                let mine = world.flights.iter_mut().filter(|flight| flight.of == Some(at));
                mine.for_each(|flight| flight.of = None);
                world.trials.retain(|trial| trial.of != at);
                let leads = at == world.leader;
                let dispatch = Dispatch::new(self.limits(), self.rules);
                let node = &mut world.nodes[at];
                (node.dispatch, node.leads, node.paused) = (dispatch, leads, false);
                node.held_back.fill(0);
            }
            Step::Cancel(at) => {
                world.cancels[at] = false;
                let site = world.site.clone();
                if let Some(seen) = self.version(&site, at) {
                    self.send(&mut world, None, at, What::Cancel, seen);
                }
            }
            Step::TogglePause => {
                world.pauses -= 1;
                world.paused = !world.paused;
            }
            Step::Tick => world.now += 1,
        }
        world.flights.sort_by_key(|flight| (flight.ticket, flight.of, flight.vote.fingerprint()));
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let witnesses = self.scenario.witnesses.iter().chain([&property::CRASHED]);
        let sometimes = witnesses.map(|witness| Property::sometimes(witness.name, witness.shows));
        property::always().into_iter().chain(sometimes).collect()
    }
}

impl Desk {
    /// A scenario under a set of rules.
    pub fn new(scenario: Scenario, rules: Rules) -> Desk {
        let spec = RingSpec { epoch: 1, virtual_nodes: 1, groups: vec![GROUP] };
        let ring = Arc::new(Ring::new(spec));
        let partition = ticket::partition_of(&ring, GROUP);
        let minted = |at| Ticket::new(partition.clone(), Timestamp(at as u64), 0);
        let tickets = (0..scenario.tickets.len()).map(minted).collect();
        Desk { scenario, tickets, ring, rules, noted: Noted::default() }
    }

    fn limits(&self) -> DispatchLimits {
        DispatchLimits {
            running_max: self.scenario.running_max,
            shadow_below: self.scenario.shadow_below,
            ..DispatchLimits::simulation()
        }
    }

    /// The group with all tickets in its queue.
    fn enqueued(&self) -> Shared<Site> {
        let puts = self.scenario.tickets.iter().enumerate().map(|(at, plan)| {
            let deltas = self.deltas(at, plan.doomed);
            let entry = Entry { deltas, priority: plan.priority, principal: String::new() };
            codec::encode(&Delta {
                key: self.tickets[at].queued_key(),
                op: Op::Put(entry.fields()),
            })
        });
        let vote = self.vote(u64::MAX, |_| puts.collect());
        let (site, _) = Site::open(GROUP, self.rules).apply(&vote, self.rules);
        Shared::new(site)
    }

    /// What waits in the queue, with the version of each.
    pub fn queued(&self, site: &Site) -> Vec<(Ticket, Entry, Timestamp)> {
        let range = ticket::queued_range(&self.partition());
        let found = site.group.peek_range(&site.state, &range, usize::MAX).0.records;
        let read = found.into_iter().filter_map(|record| {
            let entry = Entry::read(record.fields.as_ref()?)?;
            Some((Ticket::at(&record.key), entry, record.version))
        });
        read.collect()
    }

    /// What became of a ticket.
    pub fn resolved(&self, site: &Site, at: usize) -> Option<Resolved> {
        let (record, _) = site.group.peek(&site.state, &self.tickets[at].resolved_key());
        Resolved::read(record.fields.as_ref()?)
    }

    /// How often a ticket happened.
    pub fn happened(&self, site: &Site, at: usize) -> i64 {
        let (record, _) = site.group.peek(&site.state, &counter(at));
        record.fields.as_ref().map_or(0, property::value)
    }

    fn partition(&self) -> String {
        ticket::partition_of(&self.ring, GROUP)
    }

    /// The version of a ticket that waits.
    fn version(&self, site: &Site, at: usize) -> Option<Timestamp> {
        let queued = self.queued(site).into_iter();
        queued.filter(|(ticket, ..)| *ticket == self.tickets[at]).map(|(.., seen)| seen).next()
    }

    fn now(&self, world: &World) -> Now {
        Now { clock: Timestamp(world.now), us: world.now }
    }

    fn look(&self, world: &mut World, at: usize) {
        let queued = self.queued(&world.nodes[at].seen);
        let ranked: Vec<(Ticket, u8)> =
            queued.iter().map(|(ticket, entry, _)| (ticket.clone(), entry.priority)).collect();
        let before = world.nodes[at].dispatch.clone();
        let (now, paused) = (self.now(world), world.nodes[at].paused);
        let dispatch = &mut world.nodes[at].dispatch;
        dispatch.seen(ranked.iter().map(|(ticket, _)| ticket), false);
        let touched = self.touched(ranked.iter().map(|(ticket, _)| ticket));
        let begun = dispatch.begin(&ranked, |ticket| &touched[ticket], paused, now);
        world.unpaused |= paused && !begun.is_empty();
        property::judge(self, world, at, &before, &ranked, &begun);
        for ticket in begun {
            let (_, _, seen) =
                queued.iter().find(|(found, ..)| *found == ticket).expect("it waits");
            let (number, seen) = (self.number(&ticket), *seen);
            let priority = self.scenario.tickets[number].priority;
            match world.nodes[at].dispatch.is_shadowed(&ticket, priority, now) {
                true => world.trials.push(Trial { of: at, ticket: number, seen }),
                false => {
                    world.nodes[at].held_back[number] = 0;
                    self.send(world, Some(at), number, What::Happen, seen);
                }
            }
        }
    }

    /// A ticket's place among all.
    pub(crate) fn number(&self, ticket: &Ticket) -> usize {
        self.tickets.iter().position(|known| known == ticket).expect("it was enqueued")
    }

    /// Sends a vote that resolves a ticket as it was seen.
    fn send(&self, world: &mut World, of: Option<usize>, at: usize, what: What, seen: Timestamp) {
        world.attempts[at] += 1;
        let nonce = (at as u64) << 8 | u64::from(world.attempts[at]);
        let (ticket, plan) = (&self.tickets[at], &self.scenario.tickets[at]);
        let vote = self.vote(nonce, |tid| {
            let (outcome, deltas) = match what {
                What::Happen => (Resolved::Committed(tid), self.deltas(at, plan.doomed)),
                What::GiveUp => (Resolved::RolledBack("no".into()), vec![]),
                What::Cancel => (Resolved::Cancelled, vec![]),
            };
            ticket.resolving(seen, &deltas, &outcome, self.rules)
        });
        world.flights.push(Flight { of, ticket: at, what, vote: Shared::new(vote) });
    }

    fn vote(&self, nonce: u64, deltas: impl FnOnce(Tid) -> Vec<Vec<u8>>) -> Command {
        let (mint, limits) = (Timestamp(1), Limits::production());
        let mut draft = Draft::begin(self.ring.clone(), limits, mint, nonce, Hash::ZERO);
        draft.touch(&self.tickets[0].queued_key()).expect("the group has it");
        let tid = draft.tid().expect("it touched a record");
        for delta in deltas(tid) {
            draft.push(delta, None, None).expect("it is sound");
        }
        let (body, mut parts) = draft.finish().expect("it is whole");
        let part = parts.pop().expect("there is one group");
        Command::Vote(Box::new(Vote { body, part, hint: mint }))
    }

    fn apply(&self, world: &mut World, at: usize, heard: bool) {
        let flight = world.flights.remove(at);
        let (site, reply) = world.site.apply(&flight.vote, self.rules);
        world.site = Shared::new(site);
        if !heard {
            return self.unknown(world, &flight);
        }
        if let Some(node) = flight.of {
            world.nodes[node].seen = world.site.clone();
        }
        let after = self.after(&flight, reply.as_ref());
        if flight.what == What::Cancel {
            world.cancelled[flight.ticket] |= committed(reply.as_ref());
        }
        world.beaten |=
            flight.what == What::Happen && after == After::Over && !committed(reply.as_ref());
        let Some(node) = flight.of else { return };
        if after == After::GiveUp {
            let site = world.site.clone();
            // As it was seen by the attempt: it is there, or this one is refused as well.
            if let Some(seen) = self.version(&site, flight.ticket) {
                return self.send(world, Some(node), flight.ticket, What::GiveUp, seen);
            }
        }
        let how = if after == After::Over { Ended::Over } else { Ended::Met };
        self.ended(world, node, flight.ticket, how);
    }

    fn unknown(&self, world: &mut World, flight: &Flight) {
        if let Some(node) = flight.of {
            self.ended(world, node, flight.ticket, Ended::Met);
        }
    }

    fn ended(&self, world: &mut World, node: usize, at: usize, how: Ended) {
        let (now, ticket) = (self.now(world), self.tickets[at].clone());
        world.nodes[node].dispatch.ended(ticket, how, now, 0);
    }

    /// What a node makes of the answer.
    fn after(&self, flight: &Flight, reply: Option<&Reply>) -> After {
        let Some(Reply::Standing(Standing::Decided(decision))) = reply else { return After::Again };
        match decision {
            Decision::Committed { .. } => After::Over,
            Decision::RolledBack(Cause { why, .. }) => {
                let (key, retryable) = match why {
                    Why::Rejected { key, .. } => (Some(key), false),
                    _ => (None, true),
                };
                after_rollback(&self.tickets[flight.ticket], key, retryable)
            }
        }
    }
}

fn committed(reply: Option<&Reply>) -> bool {
    matches!(reply, Some(Reply::Standing(Standing::Decided(Decision::Committed { .. }))))
}
