//! The model: one stream from its client to its receipt, on the core's draft, chain, form and
//! receipt code and on logs whose entries the core applies and chains.
//!
//! # What is abstracted away, and why that is sound
//!
//! - **The link from the client** may deliver a transition at any time, repeatedly, damaged and in
//!   any order; the gateway takes what the draft takes. A client that chains its transitions sends
//!   their numbers and digests along, and the head with the commit frame, which the gateway
//!   compares as the server does.
//! - **The Raft log.** A group applies entries one after the other; what was ever proposed can be
//!   in any later entry, any number of times, or never: that is what a resent proposal after a
//!   change of leaders comes to. How many entries a log has is bounded, since each moves the chain.
//! - **Crashes.** Any group may be opened anew on its state at any time.
//! - **Forgeries** are made where the seal is: the driver, the votes and the receipt then agree on
//!   what was forged. A forger who has the replicas' keys is not modelled, nor signatures: a
//!   receipt's positions are compared with the groups' own chains instead.

use crate::{
    check::catching,
    commit::client::group_id,
    digest::{
        forge::Forgery,
        ledger::Ledger,
        property,
        scenarios::Scenario,
        stream::{Stream, spec},
        world::{Gateway, Request, Sealed, Sender, Slot, World},
    },
    memo::Known,
    premise::Noted,
    shared::{Shared, fingerprint},
};
use stateright::{Model, Property};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};
use vatic_core::{
    command::{Applied, Command, Decision, Standing},
    coordinator::{Coordinator, Effect, Event},
    draft::Draft,
    id::Tid,
    rules::Rules,
};

/// A scenario under a set of rules.
#[derive(Debug)]
pub struct Scroll {
    /// The scenario.
    pub scenario: Scenario,
    /// What the client sends.
    pub stream: Stream,
    pub(crate) rules: Rules,
    pub(crate) handled: Known<(Slot, Vec<Effect>)>,
    appended: Known<(Shared<Ledger>, Vec<Applied>)>,
    receipt_noted: AtomicBool,
    pub(crate) noted: Noted,
}

/// What can happen next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A transition reaches the gateway.
    Arrive {
        /// Which one, from 0.
        at: usize,
        /// Whether its bytes were changed on the way.
        damaged: bool,
    },
    /// The gateway stages what it has for a group.
    Stage {
        /// The group, by place.
        group: usize,
    },
    /// The commit frame arrives, and something is handed to a driver.
    Seal {
        /// What is handed over in place of what the draft yields.
        forgery: Option<Forgery>,
    },
    /// A group applies an entry.
    Entry {
        /// The group, by place.
        group: usize,
        /// Its commands.
        batch: Vec<Request>,
        /// Whether the replies arrive.
        heard: bool,
    },
    /// The driver stops waiting for votes.
    GiveUp,
    /// Somebody who met the transaction in a group recovers it.
    Recover {
        /// The group, by place.
        group: usize,
    },
    /// A group is opened anew.
    Crash {
        /// The group, by place.
        group: usize,
    },
}

impl Model for Scroll {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let spec = spec(self.scenario.groups);
        let open = |at| Shared::new(Ledger::open(at, spec.clone(), self.rules));
        let mut requests = BTreeSet::new();
        if self.scenario.rival {
            let (group, command) = (self.scenario.groups - 1, Shared::new(self.stream.rival()));
            requests.insert(Request { from: Sender::Rival, group, round: None, command });
        }
        vec![World {
            gateway: Gateway::Streaming(Shared::new(self.stream.begin())),
            ledgers: (0..self.scenario.groups).map(open).collect(),
            machines: [Slot::Idle, Slot::Idle],
            requests: Shared::new(requests),
            receipts: BTreeSet::new(),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.noted.look(property::PREMISES, self, world);
        let broken = world.ledgers.iter().any(|ledger| ledger.broken.is_some());
        if broken || world.machines.iter().any(|slot| matches!(slot, Slot::Failed(_))) {
            return;
        }
        if let Gateway::Streaming(_) = &world.gateway {
            for at in 0..self.stream.deltas.len() {
                steps.extend([false, true].map(|damaged| Step::Arrive { at, damaged }));
            }
            let groups = 0..self.scenario.groups;
            steps
                .extend(groups.filter(|_| self.scenario.stages).map(|group| Step::Stage { group }));
            steps.push(Step::Seal { forgery: None });
            let forgeries = self.scenario.forgeries.iter().copied().map(Some);
            steps.extend(forgeries.map(|forgery| Step::Seal { forgery }));
        }
        self.entry_steps(world, steps);
        let undecided = |slot: &Slot| slot.machine().is_some_and(|m| m.decision().is_none());
        steps.extend(
            (self.scenario.gives_up && undecided(&world.machines[0])).then_some(Step::GiveUp),
        );
        let groups = || 0..self.scenario.groups;
        if self.scenario.recovers && world.machines[1] == Slot::Idle {
            steps.extend(groups().map(|group| Step::Recover { group }));
        }
        steps.extend(groups().map(|group| Step::Crash { group }));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Arrive { at, damaged } => self.arrive(&mut world, at, damaged),
            Step::Stage { group } => self.stage(&mut world, group),
            Step::Seal { forgery } => self.seal(&mut world, forgery),
            Step::Entry { group, batch, heard } => self.append(&mut world, group, &batch, heard),
            Step::GiveUp => self.feed(&mut world, 0, Event::GiveUp),
            Step::Recover { group } => self.recover(&mut world, group),
            Step::Crash { group } => {
                let reopened = world.ledgers[group].reopen(self.rules);
                if reopened != *world.ledgers[group] {
                    world.ledgers[group] = Shared::new(reopened);
                }
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let witnesses = self.scenario.witnesses.iter();
        let sometimes = witnesses.map(|witness| Property::sometimes(witness.name, witness.shows));
        property::always().into_iter().chain(sometimes).collect()
    }
}

impl Scroll {
    /// A scenario under a set of rules.
    pub fn new(scenario: Scenario, rules: Rules) -> Scroll {
        Scroll {
            stream: Stream::new(&scenario),
            scenario,
            rules,
            handled: Known::default(),
            appended: Known::default(),
            receipt_noted: AtomicBool::new(false),
            noted: Noted::default(),
        }
    }

    /// The transaction's id, once something of it was sealed.
    pub fn tid(&self, world: &World) -> Option<Tid> {
        match &world.gateway {
            Gateway::Sealed(sealed) => Some(sealed.body.tid),
            Gateway::Streaming(draft) => draft.tid(),
        }
    }

    pub(crate) fn noted_a_receipt(&self) -> bool {
        self.receipt_noted.swap(true, Ordering::Relaxed)
    }

    fn entry_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let fates: &[bool] = if self.scenario.loses { &[true, false] } else { &[true] };
        for (group, ledger) in world.ledgers.iter().enumerate() {
            if ledger.entries() >= self.scenario.entries_max {
                continue;
            }
            let here = || world.requests.iter().filter(|request| request.group == group);
            let single = here().map(|request| vec![request.clone()]);
            let pairs =
                here().flat_map(|first| here().map(|second| vec![first.clone(), second.clone()]));
            let pairs = pairs.filter(|pair| self.scenario.batch_max > 1 && pair[0] != pair[1]);
            for batch in single.chain(pairs) {
                for &heard in fates {
                    steps.push(Step::Entry { group, batch: batch.clone(), heard });
                }
            }
        }
    }

    fn arrive(&self, world: &mut World, at: usize, damaged: bool) {
        let Gateway::Streaming(draft) = &world.gateway else { return };
        let mut next = Draft::clone(draft);
        let chained = self.scenario.chained;
        let seq = chained.then_some(at as u64 + 1);
        let digest = chained.then(|| self.stream.digests[at]);
        let room = (draft.seal().count as usize) < self.stream.deltas.len();
        if room && next.push(self.stream.delta(at, damaged), seq, digest).is_ok() {
            world.gateway = Gateway::Streaming(Shared::new(next));
        }
    }

    fn stage(&self, world: &mut World, group: usize) {
        let Gateway::Streaming(draft) = &world.gateway else { return };
        let mut next = Draft::clone(draft);
        let taken = next.take_to_stage(group_id(group), 1);
        let Some(tid) = next.tid().filter(|_| !taken.is_empty()) else { return };
        if self.scenario.damages_stages {
            let mut transitions = taken.clone();
            transitions[0].delta = self.stream.delta(transitions[0].seq as usize - 1, true);
            let command = Shared::new(Command::Stage { tid, transitions });
            world.requests.insert(Request { from: Sender::Forger, group, round: None, command });
        }
        let command = Shared::new(Command::Stage { tid, transitions: taken });
        world.requests.insert(Request { from: Sender::Gateway, group, round: None, command });
        world.gateway = Gateway::Streaming(Shared::new(next));
    }

    fn seal(&self, world: &mut World, forgery: Option<Forgery>) {
        let Gateway::Streaming(draft) = &world.gateway else { return };
        let seal = draft.seal();
        let same = seal.head == self.stream.seal.head || !self.scenario.chained;
        if seal.count != self.stream.seal.count || !same {
            return;
        }
        let Some(sealed) = self.stream.seal(draft, forgery) else { return };
        let (tid, body) = (sealed.body.tid, sealed.body.digest());
        let driver = Coordinator::drive(tid, Some(body), &sealed.body.groups(), self.rules);
        world.gateway = Gateway::Sealed(Shared::new(sealed));
        world.machines[0] = Slot::Working(Shared::new(driver));
        self.feed(world, 0, Event::Start);
    }

    fn append(&self, world: &mut World, group: usize, batch: &[Request], heard: bool) {
        let Some(tid) = self.tid(world) else { return };
        let before = &world.ledgers[group];
        let commands: Vec<Shared<Command>> = batch.iter().map(|r| r.command.clone()).collect();
        let place = (before.fingerprint(), fingerprint(&(&commands, tid)));
        let appended = self.appended.recall(place, || self.append_now(before, &commands, tid));
        let (after, applied) = &*appended;
        world.ledgers[group] = after.clone();
        if !heard {
            return;
        }
        for (request, applied) in batch.iter().zip(applied) {
            let Sender::Machine(machine) = request.from else { continue };
            let Applied { reply, proof } = applied.clone();
            let group = group_id(group);
            let event = match request.round {
                Some(round) => Event::Reply { group, round, reply, proof },
                None => Event::Acked { group },
            };
            self.feed(world, machine, event);
        }
    }

    fn append_now(
        &self,
        before: &Ledger,
        commands: &[Shared<Command>],
        tid: Tid,
    ) -> (Shared<Ledger>, Vec<Applied>) {
        let (mut after, applied) = before.append(commands, Some(tid));
        let receipt = catching(|| after.group.outcome(&after.state, tid).receipt);
        match receipt {
            Ok(receipt) => after.kept = receipt.map(|receipt| self.stream.issued(receipt)),
            Err(panic) => after.broken = Some(panic),
        }
        let votes = |standing: &Standing| {
            matches!(standing, Standing::Yes { .. } | Standing::Decided(Decision::Committed { .. }))
        };
        let (watched, last) = (&self.stream.watched, group_id(self.scenario.groups - 1));
        let overwritten = before.group.peek(&before.state, watched).0.fields.is_some();
        let fresh = !votes(&before.standing) && votes(&after.standing);
        after.stale_yes |= fresh && overwritten && before.group.id() == last;
        (Shared::new(after), applied)
    }

    fn recover(&self, world: &mut World, group: usize) {
        let (Some(tid), ledger) = (self.tid(world), &world.ledgers[group]) else { return };
        let mut records = ledger.group.unsettled(&ledger.state, tid.mint).into_iter();
        let Some(met) = records.find(|record| record.tid == tid) else { return };
        let machine = Coordinator::recover(tid, met.body, &met.participants, self.rules);
        world.machines[1] = Slot::Working(Shared::new(machine));
        self.feed(world, 1, Event::Start);
    }
}

/// The body that a receipt would be of.
pub(crate) fn sealed(world: &World) -> Option<&Sealed> {
    match &world.gateway {
        Gateway::Sealed(sealed) => Some(sealed),
        Gateway::Streaming(_) => None,
    }
}
