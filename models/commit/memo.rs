//! The core's transitions, remembered.
//!
//! What a group makes of a command, a coordinator of an event and a reader of an answer are pure
//! functions, and the same few of them recur in a great many states. So each is computed once, by
//! the core's own code, and looked up by fingerprint from then on.

use crate::{
    commit::{
        plan::GROUPS,
        site::Site,
        world::{Machine, Reader},
    },
    shared::Shared,
};
use std::{
    cell::Cell,
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, RwLock},
};
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

/// Remembers by the fingerprints of what a result follows from.
type Known<T> = RwLock<HashMap<(u64, u64), Arc<T>>>;

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
        Memo {
            rules,
            applied: RwLock::default(),
            handled: RwLock::default(),
            read: RwLock::default(),
        }
    }

    /// Applies a command to a group.
    pub fn apply(&self, site: &Shared<Site>, command: &Shared<Command>) -> Arc<Applied> {
        let place = (site.fingerprint(), command.fingerprint());
        recall(&self.applied, place, || {
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
        let event = Shared::new(event);
        let place = (machine.fingerprint(), event.fingerprint());
        recall(&self.handled, place, || {
            let mut next = Machine::clone(machine);
            let mut effects = Vec::new();
            let handled = catching(|| {
                next.coordinator.handle(Event::clone(&event));
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
        sites: &[Shared<Site>; GROUPS],
        go_on: impl FnOnce(&mut Reader),
    ) -> Shared<Reader> {
        let choice = Shared::new((reader.fingerprint(), choice)).fingerprint();
        let sites = Shared::new(sites.clone()).fingerprint();
        let next = recall(&self.read, (choice, sites), || {
            let mut next = Reader::clone(reader);
            go_on(&mut next);
            Shared::new(next)
        });
        Shared::clone(&next)
    }
}

fn recall<T>(known: &Known<T>, place: (u64, u64), compute: impl FnOnce() -> T) -> Arc<T> {
    if let Some(result) = known.read().expect("no panic while held").get(&place) {
        return Arc::clone(result);
    }
    let result = Arc::new(compute());
    let mut known = known.write().expect("no panic while held");
    Arc::clone(known.entry(place).or_insert(result))
}

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Runs the core's code; a failed assertion is its result.
pub(crate) fn catching<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    CATCHING.set(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or(panic.downcast_ref::<&str>().map(|text| text.to_string())).unwrap_or_default()
    })
}

/// Whether this thread runs code whose failed assertions are caught.
pub(crate) fn is_catching() -> bool {
    CATCHING.get()
}
