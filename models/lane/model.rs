//! The model: the core's lanes, clients that take turns, and records whose groups apply votes and
//! decisions in the order of their logs.
//!
//! # What is abstracted away, and why that is sound
//!
//! - **A record is a group of its own**: a version, the vote that has it locked, and the commands
//!   that are in its log and not applied. Votes are Yes where the version is the one that was read
//!   and nobody has the lock, which is what the core's vote decides on; the commit protocol itself
//!   has its own models.
//! - **All records are led by one node**, so that all lanes are one table; what separates groups is
//!   their logs.
//! - **A client makes one attempt.** Another one would be another client.
//! - **Whoever waits looks again as time passes**: the server does it every few milliseconds.

use crate::{
    lane::{property, scenarios::Scenario},
    premise::Noted,
};
use stateright::{Model, Property};
use std::collections::VecDeque;
use vatic_core::{
    command::{Cause, Decision, Why},
    id::{GroupId, Tid, Timestamp},
    key::Key,
    lane::{LaneLimits, Lanes, Now, Turn, Urgency, Waiter, WaiterId},
    rules::Rules,
};

/// A scenario under a set of rules.
#[derive(Debug)]
pub struct Track {
    /// The scenario.
    pub scenario: Scenario,
    /// The records' names.
    pub keys: Vec<Key>,
    rules: Rules,
    pub(crate) noted: Noted,
}

/// A state of the model.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct World {
    /// The clock.
    pub now_us: u64,
    /// The core's lanes.
    pub lanes: Lanes,
    /// The records.
    pub records: Vec<Record>,
    /// The clients.
    pub clients: Vec<Client>,
    /// Whether somebody's turn was over before its vote.
    pub late: bool,
    /// Whether somebody was given a turn that was another's.
    pub unfair: bool,
    /// Whether somebody read what a decision on its way would install.
    pub ahead: bool,
    /// Whether somebody who had waited too long went before who was more urgent.
    pub aged: bool,
}

/// One record and its group's log.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Record {
    /// How often it was written.
    pub version: u8,
    /// Whose undecided vote has it locked.
    pub lock: Option<usize>,
    /// What is to be applied, in this order.
    pub log: VecDeque<Entry>,
}

/// A command in a record's log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Entry {
    /// The vote of a client that read this version.
    Vote(usize, u8),
    /// Whether a client's transaction commits.
    Decide(usize, bool),
}

/// One client.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Client {
    /// Where it is.
    pub phase: Phase,
    /// What it read of the records that it has had its turn with.
    pub seen: Vec<u8>,
    /// When those turns end.
    pub ends_us: Vec<u64>,
    /// How its votes came out.
    pub votes: Vec<Option<bool>>,
    /// To which of its records its decision has been sent.
    pub told: Vec<bool>,
}

/// Where a client is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Phase {
    /// Takes the next turn, or submits.
    Going,
    /// Waits for its turn.
    Waiting {
        /// Since when.
        since_us: u64,
    },
    /// Its votes are in the logs.
    Submitted,
    /// It vanished, or stopped waiting.
    Gone,
}

/// What can happen next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A client takes the turn of its next record, or queues up.
    Claim(usize),
    /// A client has all turns and submits.
    Submit(usize),
    /// A client's decision comes to one of its records to be proposed.
    Decide(usize, usize),
    /// A record applies the next command of its log.
    Apply(usize),
    /// Time passes, and whoever waits looks again.
    Tick,
    /// A client vanishes.
    Vanish(usize),
}

impl Model for Track {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let client = |plan: &Vec<usize>| Client {
            phase: Phase::Going,
            seen: vec![],
            ends_us: vec![],
            votes: vec![None; plan.len()],
            told: vec![false; plan.len()],
        };
        vec![World {
            now_us: 0,
            lanes: Lanes::new(limits(), self.rules),
            records: vec![Record::default(); self.scenario.records()],
            clients: self.scenario.plans.iter().map(client).collect(),
            late: false,
            unfair: false,
            ahead: false,
            aged: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.noted.look(property::PREMISES, self, world);
        for (at, client) in world.clients.iter().enumerate() {
            let plan = &self.scenario.plans[at];
            match client.phase {
                Phase::Going if client.seen.len() < plan.len() => steps.push(Step::Claim(at)),
                Phase::Going => steps.push(Step::Submit(at)),
                Phase::Submitted if client.decision().is_some() => {
                    let untold = (0..plan.len()).filter(|&leg| client.is_to_be_told(leg));
                    steps.extend(untold.map(|leg| Step::Decide(at, leg)));
                }
                _ => {}
            }
            let may_vanish = matches!(client.phase, Phase::Going | Phase::Waiting { .. });
            steps.extend((self.scenario.vanish && may_vanish).then_some(Step::Vanish(at)));
        }
        let busy = world.records.iter().enumerate().filter(|(_, record)| !record.log.is_empty());
        steps.extend(busy.map(|(at, _)| Step::Apply(at)));
        steps.extend((world.now_us < self.scenario.ticks).then_some(Step::Tick));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Claim(at) => self.claim(&mut world, at),
            Step::Submit(at) => {
                world.clients[at].phase = Phase::Submitted;
                for (leg, &record) in self.scenario.plans[at].iter().enumerate() {
                    let seen = world.clients[at].seen[leg];
                    world.records[record].log.push_back(Entry::Vote(at, seen));
                }
            }
            Step::Decide(at, leg) => self.decide(&mut world, at, leg),
            Step::Apply(record) => self.apply(&mut world, record),
            Step::Tick => self.tick(&mut world),
            Step::Vanish(at) => self.vanish(&mut world, at),
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let witnesses = self.scenario.witnesses.iter();
        let sometimes = witnesses.map(|witness| Property::sometimes(witness.name, witness.shows));
        property::always().into_iter().chain(sometimes).collect()
    }
}

/// Small, so that waiters age within the clock's bound.
fn limits() -> LaneLimits {
    LaneLimits { waiting_max: 8, kept_max: 8, ..LaneLimits::simulation() }
}

fn group_of(record: usize) -> GroupId {
    GroupId(record as u32 + 1)
}

fn tid(client: usize) -> Tid {
    Tid::from_bytes(&[client as u8 + 1; 20]).expect("20 bytes")
}

fn client_of(tid: Tid) -> usize {
    usize::from(tid.to_bytes()[0]) - 1
}

impl Track {
    /// A scenario under a set of rules.
    pub fn new(scenario: Scenario, rules: Rules) -> Track {
        let name = |at| Key::new("c", &format!("p{at}"), "").expect("a plain key");
        let keys = (0..scenario.records()).map(name).collect();
        Track { scenario, keys, rules, noted: Noted::default() }
    }

    fn turn(&self, client: usize) -> Turn {
        Turn { token: client as u64, hold_us: self.scenario.hold_us }
    }

    /// How a client ranks that waits for the record after those that it has.
    pub(crate) fn urgency(&self, world: &World, client: usize) -> Urgency {
        let turns = world.clients[client].seen.len() as u32;
        let rollbacks = self.scenario.rollbacks[client];
        Urgency { turns, rollbacks, ..Urgency::default() }
    }

    /// The record that a client takes next.
    pub(crate) fn next_of(&self, world: &World, client: usize) -> usize {
        self.scenario.plans[client][world.clients[client].seen.len()]
    }

    fn claim(&self, world: &mut World, at: usize) {
        let record = self.next_of(world, at);
        let barges = !self.waiters(world, record).is_empty();
        let key = &self.keys[record];
        if world.lanes.take(key, self.turn(at), world.now_us) {
            world.unfair |= barges;
            if self.undecided(world, record).is_none() {
                return self.go_on(world, at, record);
            }
            self.change(world, record, |lanes, now| lanes.give_back(key, at as u64, now));
        }
        let since_us = world.now_us;
        let (turn, urgency) = (Some(self.turn(at)), self.urgency(world, at));
        let waiter = Waiter { id: at as WaiterId, turn, urgency, since_us };
        world.lanes.wait(key, waiter);
        world.clients[at].phase = Phase::Waiting { since_us };
        self.change(world, record, |lanes, now| lanes.next(key, now));
    }

    fn decide(&self, world: &mut World, at: usize, leg: usize) {
        let commits = world.clients[at].decision().expect("it is decided");
        let record = self.scenario.plans[at][leg];
        let decision = match commits {
            true => Decision::Committed { ts: Timestamp(1) },
            false => {
                let why = Why::Forced;
                Decision::RolledBack(Cause { group: group_of(record), why })
            }
        };
        world.clients[at].told[leg] = true;
        world.records[record].log.push_back(Entry::Decide(at, commits));
        let held = world.records[record].lock == Some(at);
        let keys: Vec<Key> = held.then(|| self.keys[record].clone()).into_iter().collect();
        self.change(world, record, |lanes, now| lanes.deciding(tid(at), decision, &keys, now));
    }

    fn apply(&self, world: &mut World, record: usize) {
        let key = &self.keys[record];
        match world.records[record].log.pop_front().expect("there is one") {
            Entry::Vote(at, seen) => {
                let found = &mut world.records[record];
                let yes = found.lock.is_none() && found.version == seen;
                found.lock = if yes { Some(at) } else { found.lock };
                let leg = self.leg(at, record);
                world.clients[at].votes[leg] = Some(yes);
                let keys = std::slice::from_ref(key);
                self.change(world, record, |lanes, now| lanes.voted(keys, now));
            }
            Entry::Decide(at, commits) => {
                let found = &mut world.records[record];
                if found.lock == Some(at) {
                    found.lock = None;
                    found.version += u8::from(commits);
                }
                let keys = std::slice::from_ref(key);
                self.change(world, record, |lanes, now| lanes.decided(tid(at), keys, now));
            }
        }
    }

    fn tick(&self, world: &mut World) {
        world.now_us += 1;
        for (at, client) in world.clients.iter().enumerate() {
            let alive = client.phase != Phase::Gone;
            let over =
                |leg: usize| client.votes[leg].is_none() && client.ends_us[leg] <= world.now_us;
            let late = alive && (0..client.seen.len()).any(over);
            world.late |= late && !self.scenario.plans[at].is_empty();
        }
        for (record, key) in self.keys.iter().enumerate() {
            self.change(world, record, |lanes, now| lanes.next(key, now));
        }
    }

    fn vanish(&self, world: &mut World, at: usize) {
        if let Phase::Waiting { .. } = world.clients[at].phase {
            let record = self.next_of(world, at);
            world.lanes.leave(&self.keys[record], at as WaiterId);
        }
        world.clients[at].phase = Phase::Gone;
    }

    /// Changes the lanes, and lets those go on who are woken.
    fn change(
        &self,
        world: &mut World,
        record: usize,
        change: impl FnOnce(&mut Lanes, Now<'_>) -> Vec<WaiterId>,
    ) {
        let lock = world.records[record].lock.map(tid);
        let holder = |_: &Key| lock;
        let now = Now { group: group_of(record), us: world.now_us, holder: &holder };
        for id in change(&mut world.lanes, now) {
            let at = id as usize;
            property::judge(self, world, at, record);
            self.go_on(world, at, record);
        }
    }

    /// It has its turn, and reads.
    fn go_on(&self, world: &mut World, at: usize, record: usize) {
        let found = &world.records[record];
        let holder = found.lock.map(tid);
        let coming = holder.and_then(|tid| world.lanes.decision(group_of(record), tid));
        let installs = matches!(coming, Some(Decision::Committed { .. }));
        let version = found.version + u8::from(installs);
        world.ahead |= coming.is_some();
        let client = &mut world.clients[at];
        client.seen.push(version);
        client.ends_us.push(world.now_us + self.scenario.hold_us);
        client.phase = Phase::Going;
    }

    /// Whose vote has the record locked and is not known to be decided.
    pub(crate) fn undecided(&self, world: &World, record: usize) -> Option<usize> {
        let holder = world.records[record].lock.map(tid)?;
        world.lanes.decision(group_of(record), holder).is_none().then(|| client_of(holder))
    }

    /// Who waits for a record.
    pub(crate) fn waiters(&self, world: &World, record: usize) -> Vec<(usize, u64)> {
        let waits = |(at, client): (usize, &Client)| match client.phase {
            Phase::Waiting { since_us } if self.next_of(world, at) == record => {
                Some((at, since_us))
            }
            _ => None,
        };
        world.clients.iter().enumerate().filter_map(waits).collect()
    }

    fn leg(&self, client: usize, record: usize) -> usize {
        let plan = &self.scenario.plans[client];
        plan.iter().position(|&at| at == record).expect("it voted there")
    }
}

impl Client {
    /// How its transaction ends, once that is known.
    pub fn decision(&self) -> Option<bool> {
        match self.votes.contains(&Some(false)) {
            true => Some(false),
            false => self.votes.iter().all(Option::is_some).then_some(true),
        }
    }

    /// Who has voted No knows; who has not voted yet is told all the same.
    fn is_to_be_told(&self, leg: usize) -> bool {
        !self.told[leg] && self.votes[leg] != Some(false)
    }
}
