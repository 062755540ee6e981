//! The steps of a stream so far, as forecasters see them; and of one that was sealed, the whole.

use super::kinds::Kind;
use std::{collections::BTreeMap, sync::Arc};
use vatic_core::id::GroupId;
use vatic_learn::forecast::{Prefix, Step, Symbol};

/// Different steps of one stream: with more it is neither forecast nor learnt, which bounds what a
/// learnt stream takes.
const KINDS_MAX: usize = 64;

/// A stream's steps. Bounded: of one that goes beyond, the class alone is kept.
#[derive(Debug)]
pub(crate) struct Walk {
    steps_max: usize,
    user: u32,
    class: Option<u64>,
    /// It went beyond.
    pub(crate) oversized: bool,
    pub(crate) steps: Vec<Step>,
    pub(crate) kinds: BTreeMap<Symbol, Arc<Kind>>,
}

impl Walk {
    pub(crate) fn new(user: u32, steps_max: usize) -> Walk {
        let (steps, kinds) = (Vec::new(), BTreeMap::new());
        Walk { steps_max, user, class: None, oversized: false, steps, kinds }
    }

    /// Takes one more step; false where that is one too many, now or before.
    pub(crate) fn step(&mut self, kind: Arc<Kind>, at_us: i64) -> bool {
        if self.oversized {
            return false;
        }
        let (symbol, footprint) = (kind.symbol, kind.footprint.clone());
        self.class.get_or_insert(u64::from(symbol.0));
        self.kinds.entry(symbol).or_insert(kind);
        self.steps.push(Step { symbol, user: self.user, at_us, footprint });
        self.oversized = self.steps.len() > self.steps_max || self.kinds.len() > KINDS_MAX;
        if self.oversized {
            (self.steps, self.kinds) = (Vec::new(), BTreeMap::new());
        }
        !self.oversized
    }

    /// The class that a stream is of: its first step. `None` before that.
    pub(crate) fn class(&self) -> Option<u64> {
        self.class
    }
}

/// A stream that was sealed.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) class: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) kinds: BTreeMap<Symbol, Arc<Kind>>,
    /// Those that take part.
    pub(crate) groups: Vec<GroupId>,
}

impl Ended {
    pub(crate) fn whole(&self) -> Prefix<'_> {
        Prefix { class: self.class, steps: &self.steps }
    }

    /// What its class's streams begin with.
    pub(crate) fn class_name(&self) -> String {
        let first = self.steps.first().and_then(|step| self.kinds.get(&step.symbol));
        first.map(|kind| kind.name.clone()).unwrap_or_default()
    }
}
