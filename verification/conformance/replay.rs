//! Plays a recording again through the core.

use super::{
    Conformance,
    play::{Machine, Play, Step},
    projections,
    tape::{Asked, Tape},
};
use crate::{
    sim_state::SimState,
    world::{SimGroup, World, found},
};
use std::{cell::RefCell, rc::Rc};
use vatic_core::{group::Group, rules::Rules};

/// Differences that are told of one run.
const DIFFERENCES_MAX: usize = 20;

pub(super) fn replay(world: &World, rules: Rules) -> Conformance {
    let mut conformance = Conformance::default();
    let unrecorded = Tape::default();
    let tape = world.tape.as_ref().unwrap_or(&unrecorded);
    for (at, group) in world.groups.iter().enumerate() {
        let mut asked: Vec<&Asked> =
            tape.queries.iter().filter(|asked| asked.group == at).collect();
        asked.sort_by_key(|asked| asked.index);
        Stage { group, rules, conformance: &mut conformance }.play(&asked);
    }
    let (plays, told) = (&tape.coordinators, &mut conformance.differences);
    conformance.coordinator_events = plays.iter().map(|play| again(play, rules, told)).sum();
    let (plays, told) = (&tape.reads, &mut conformance.differences);
    conformance.read_events = plays.iter().map(|play| again(play, rules, told)).sum();
    let (plays, told) = (&tape.queues, &mut conformance.differences);
    conformance.queue_events = plays.iter().map(|play| again(play, rules, told)).sum();
    conformance.projections = projections::follow(world);
    conformance
}

/// One group, begun anew.
struct Stage<'w> {
    group: &'w SimGroup,
    rules: Rules,
    conformance: &'w mut Conformance,
}

impl Stage<'_> {
    fn play(&mut self, asked: &[&Asked]) {
        let (mut state, mut asked) = (SimState::default(), asked.iter().peekable());
        let mut machine = Group::open(self.group.id, &state, self.rules);
        for (at, (entry, result)) in self.group.log.iter().zip(&self.group.results).enumerate() {
            let index = at as u64 + 1;
            // Indexes that hold nothing of ours are no entries of the machine's.
            if result.chain.index == index {
                let commands = entry.commands().map(|command| command.bytes.as_slice());
                let Ok(applied) = machine.apply_entry(&mut state, index, commands) else {
                    return self.differs(index, "the group halts");
                };
                self.conformance.commands += applied.len() as u64;
                if applied != result.applied {
                    return self.differs(index, "other replies");
                }
            }
            if machine.chain() != result.chain || state.digest() != result.state {
                return self.differs(index, "another chain or state");
            }
            while let Some(asked) = asked.next_if(|asked| asked.index <= index) {
                self.conformance.queries += 1;
                if found(&machine, &state, &asked.query) != *asked.found {
                    self.differs(index, &format!("another answer to {:?}", asked.query));
                }
            }
        }
    }

    fn differs(&mut self, index: u64, how: &str) {
        let told = &mut self.conformance.differences;
        tell(told, format!("group {}, entry {index}: {how}", self.group.id));
    }
}

/// Gives the number of events.
fn again<M: Machine>(
    play: &Rc<RefCell<Play<M>>>,
    rules: Rules,
    differences: &mut Vec<String>,
) -> u64 {
    let play = play.borrow();
    let mut machine = M::begin(&play.beginning, rules);
    let mut events = 0;
    for step in &play.steps {
        match step {
            Step::Handled(event) => {
                events += 1;
                machine.handle(event.clone());
            }
            Step::Polled(effect) => {
                let now = machine.poll();
                if now != *effect {
                    let before = format!("{effect:?} after {events} events");
                    tell(differences, format!("{before}, and again: {now:?}"));
                    return events;
                }
            }
        }
    }
    events
}

fn tell(differences: &mut Vec<String>, difference: String) {
    if differences.len() < DIFFERENCES_MAX {
        differences.push(difference);
    }
}
