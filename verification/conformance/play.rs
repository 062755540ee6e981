//! One machine of the core, and what went in and out of it.

use std::{cell::RefCell, collections::BTreeMap, fmt::Debug, ops::Deref, rc::Rc};
use vatic_core::{
    coordinator::{self, Coordinator},
    hash::Hash,
    id::{GroupId, Tid},
    multiread::{MultiRead, ReadEffect, ReadEvent, Wanted},
    rules::Rules,
};

/// A state machine of events and effects.
pub(crate) trait Machine {
    /// What it is begun with, beside the rules.
    type Beginning;
    type Event: Clone;
    type Effect: Clone + PartialEq + Debug;

    fn begin(beginning: &Self::Beginning, rules: Rules) -> Self;
    fn handle(&mut self, event: Self::Event);
    fn poll(&mut self) -> Option<Self::Effect>;
}

/// One step across the boundary.
pub(super) enum Step<M: Machine> {
    Handled(M::Event),
    /// None where there was nothing to do.
    Polled(Option<M::Effect>),
}

/// All that one machine did.
pub(crate) struct Play<M: Machine> {
    pub(super) beginning: M::Beginning,
    pub(super) steps: Vec<Step<M>>,
}

/// Plays of one kind, in the order in which they began.
pub(crate) type Plays<M> = Vec<Rc<RefCell<Play<M>>>>;

/// A machine that is recorded where anybody wants that.
pub(crate) struct Taped<M: Machine> {
    machine: M,
    play: Option<Rc<RefCell<Play<M>>>>,
}

impl<M: Machine> Taped<M> {
    pub(crate) fn begin(
        beginning: M::Beginning,
        rules: Rules,
        plays: Option<&mut Plays<M>>,
    ) -> Taped<M> {
        let machine = M::begin(&beginning, rules);
        let play = plays.map(|plays| {
            let play = Rc::new(RefCell::new(Play { beginning, steps: Vec::new() }));
            plays.push(play.clone());
            play
        });
        Taped { machine, play }
    }

    pub(crate) fn handle(&mut self, event: M::Event) {
        if let Some(play) = &self.play {
            play.borrow_mut().steps.push(Step::Handled(event.clone()));
        }
        self.machine.handle(event);
    }

    pub(crate) fn poll(&mut self) -> Option<M::Effect> {
        let effect = self.machine.poll();
        if let Some(play) = &self.play {
            play.borrow_mut().steps.push(Step::Polled(effect.clone()));
        }
        effect
    }
}

impl<M: Machine> Deref for Taped<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.machine
    }
}

/// What a coordinator is begun with.
pub(crate) struct Beginning {
    pub(crate) tid: Tid,
    pub(crate) body: Option<Hash>,
    pub(crate) participants: Vec<GroupId>,
    pub(crate) recovers: bool,
}

impl Machine for Coordinator {
    type Beginning = Beginning;
    type Event = coordinator::Event;
    type Effect = coordinator::Effect;

    fn begin(beginning: &Beginning, rules: Rules) -> Coordinator {
        let Beginning { tid, body, participants, recovers } = beginning;
        match recovers {
            true => Coordinator::recover(*tid, *body, participants, rules),
            false => Coordinator::drive(*tid, *body, participants, rules),
        }
    }

    fn handle(&mut self, event: coordinator::Event) {
        Coordinator::handle(self, event);
    }

    fn poll(&mut self) -> Option<coordinator::Effect> {
        Coordinator::poll(self)
    }
}

impl Machine for MultiRead {
    /// What is wanted of each group, and how often it is tried.
    type Beginning = (BTreeMap<GroupId, Wanted>, u32);
    type Event = ReadEvent;
    type Effect = ReadEffect;

    fn begin((wanted, tries): &Self::Beginning, rules: Rules) -> MultiRead {
        MultiRead::start(wanted.clone(), *tries, rules)
    }

    fn handle(&mut self, event: ReadEvent) {
        MultiRead::handle(self, event);
    }

    fn poll(&mut self) -> Option<ReadEffect> {
        MultiRead::poll(self)
    }
}
