//! Coordinators in the model: started, fed, stopped, and watched.
//!
//! What a coordinator does is the core's; here its effects become requests that stay on their way
//! for ever, and the observer notes what only somebody who sees every group can know.

use crate::{
    commit::{
        client::{Sealed, group_id, place_of},
        memo::{Applied, Deed},
        model::{Fate, Spine},
        site::Site,
        world::{Client, Delivery, Fault, Machine, Request, Slot, World},
    },
    shared::Shared,
};
use vatic_core::{
    command::{Command, Decision, Reply, Standing},
    coordinator::{Coordinator, Effect, Event},
    hash::Hash,
    id::{GroupId, Tid, Timestamp},
};

impl Spine {
    /// Hands a sealed transaction to its driver.
    pub(crate) fn start_driver(&self, world: &mut World, at: usize, sealed: &Sealed) {
        for (&group, command) in &sealed.stages {
            let command = command.clone();
            world.requests.insert(Request { machine: at, plan: at, group, round: None, command });
        }
        let body = &sealed.body;
        let coordinator =
            Coordinator::drive(body.tid, Some(body.digest()), &body.groups(), self.rules);
        let host = self.host(place_of(body.tid.home));
        let driver = Machine { coordinator, plan: at, host, broken: None };
        world.machines[at] = Slot::Working(Shared::new(driver));
        self.feed(world, at, Event::Start);
    }

    /// A group applies a command; its reply meets its fate.
    pub(crate) fn apply_request(&self, world: &mut World, request: &Request, fate: Fate) {
        let Request { machine, group, round, command, .. } = request.clone();
        let applied = self.memo.apply(&world.sites[group], &command);
        world.sites[group] = applied.site.clone();
        self.observe(world, request, &applied);
        if matches!(*command, Command::Stage { .. }) {
            return;
        }
        let Some(reply) = applied.reply.clone() else { return };
        let delivery = Delivery { machine, group, round, reply };
        match fate {
            Fate::Arrives => self.deliver(world, &delivery),
            Fate::Lost => {}
            Fate::Late => world.replies.insert(delivery),
        }
    }

    /// A coordinator receives a reply.
    pub(crate) fn deliver(&self, world: &mut World, delivery: &Delivery) {
        let Delivery { machine, group, round, reply } = delivery.clone();
        let group = group_id(group);
        let event = match round {
            Some(round) => Event::Reply { group, round, reply: Reply::clone(&reply), proof: None },
            None => Event::Acked { group },
        };
        self.feed(world, machine, event);
    }

    /// Somebody who met a transaction in a group starts to recover it.
    pub(crate) fn recover(
        &self,
        world: &mut World,
        machine: usize,
        (group, wanted): (usize, usize),
    ) {
        let mint = Timestamp(self.scenario.plans[wanted].identity);
        let Some((tid, body, participants)) = met(&world.sites[group], mint) else { return };
        let meant = |client: &Shared<Client>| {
            let sealed = client.sealed.as_ref();
            sealed.is_some_and(|sealed| body.is_some_and(|body| sealed.body.digest() == body))
        };
        let plan = world.clients.iter().position(meant).unwrap_or(wanted);
        let coordinator = Coordinator::recover(tid, body, &participants, self.rules);
        let recoverer = Machine { coordinator, plan, host: self.host(group), broken: None };
        world.machines[machine] = Slot::Working(Shared::new(recoverer));
        self.feed(world, machine, Event::Start);
    }

    /// A group's leader crashes: what lives on its node is gone, and the group is opened anew.
    pub(crate) fn crash(&self, world: &mut World, group: usize) {
        for slot in &mut world.machines {
            if slot.machine().is_some_and(|machine| machine.host == Some(group)) {
                *slot = Slot::Stopped;
            }
        }
        self.memo.hear(group_id(group), || Deed::Reopened);
        let reopened = world.sites[group].reopen(self.rules);
        if reopened != *world.sites[group] {
            world.sites[group] = Shared::new(reopened);
        }
    }

    /// Where a coordinator lives, if that matters.
    fn host(&self, group: usize) -> Option<usize> {
        (!self.scenario.crashes.is_empty()).then_some(group)
    }

    /// Hands an event to a coordinator and sends what follows from it.
    pub(crate) fn feed(&self, world: &mut World, at: usize, event: Event) {
        let Slot::Working(machine) = &world.machines[at] else { return };
        let handled = self.memo.handle(machine, event);
        world.machines[at] = Slot::Working(handled.machine.clone());
        for effect in &handled.effects {
            self.carry_out(world, at, &handled.machine, effect);
        }
    }

    fn carry_out(&self, world: &mut World, at: usize, machine: &Machine, effect: &Effect) {
        let Machine { coordinator, plan, .. } = machine;
        let (tid, body) = (coordinator.tid(), coordinator.body());
        let mut send = |group: GroupId, round, command| {
            let group = place_of(group);
            let request = Request { machine: at, plan: *plan, group, round, command };
            world.requests.insert(request);
        };
        match effect {
            Effect::Vote { group, round } => {
                let sealed = world.clients[*plan].sealed.as_ref().expect("drivers have a body");
                let vote = sealed.votes[&place_of(*group)].clone();
                send(*group, Some(*round), vote);
            }
            Effect::Force { group, round } => {
                let participants = coordinator.participants();
                let force = Command::Force { tid, body, participants };
                send(*group, Some(*round), Shared::new(force));
            }
            Effect::Decide { group, decision } => {
                let decision = decision.clone();
                let decide = Command::Decide { tid, body, decision, proofs: Vec::new() };
                send(*group, None, Shared::new(decide));
            }
            Effect::Answer(answer) => world.log.update(|log| log.answer(*plan, answer)),
            Effect::Settled => note_settled(world, machine),
        }
    }

    /// Notes what only somebody who sees everything can know.
    fn observe(&self, world: &mut World, request: &Request, applied: &Applied) {
        let (Some(before), Some(after)) = (&applied.before, &applied.after) else { return };
        let Some(tid) = request.command.tid() else { return };
        let (group, asked) = (request.group, request.plan);
        let is_vote = matches!(*request.command, Command::Vote(_));
        if is_vote && *before == Standing::None && voted_yes(after) {
            world.log.update(|log| log.voted[asked][group] = true);
        }
        if let (false, Standing::Decided(decision)) = (decided(before), after) {
            let plan = self.voted_plan(world, group, tid).unwrap_or(asked);
            world.log.update(|log| log.decide(plan, group, decision));
        }
    }

    /// The plan on whose body a group voted Yes.
    fn voted_plan(&self, world: &World, group: usize, tid: Tid) -> Option<usize> {
        let named = |plan: usize| {
            let sealed = world.clients[plan].sealed.as_ref();
            sealed.is_some_and(|sealed| sealed.tid() == tid)
        };
        (0..world.clients.len()).find(|&plan| named(plan) && world.log.voted[plan][group])
    }
}

/// What somebody who looks in a group learns of a transaction that is not finished there.
fn met(site: &Site, mint: Timestamp) -> Option<(Tid, Option<Hash>, Vec<GroupId>)> {
    let mut records = site.group.unsettled(&site.state, mint).into_iter();
    let record = records.find(|record| record.tid.mint == mint)?;
    Some((record.tid, record.body, record.participants))
}

fn voted_yes(standing: &Standing) -> bool {
    matches!(standing, Standing::Yes { .. })
        || matches!(standing, Standing::Decided(decision) if commits(decision))
}

fn decided(standing: &Standing) -> bool {
    matches!(standing, Standing::Decided(_))
}

fn commits(decision: &Decision) -> bool {
    matches!(decision, Decision::Committed { .. })
}

/// Notes a report that all participants have applied the decision, and whether they have.
fn note_settled(world: &mut World, machine: &Machine) {
    let Machine { coordinator, plan, .. } = machine;
    let applied = |group: GroupId| {
        let standing = world.sites[place_of(group)].standing(coordinator.tid());
        matches!(*standing, Standing::Decided(_) | Standing::Stale(_))
    };
    let early = !coordinator.participants().into_iter().all(applied);
    world.log.update(|log| {
        log.settled |= 1 << plan;
        log.faults.extend(early.then_some(Fault::SettledEarly));
    });
}
