//! The core's transitions, remembered.
//!
//! What a group makes of a command, a coordinator of an event and a reader of an answer are pure
//! functions, and the same few of them recur in a great many states. So each is computed once, by
//! the core's own code, and looked up by fingerprint from then on.

use crate::{
    check::catching,
    commit::{
        site::Site,
        world::{Machine, Reader},
    },
    memo::Known,
    shared::{Shared, fingerprint},
};
use std::sync::Arc;
use vatic_core::{
    command::{Command, Reply, Standing},
    coordinator::{Effect, Event},
    rules::Rules,
};

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The group afterwards.
    pub site: Shared<Site>,
    /// Its reply; none where it broke.
    pub reply: Option<Shared<Reply>>,
    /// Where the command's transaction stood before.
    pub before: Option<Standing>,
    /// Where it stands now.
    pub after: Option<Standing>,
}

/// What an event came to.
#[derive(Clone, Debug)]
pub struct Handled {
    /// The coordinator afterwards.
    pub machine: Shared<Machine>,
    /// What it wants done.
    pub effects: Vec<Effect>,
}

/// The core's transitions under a set of rules.
#[derive(Debug)]
pub struct Memo {
    rules: Rules,
    applied: Known<Applied>,
    handled: Known<Handled>,
    read: Known<Shared<Reader>>,
}

impl Memo {
    /// Under these rules.
    pub fn new(rules: Rules) -> Memo {
        Memo { rules, applied: Known::default(), handled: Known::default(), read: Known::default() }
    }

    /// Applies a command to a group.
    pub fn apply(&self, site: &Shared<Site>, command: &Shared<Command>) -> Arc<Applied> {
        let place = (site.fingerprint(), command.fingerprint());
        self.applied.recall(place, || {
            let (next, reply) = site.apply(command, self.rules);
            let tid = command.tid();
            Applied {
                before: tid.map(|tid| site.standing(tid).into_owned()),
                after: tid.map(|tid| next.standing(tid).into_owned()),
                site: Shared::new(next),
                reply: reply.map(Shared::new),
            }
        })
    }

    /// Hands an event to a coordinator.
    pub fn handle(&self, machine: &Shared<Machine>, event: Event) -> Arc<Handled> {
        let place = (machine.fingerprint(), fingerprint(&event));
        self.handled.recall(place, || {
            let mut next = Machine::clone(machine);
            let mut effects = Vec::new();
            let handled = catching(|| {
                next.coordinator.handle(event);
                effects.extend(std::iter::from_fn(|| next.coordinator.poll()));
            });
            if let Err(panic) = handled {
                next = Machine { broken: Some(panic), ..Machine::clone(machine) };
            }
            Handled { machine: Shared::new(next), effects }
        })
    }

    /// Lets a reader go on: `choice` is anything that, with it and the groups, decides what it
    /// does.
    pub fn read(
        &self,
        reader: &Shared<Reader>,
        choice: (usize, usize),
        sites: &[Shared<Site>],
        go_on: impl FnOnce(&mut Reader),
    ) -> Shared<Reader> {
        let choice = fingerprint(&(reader.fingerprint(), choice));
        let sites = fingerprint(&sites);
        let next = self.read.recall((choice, sites), || {
            let mut next = Reader::clone(reader);
            go_on(&mut next);
            Shared::new(next)
        });
        Shared::clone(&next)
    }
}
