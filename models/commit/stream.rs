//! Streams that are not sealed yet: what they stage is on its way, and they may be ended.
//!
//! A gateway ends a stream by the core's own rule, for what the core finds of its reads at any
//! moment; its client may abort it whatever is found. Either way the client is told at once, and
//! what was staged is freed by a forced No, which may come late or never. Of what is sealed nobody
//! is told but by its votes; its client may leave it to itself and send the next attempt of its
//! request.
//!
//! That a gateway waits before it seals (`resolve`) needs no step of its own: any step may wait for
//! any other one.

use crate::{
    commit::{
        client::{Observed, place_of},
        model::{Spine, Step},
        world::{Client, Outcome, Reason, Request, World},
    },
    shared::Shared,
};
use vatic_core::{body::KeyRead, command::Command, draft::Draft, strategy::Basis};

impl Spine {
    pub(crate) fn stream_steps(&self, world: &World, steps: &mut Vec<Step>) {
        let told = |plan: usize| world.log.outcomes[plan].is_some();
        let streams = world.clients.iter().enumerate().filter(|(at, client)| {
            let streamed = self.scenario.plans[*at].streamed;
            streamed && !told(*at) && (client.open.is_some() || client.sealed.is_some())
        });
        for (at, client) in streams {
            steps.push(Step::End(at));
            steps.extend(client.open.is_some().then_some(Step::Abort(at)));
        }
    }

    /// All has been taken in and staged; the seal comes with the next step.
    pub(crate) fn stream(&self, world: &mut World, at: usize, client: Client, mut draft: Draft) {
        let tid = draft.tid().expect("it touched a record");
        for group in draft.groups() {
            let transitions = draft.take_to_stage(group, 1);
            if !transitions.is_empty() {
                let command = Shared::new(Command::Stage { tid, transitions });
                let group = place_of(group);
                let request = Request { machine: at, plan: at, group, round: None, command };
                world.requests.insert(request);
            }
        }
        let open = Some(Shared::new(draft));
        world.clients[at] = Shared::new(Client { open, ..client });
    }

    pub(crate) fn look_at_reads(&self, world: &mut World, at: usize) {
        let client = world.clients[at].clone();
        let rests_on_reads = client.open.as_ref().is_none_or(|it| it.basis() == Basis::Reads);
        let (mut ends, mut holds) = (false, true);
        for (item, observed) in self.scenario.plans[at].reads.iter().zip(&client.seen) {
            let Observed::Record(seen) = &**observed else { continue };
            let site = &world.sites[self.atlas.place(item.keys()[0])];
            let reads = [KeyRead { key: seen.key.clone(), version: seen.version }];
            let found = site.group.disturbed(&site.state, &reads);
            ends |= found.iter().any(|found| found.ends(client.open.as_deref(), self.rules));
            holds &= site.group.peek(&site.state, &seen.key).0.version == seen.version;
        }
        if ends {
            world.log.update(|log| {
                log.stopped = true;
                log.rash |= holds || !rests_on_reads;
            });
            self.end_stream(world, at);
        }
    }

    /// Its client is told that it is rolled back, and what was staged is freed.
    pub(crate) fn end_stream(&self, world: &mut World, at: usize) {
        world.log.update(|log| log.tell(at, Outcome::RolledBack(Reason::Ended)));
        let mut client = Client::clone(&world.clients[at]);
        let Some(draft) = client.open.take() else { return };
        let tid = draft.tid().expect("it touched a record");
        for group in draft.groups() {
            let command = Command::Force { tid, body: None, participants: vec![group] };
            let (group, command) = (place_of(group), Shared::new(command));
            world.requests.insert(Request { machine: at, plan: at, group, round: None, command });
        }
        world.clients[at] = Shared::new(client);
    }
}
