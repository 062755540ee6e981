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
use std::sync::{Arc, Mutex, PoisonError};
use vatic_core::{
    command::{Command, Reply, Standing},
    coordinator::{Effect, Event},
    id::GroupId,
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

/// What a group did in a step, for whoever follows a path and does the same elsewhere.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The group.
    pub group: GroupId,
    /// What it did.
    pub deed: Deed,
}

/// What a group can do.
#[derive(Clone, Debug)]
pub enum Deed {
    /// It applied a command, with this reply; none where it broke.
    Applied(Shared<Command>, Option<Shared<Reply>>),
    /// It was opened anew on its state.
    Reopened,
}

/// The core's transitions under a set of rules.
#[derive(Debug)]
pub struct Memo {
    rules: Rules,
    /// What groups did since it was asked last, where somebody asks.
    heard: Option<Mutex<Vec<Heard>>>,
    applied: Known<Applied>,
    handled: Known<Handled>,
    read: Known<Shared<Reader>>,
}

impl Memo {
    /// Under these rules.
    pub fn new(rules: Rules) -> Memo {
        let (applied, handled, read) = (Known::default(), Known::default(), Known::default());
        Memo { rules, heard: None, applied, handled, read }
    }

    /// As [`Memo::new`], with an ear for what groups do.
    pub fn heard(rules: Rules) -> Memo {
        Memo { heard: Some(Mutex::default()), ..Memo::new(rules) }
    }

    /// What groups did since this was asked last, in order.
    pub fn take_heard(&self) -> Vec<Heard> {
        let heard = self.heard.as_ref().map(|heard| {
            std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner))
        });
        heard.unwrap_or_default()
    }

    /// Notes what a group does.
    pub fn hear(&self, group: GroupId, deed: impl FnOnce() -> Deed) {
        if let Some(heard) = &self.heard {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push(Heard { group, deed: deed() });
        }
    }

    /// Applies a command to a group.
    pub fn apply(&self, site: &Shared<Site>, command: &Shared<Command>) -> Arc<Applied> {
        let place = (site.fingerprint(), command.fingerprint());
        let applied = self.applied.recall(place, || {
            let (next, reply) = site.apply(command, self.rules);
            let tid = command.tid();
            Applied {
                before: tid.map(|tid| site.standing(tid).into_owned()),
                after: tid.map(|tid| next.standing(tid).into_owned()),
                site: Shared::new(next),
                reply: reply.map(Shared::new),
            }
        });
        let deed = || Deed::Applied(command.clone(), applied.reply.clone());
        self.hear(site.group.id(), deed);
        applied
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
