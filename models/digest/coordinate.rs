//! The driver and the recoverer: the core's coordinators, with what the server does of a receipt.

use crate::{
    check::catching,
    commit::client::place_of,
    digest::{
        model::{Scroll, sealed},
        world::{Request, Sender, Slot, World},
    },
    shared::{Shared, fingerprint},
};
use vatic_core::{
    command::{Command, Decision},
    coordinator::{Answer, Coordinator, Effect, Event},
    receipt::Receipt,
};

impl Scroll {
    /// Hands an event to a coordinator and sends what follows from it.
    pub(crate) fn feed(&self, world: &mut World, at: usize, event: Event) {
        let Slot::Working(machine) = &world.machines[at] else { return };
        let place = (machine.fingerprint(), fingerprint(&event));
        let handled = self.handled.recall(place, || handle(machine, event));
        let (slot, effects) = &*handled;
        world.machines[at] = slot.clone();
        let Slot::Working(machine) = slot else { return };
        for effect in effects {
            self.carry_out(world, at, machine, effect);
        }
    }

    fn carry_out(&self, world: &mut World, at: usize, machine: &Coordinator, effect: &Effect) {
        let (tid, body) = (machine.tid(), machine.body());
        let (group, round, command) = match effect {
            Effect::Vote { group, round } => {
                let sealed = sealed(world).expect("drivers have a body");
                (group, Some(*round), sealed.votes[&place_of(*group)].clone())
            }
            Effect::Force { group, round } => {
                let participants = machine.participants();
                (group, Some(*round), Shared::new(Command::Force { tid, body, participants }))
            }
            Effect::Decide { group, decision } => {
                let (home, decision) = (*group == tid.home, decision.clone());
                let proofs = if home { machine.proofs() } else { Vec::new() };
                (group, None, Shared::new(Command::Decide { tid, body, decision, proofs }))
            }
            Effect::Answer(answer) => return self.answer(world, at, machine, answer),
            Effect::Settled => return,
        };
        let (from, group) = (Sender::Machine(at), place_of(*group));
        world.requests.insert(Request { from, group, round, command });
    }

    /// The driver gives the receipt out with the outcome, where it saw every vote's proof.
    fn answer(&self, world: &mut World, at: usize, machine: &Coordinator, answer: &Answer) {
        let Answer::Decided(Decision::Committed { ts }) = *answer else { return };
        let Some(sealed) = sealed(world).filter(|_| at == 0) else { return };
        let proofs = machine.proofs();
        if proofs.len() == sealed.body.participants.len() {
            let receipt = Receipt::new(sealed.body.clone(), ts, proofs);
            world.receipts.insert(self.stream.issued(receipt));
        }
    }
}

fn handle(machine: &Coordinator, event: Event) -> (Slot, Vec<Effect>) {
    let handled = catching(|| {
        let mut next = machine.clone();
        next.handle(event);
        let effects = std::iter::from_fn(|| next.poll()).collect();
        (next, effects)
    });
    match handled {
        Ok((next, effects)) => (Slot::Working(Shared::new(next)), effects),
        Err(panic) => (Slot::Failed(panic), Vec::new()),
    }
}
