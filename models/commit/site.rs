//! One group with its state, as the model runs it: every command is the core's own `Group::apply`.
//!
//! After each command the core's invariants are checked, and that a group opened anew on the state
//! is the same group: what a crash loses is only a cache.

use crate::check::catching;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    hash::{Hash, Hasher},
};
use vatic_core::{
    command::{Command, Halt, Reply, Standing},
    group::Group,
    id::{GroupId, Tid},
    invariant,
    memory::MemoryState,
    rules::Rules,
};

/// One group and what it has applied.
#[derive(Clone, Debug)]
pub struct Site {
    /// The core's state machine.
    pub group: Group,
    /// What it stores.
    pub state: MemoryState,
    /// Why it cannot go on, if it cannot.
    pub broken: Option<Broken>,
    /// The invariant of the core that did not hold at some time.
    pub fault: Option<String>,
    quiet: bool,
    freed: bool,
    /// Where the transactions stand that it has heard of: follows from the state.
    standings: BTreeMap<Tid, Standing>,
}

impl PartialEq for Site {
    fn eq(&self, other: &Self) -> bool {
        let all = |site: &Site| (site.broken.clone(), site.fault.clone());
        (&self.group, &self.state) == (&other.group, &other.state) && all(self) == all(other)
    }
}

impl Eq for Site {}

impl Hash for Site {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.group, &self.state, &self.broken, &self.fault).hash(hasher);
    }
}

/// What must never happen to a group.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Broken {
    /// Two contradictory decisions.
    Halt(String),
    /// An assertion of the core failed.
    Panic(String),
}

impl Site {
    /// An empty group.
    pub fn open(id: GroupId, rules: Rules) -> Site {
        let mut state = MemoryState::default();
        let group = Group::open(id, &state, rules);
        let standings = BTreeMap::new();
        group.save(&mut state);
        Site { group, state, broken: None, fault: None, quiet: true, freed: true, standings }
    }

    /// Where a transaction stands here.
    pub fn standing(&self, tid: Tid) -> Cow<'_, Standing> {
        match self.standings.get(&tid) {
            Some(standing) => Cow::Borrowed(standing),
            None => Cow::Owned(self.standing_now(tid)),
        }
    }

    /// Whether no vote is undecided here.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether nothing is staged here for what has a vote, and so will never be asked for one.
    pub fn is_freed(&self) -> bool {
        self.freed
    }

    /// Whether two decisions contradicted.
    pub fn is_halted(&self) -> bool {
        matches!(self.broken, Some(Broken::Halt(_)))
    }

    /// Whether an invariant or an assertion of the core failed.
    pub fn is_broken_inside(&self) -> bool {
        self.fault.is_some() || matches!(self.broken, Some(Broken::Panic(_)))
    }

    /// Applies one command; no reply where the group broke.
    pub fn apply(&self, command: &Command, rules: Rules) -> (Site, Option<Reply>) {
        let mut next = self.clone();
        let applied = catching(|| {
            let reply = next.group.apply(&mut next.state, command)?;
            next.group.save(&mut next.state);
            Ok::<_, Box<Halt>>((reply, next.fault(rules)))
        });
        match applied {
            Ok(Ok((reply, fault))) => {
                next.fault = next.fault.or(fault);
                next.note(command);
                (next, Some(reply))
            }
            Ok(Err(halt)) => (self.broken(Broken::Halt(format!("{halt:?}"))), None),
            Err(panic) => (self.broken(Broken::Panic(panic)), None),
        }
    }

    /// The group opened anew: nothing but its state outlives a crash.
    pub fn reopen(&self, rules: Rules) -> Site {
        let group = Group::open(self.group.id(), &self.state, rules);
        let mut next = Site { group, ..self.clone() };
        next.standings = self.standings.keys().map(|&tid| (tid, next.standing_now(tid))).collect();
        next
    }

    fn standing_now(&self, tid: Tid) -> Standing {
        self.group.standing(&self.state, tid)
    }

    fn note(&mut self, command: &Command) {
        self.quiet = self.group.undecided(&self.state).is_empty();
        let tids = self.standings.keys().copied().chain(command.tid());
        let standing = |tid| (tid, self.standing_now(tid));
        self.standings = tids.map(standing).collect();
        let mut staged = self.group.staged(&self.state).into_iter();
        self.freed = staged.all(|tid| self.standing_now(tid) == Standing::None);
    }

    fn broken(&self, why: Broken) -> Site {
        Site { broken: Some(why), ..self.clone() }
    }

    fn fault(&self, rules: Rules) -> Option<String> {
        if let Err(fault) = invariant::check(&self.group, &self.state) {
            return Some(fault);
        }
        let opened = Group::open(self.group.id(), &self.state, rules);
        (opened != self.group).then(|| format!("group {} opens differently", self.group.id()))
    }
}
