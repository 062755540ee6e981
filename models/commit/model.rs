//! The model: the commit protocol of the core in a small world, every step of it in any order.
//!
//! A step lets one group apply one command or answer one read, or one coordinator or client go on.
//! All of that is the core's own code; here is only what may happen next.
//!
//! # What is abstracted away, and why that is sound
//!
//! - **The Raft log.** A group is one machine that applies commands atomically, one after the
//!   other. Raft gives exactly that; replicas hold the same bytes because applying is
//!   deterministic. Raft itself is checked elsewhere. Reads see the applied state at one moment
//!   between question and answer, as a read index does.
//! - **Requests.** A request that was ever sent can be applied at any later time, any number of
//!   times, or never. So loss, delay, repetition and reordering need no steps of their own, and
//!   neither do retries, which would send what is already there.
//! - **Replies.** A late reply lets a coordinator act on older news than it could have. What it
//!   then sends is late in every scenario; what it makes of old news is checked where that is the
//!   question: in scenarios with `late_replies_max` any reply may be lost, and as many as the bound
//!   says may arrive at any later time, repeatedly. Elsewhere a reply arrives with the step that
//!   made it, or the coordinator has stopped before.
//! - **Crashes.** A coordinator that stops is gone with all that it knew, while what it sent is
//!   still on its way. One that is started again has lost its memory: it is a recoverer, which
//!   knows what the record says that it met in a group. A group's state is durable, and all else of
//!   it volatile: that a group opened anew on its state is the same group is checked after every
//!   command, and where `crashes` says so its leader may crash at any time, which takes the
//!   coordinators on its node along and goes on with the group as it is opened anew.
//! - **The digest chain** of a group only grows with every entry and no rule reads it: it is left
//!   out by using `Group::apply` in place of `Group::apply_entry`. Receipts have a model.
//! - **Time.** Deadlines may pass at any moment: giving up, recovering, forgetting and advancing
//!   are steps without conditions on time. Proposers' clocks are the hints that the scenario sets.
//! - **Housekeeping proposals** (forget, advance, collect) are applied in the step in which they
//!   are proposed. What they rest on is stable: a decided transaction stays decided, a clock never
//!   goes back. Proposing early and applying late adds nothing.

use crate::{
    commit::{
        client::{Atlas, group_id},
        memo::{Heard, Memo},
        plan::{Plan, ReaderKind, Scenario},
        premise, property,
        reader::Reading,
        reduce::reduce,
        site::Site,
        witness,
        world::{Client, Delivery, Log, Outcome, Reader, Request, Slot, World},
    },
    premise::Noted,
    shared::Shared,
};
use stateright::{Model, Property};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
};
use vatic_core::{
    command::{Command, Config, Standing},
    coordinator::Event,
    draft::Draft,
    id::Timestamp,
    limits::Limits,
    policy::{Policies, Policy, Validation},
    rules::Rules,
    strategy::Strategy,
};

/// A scenario under a set of rules.
#[derive(Debug)]
pub struct Spine {
    /// The scenario.
    pub scenario: Scenario,
    /// The rules in force.
    pub rules: Rules,
    /// Where its records lie.
    pub atlas: Atlas,
    pub(crate) memo: Memo,
    /// Whether a commit was seen: the first path to one is enough.
    commit_noted: AtomicBool,
    pub(crate) noted: Noted,
}

/// What can happen next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// A client begins, or reads its next item; after the last one it seals its transaction and
    /// hands it to a driver.
    Client(usize),
    /// A client aborts its stream, which is not sealed.
    Abort(usize),
    /// A gateway looks whether what its stream has read still holds, and ends it if it must.
    End(usize),
    /// A group applies a command that was sent to it.
    Apply(Request, Fate),
    /// A coordinator receives a late reply.
    Deliver(Delivery),
    /// A coordinator stops, with all that it knew.
    Stop(usize),
    /// A driver stops waiting for votes.
    GiveUp(usize),
    /// Somebody who met the transaction in a group starts to recover it.
    Recover {
        /// The coordinator to start.
        machine: usize,
        /// The group, by place.
        group: usize,
        /// The plan of the transaction.
        plan: usize,
    },
    /// A group's leader crashes, and with it the coordinators that live there.
    Crash {
        /// The group, by place.
        group: usize,
    },
    /// A reader begins, or reads in a group.
    Read {
        /// The reader.
        reader: usize,
        /// The group, by place; for a strict read, the question's place.
        at: usize,
    },
    /// A group's leader forces the vote of a transaction whose stage looks abandoned.
    Sweep {
        /// The group, by place.
        group: usize,
    },
    /// A group is told to forget what was minted up to a plan's time.
    Forget {
        /// The group, by place.
        group: usize,
        /// The plan.
        plan: usize,
    },
    /// A group is told to raise its clock.
    Advance {
        /// The group, by place.
        group: usize,
        /// The clock to reach.
        to: u64,
    },
    /// A group is told to raise its horizon and remove what is due.
    Collect {
        /// The group, by place.
        group: usize,
        /// The horizon to reach.
        horizon: u64,
    },
}

/// What becomes of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It arrives with the step that made it.
    Arrives,
    /// It never arrives.
    Lost,
    /// It may arrive later, repeatedly.
    Late,
}

impl Model for Spine {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let Scenario { plans, readers, recoverers, .. } = &self.scenario;
        let open = |place| {
            let site = Site::open(group_id(place), self.rules);
            let apply = |site: Site, command| site.apply(&command, self.rules).0;
            Shared::new(self.founding(place).into_iter().fold(site, apply))
        };
        vec![World {
            sites: (0..self.scenario.groups()).map(open).collect(),
            clients: vec![Shared::new(Client::default()); plans.len()],
            machines: vec![Slot::Idle; plans.len() + recoverers.len()],
            requests: Shared::new(BTreeSet::new()),
            replies: Shared::new(BTreeSet::new()),
            readers: vec![Shared::new(Reader::default()); readers.len()],
            log: Shared::new(Log::new(plans.len(), self.scenario.ops())),
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.noted.look(premise::PREMISES, self, world);
        if world.is_broken() {
            return;
        }
        self.client_steps(world, steps);
        self.stream_steps(world, steps);
        self.apply_steps(world, steps);
        steps.extend(world.replies.iter().cloned().map(Step::Deliver));
        self.recovery_steps(world, steps);
        self.read_steps(world, steps);
        let Scenario { crashes, forgets, advances, collects, .. } = &self.scenario;
        if self.scenario.plans.iter().any(|plan| plan.staged) {
            steps.extend((0..world.sites.len()).map(|group| Step::Sweep { group }));
        }
        steps.extend(crashes.iter().map(|&group| Step::Crash { group }));
        steps.extend(forgets.iter().map(|&(group, plan)| Step::Forget { group, plan }));
        steps.extend(advances.iter().map(|&(group, to)| Step::Advance { group, to }));
        steps.extend(collects.iter().map(|&(group, horizon)| Step::Collect { group, horizon }));
    }

    fn next_state(&self, last: &World, step: Step) -> Option<World> {
        let mut world = last.clone();
        match step {
            Step::Client(plan) => self.step_client(&mut world, plan),
            Step::Abort(plan) => self.end_stream(&mut world, plan),
            Step::End(plan) => self.look_at_reads(&mut world, plan),
            Step::Apply(request, fate) => self.apply_request(&mut world, &request, fate),
            Step::Deliver(delivery) => self.deliver(&mut world, &delivery),
            Step::Stop(machine) => world.machines[machine] = Slot::Stopped,
            Step::GiveUp(machine) => self.feed(&mut world, machine, Event::GiveUp),
            Step::Recover { machine, group, plan } => {
                self.recover(&mut world, machine, (group, plan));
            }
            Step::Crash { group } => self.crash(&mut world, group),
            Step::Read { reader, at } => self.step_reader(&mut world, reader, at),
            Step::Sweep { group } => self.sweep(&mut world, group),
            Step::Forget { group, plan } => self.forget(&mut world, group, plan),
            Step::Advance { group, to } => {
                self.apply(&mut world, group, Command::Advance { to: Timestamp(to) });
            }
            Step::Collect { group, horizon } => {
                let horizon = Timestamp(horizon);
                self.apply(&mut world, group, Command::Collect { horizon, items_max: 100 });
            }
        }
        if self.scenario.reduced {
            reduce(&mut world);
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let Scenario { witnesses, stops, crashes, .. } = &self.scenario;
        let crashed = (!stops.is_empty() || !crashes.is_empty()).then_some(&witness::CRASHED);
        let witnesses = witnesses.iter().chain(crashed);
        let sometimes = witnesses.map(|witness| Property::sometimes(witness.name, witness.shows));
        property::always().into_iter().chain(sometimes).collect()
    }
}

impl Spine {
    /// A scenario under a set of rules.
    pub fn new(scenario: Scenario, rules: Rules) -> Spine {
        let atlas = Atlas::new(scenario.groups(), &scenario.keys);
        let (memo, commit_noted) = (Memo::new(rules), AtomicBool::new(false));
        Spine { scenario, rules, atlas, memo, commit_noted, noted: Noted::default() }
    }

    /// As [`Spine::new`], for whoever follows a path and wants to know what groups do on it.
    pub fn heard(scenario: Scenario) -> Spine {
        let rules = Rules::default();
        Spine { memo: Memo::heard(rules), ..Spine::new(scenario, rules) }
    }

    /// What groups did since this was asked last, in order.
    pub fn take_heard(&self) -> Vec<Heard> {
        self.memo.take_heard()
    }

    pub(crate) fn noted_a_commit(&self) -> bool {
        self.commit_noted.swap(true, Ordering::Relaxed)
    }

    /// A reader's view of a state.
    pub fn reading<'a>(&'a self, world: &'a World, reader: usize) -> Reading<'a> {
        let plan = &self.scenario.readers[reader];
        Reading { plan, atlas: &self.atlas, sites: &world.sites, rules: self.rules }
    }

    /// What a group applies before anything else: that it enforces forecasts in every collection,
    /// if it does.
    pub fn founding(&self, group: usize) -> Option<Command> {
        self.scenario.enforces.contains(&group).then(|| self.enforcement())
    }

    fn enforcement(&self) -> Command {
        let policy = Policy { validation: Validation::Enforce, ..Policy::default() };
        let collections = self.scenario.keys.iter().map(|place| place.collection.to_owned());
        let set = collections.map(|collection| (collection, policy)).collect();
        let policies = Policies { version: 1, set };
        Command::Configure(Config { policies, ..Config::new(Limits::production(), None) })
    }

    fn client_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let waiting = world.clients.iter().enumerate();
        let waiting = waiting.filter(|(plan, client)| {
            let open = client.sealed.is_none() && world.log.outcomes[*plan].is_none();
            open && self.may_begin(world, &self.scenario.plans[*plan])
        });
        steps.extend(waiting.map(|(plan, _)| Step::Client(plan)));
    }

    /// Another attempt is made only of what is known to have been rolled back, unless its client
    /// does not wait for that.
    fn may_begin(&self, world: &World, plan: &Plan) -> bool {
        plan.retries.is_none_or(|first| {
            let outcome = world.log.outcomes[first];
            let left = plan.impatient && world.clients[first].sealed.is_some();
            left || matches!(outcome, Some(Outcome::RolledBack(_) | Outcome::Refused))
        })
    }

    fn apply_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let late_max = self.scenario.late_replies_max;
        let fates: &[Fate] = match late_max {
            0 => &[Fate::Arrives],
            _ if world.replies.len() < late_max => &[Fate::Arrives, Fate::Lost, Fate::Late],
            _ => &[Fate::Arrives, Fate::Lost],
        };
        let applicable = world.requests.iter().filter(|request| self.may_apply(world, request));
        for request in applicable {
            steps.extend(fates.iter().map(|&fate| Step::Apply(request.clone(), fate)));
        }
    }

    fn recovery_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let plans = self.scenario.plans.len();
        for (machine, state) in world.machines.iter().enumerate() {
            match state {
                Slot::Working(_) => {
                    let gives_up = machine < plans && self.scenario.gives_up;
                    steps.extend(gives_up.then_some(Step::GiveUp(machine)));
                    let stops = self.scenario.stops.contains(&machine);
                    steps.extend(stops.then_some(Step::Stop(machine)));
                }
                Slot::Idle if machine >= plans && self.is_next_recoverer(world, machine) => {
                    self.recover_steps(world, machine, steps);
                }
                _ => {}
            }
        }
    }

    fn recover_steps(&self, world: &World, machine: usize, steps: &mut Vec<Step>) {
        let wanted = self.scenario.recoverers[machine - self.scenario.plans.len()];
        for plan in 0..self.scenario.plans.len() {
            if plan == wanted || self.scenario.recovers_any {
                let groups = 0..world.sites.len();
                steps.extend(groups.map(|group| Step::Recover { machine, group, plan }));
            }
        }
    }

    /// Recoverers of one plan are alike, so they start in order.
    fn is_next_recoverer(&self, world: &World, machine: usize) -> bool {
        let plans = self.scenario.plans.len();
        let plan = |machine: usize| self.scenario.recoverers[machine - plans];
        (plans..machine)
            .all(|other| plan(other) != plan(machine) || world.machines[other] != Slot::Idle)
    }

    fn read_steps(&self, world: &World, steps: &mut Vec<Step>) {
        for (reader, state) in world.readers.iter().enumerate() {
            if state.end.is_some() {
                continue;
            }
            let choices = match (self.scenario.readers[reader].kind, &state.machine) {
                (ReaderKind::Get, _) | (ReaderKind::Strict { .. }, None) => 1,
                (ReaderKind::Strict { .. }, Some(_)) => state.asked.len(),
                (ReaderKind::Snapshot { .. }, _) => world.sites.len(),
            };
            steps.extend((0..choices).map(|at| Step::Read { reader, at }));
        }
    }

    /// A vote whose transitions are staged is proposed only where the stage holds them.
    fn may_apply(&self, world: &World, request: &Request) -> bool {
        let Command::Vote(vote) = &*request.command else { return true };
        let site = &world.sites[request.group];
        let waits = |plan: &Plan| plan.staged && !plan.hasty;
        let staged = |plan: &Plan| Timestamp(plan.identity) == vote.body.tid.mint && waits(plan);
        let takes_part = vote.body.segments.iter().any(|segment| segment.group == vote.part.group);
        !(takes_part && self.scenario.plans.iter().any(staged))
            || *site.standing(vote.body.tid) != Standing::None
            || site.group.staged(&site.state).contains(&vote.body.tid)
    }

    fn step_client(&self, world: &mut World, at: usize) {
        let plan = &self.scenario.plans[at];
        let mut client = Client::clone(&world.clients[at]);
        let mut snapshot = Timestamp::ZERO;
        if let Some(item) = plan.reads.get(client.seen.len()) {
            let key = item.keys()[0];
            let site = &world.sites[self.atlas.place(key)];
            let observed = match plan.strategy {
                // Such a plan reads one record, and all in one step.
                Strategy::Snapshot => {
                    snapshot = site.group.clock();
                    self.atlas.snapshot(site, key, snapshot)
                }
                _ => Some(self.atlas.peek(site, item)),
            };
            // It waits for a decision.
            let Some(observed) = observed else { return };
            client.seen.push(Shared::new(observed));
        }
        if client.seen.len() <= 1 {
            world.log.update(|log| log.begin(at));
        }
        if client.seen.len() == plan.reads.len() {
            let (draft, seen) = self.atlas.draft(plan, &client.seen, snapshot);
            let draft = match client.open.take() {
                Some(open) => Draft::clone(&open),
                None if plan.streamed => return self.stream(world, at, client, draft),
                None => draft,
            };
            client.sealed = Some(Shared::new(self.atlas.seal(plan, (draft, seen))));
        }
        let sealed = client.sealed.clone();
        world.clients[at] = Shared::new(client);
        if let Some(sealed) = sealed {
            self.start_driver(world, at, &sealed);
        }
    }

    fn step_reader(&self, world: &mut World, at: usize, choice: usize) {
        let reading = self.reading(world, at);
        let before = &world.readers[at];
        let reader =
            self.memo.read(before, (at, choice), &world.sites, |reader| match reading.plan.kind {
                ReaderKind::Get => reading.try_get(reader),
                ReaderKind::Snapshot { at } => reading.try_snapshot(reader, choice, at),
                ReaderKind::Strict { attempts_max } => {
                    match reader.asked.iter().nth(choice).cloned() {
                        Some(asked) => reading.answer(reader, &asked),
                        None => reading.start(reader, attempts_max),
                    }
                }
            });
        if reader == *before {
            return;
        }
        let op = self.scenario.op_of_reader(at);
        world.log.update(|log| {
            log.begin(op);
            if reader.end.is_some() {
                log.end(op);
            }
        });
        world.readers[at] = reader;
    }

    fn apply(&self, world: &mut World, group: usize, command: Command) {
        let applied = self.memo.apply(&world.sites[group], &Shared::new(command));
        world.sites[group] = applied.site.clone();
    }

    fn sweep(&self, world: &mut World, group: usize) {
        let site = world.sites[group].clone();
        for tid in site.group.staged(&site.state) {
            let participants = vec![site.group.id()];
            self.apply(world, group, Command::Force { tid, body: None, participants });
        }
    }

    fn forget(&self, world: &mut World, group: usize, plan: usize) {
        let tids = world.clients.iter().enumerate();
        let settled = tids
            .filter(|(plan, _)| world.log.settled & (1 << plan) != 0)
            .filter_map(|(_, client)| client.sealed.as_ref().map(|sealed| sealed.tid()));
        let settled = settled.collect();
        let watermark = Timestamp(self.scenario.plans[plan].identity);
        self.apply(world, group, Command::Forget { watermark, settled });
    }
}
