//! The steps of a stream so far, as forecasters see them; and of one that was sealed, the whole.

use super::kinds::{Kind, Kinds};
use std::{collections::BTreeMap, sync::Arc};
use vatic_core::{
    course::{self, COURSE_BYTES_MAX, Course},
    id::GroupId,
};
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

    /// As all nodes may learn from it; `None` where it is too large for that. What it says of time
    /// is how long after one another its steps came.
    pub(crate) fn course(&self) -> Option<Course> {
        let (mut kinds, mut places) = (Vec::new(), BTreeMap::new());
        let mut before_us = self.steps.first()?.at_us;
        let mut steps = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let next = kinds.len() as u16;
            let kind = *places.entry(step.symbol).or_insert(next);
            if kind == next {
                kinds.push(self.kinds.get(&step.symbol)?.shared.clone()?);
            }
            // A clock that was set back moved nothing.
            let after_us = u64::try_from(step.at_us - before_us).unwrap_or(0);
            steps.push(course::Step { kind, after_us });
            before_us = step.at_us;
        }
        let user = self.steps.first()?.user;
        let course = Course { user, kinds, steps, groups: self.groups.clone() };
        Some(course).filter(|course| course.bytes() <= COURSE_BYTES_MAX)
    }

    /// What a node learns from; `None` of what is no course.
    pub(crate) fn of(course: &Course, names: &Kinds) -> Option<Ended> {
        let Course { user, kinds, steps, groups } = course;
        let known: Vec<Arc<Kind>> = kinds.iter().map(|kind| names.of_course(kind)).collect();
        let mut at_us = 0i64;
        let mut step = |taken: &course::Step| {
            at_us = at_us.saturating_add_unsigned(taken.after_us);
            let kind = known.get(usize::from(taken.kind))?;
            let (symbol, footprint) = (kind.symbol, kind.footprint.clone());
            Some(Step { symbol, user: *user, at_us, footprint })
        };
        let steps = steps.iter().map(&mut step).collect::<Option<Vec<Step>>>()?;
        let class = u64::from(steps.first()?.symbol.0);
        let kinds = known.into_iter().map(|kind| (kind.symbol, kind)).collect();
        Some(Ended { class, steps, kinds, groups: groups.clone() })
    }

    /// What its class's streams begin with.
    pub(crate) fn class_name(&self) -> String {
        let first = self.steps.first().and_then(|step| self.kinds.get(&step.symbol));
        first.map(|kind| kind.name.clone()).unwrap_or_default()
    }
}
