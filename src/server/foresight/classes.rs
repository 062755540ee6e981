//! What is known of classes of streams beside their forecasts.

use super::walk::Ended;
use std::collections::{BTreeMap, VecDeque};
use vatic_core::id::GroupId;
use vatic_learn::forecast::{Ahead, Due, Latest, Outlook, Place, Symbol};

/// Classes that are remembered; the one that was idle longest makes room.
const CLASSES_MAX: usize = 256;
/// Streams of a class whose participants are remembered.
const LAST: usize = 64;
/// Groups of one stream that are remembered; the others are counted.
const GROUPS_MAX: usize = 16;
/// Kinds of steps of a class that are remembered; more, and all are forgotten.
const PLACES_MAX: usize = 256;

/// Something of each class.
#[derive(Debug)]
pub(crate) struct ByClass<T> {
    known: BTreeMap<u64, Known<T>>,
    now: u64,
}

#[derive(Debug, Default)]
struct Known<T> {
    what: T,
    last: u64,
}

/// What was learnt of one class.
#[derive(Debug, Default)]
pub(crate) struct Class {
    /// Streams learnt.
    pub(crate) exemplars: u64,
    participants: VecDeque<Participants>,
    /// Where each kind of its steps writes.
    places: BTreeMap<Symbol, Place>,
    latest: Latest,
}

/// Of one stream.
#[derive(Debug)]
struct Participants {
    count: u32,
    groups: Vec<GroupId>,
}

impl<T> Default for ByClass<T> {
    fn default() -> ByClass<T> {
        ByClass { known: BTreeMap::new(), now: 0 }
    }
}

impl<T: Default> ByClass<T> {
    /// A class as far as it is known.
    pub(crate) fn find(&self, class: u64) -> Option<&T> {
        self.known.get(&class).map(|known| &known.what)
    }

    /// A class that a stream is of just now.
    pub(crate) fn of(&mut self, class: u64) -> &mut T {
        if self.known.len() >= CLASSES_MAX && !self.known.contains_key(&class) {
            let idle = self.known.iter().min_by_key(|(_, known)| known.last).map(|(at, _)| *at);
            idle.map(|idle| self.known.remove(&idle));
        }
        self.now += 1;
        let found = self.known.entry(class).or_default();
        found.last = self.now;
        &mut found.what
    }
}

impl Class {
    /// One more of its streams was learnt.
    pub(crate) fn learnt(&mut self, course: &Ended) {
        self.exemplars += 1;
        self.learn_writes(course);
        let groups = &course.groups;
        let count = groups.len() as u32;
        let groups = groups[..groups.len().min(GROUPS_MAX)].to_vec();
        self.participants.push_back(Participants { count, groups });
        if self.participants.len() > LAST {
            self.participants.pop_front();
        }
    }

    fn learn_writes(&mut self, course: &Ended) {
        let steps = course.steps.iter().zip(1..);
        let wrote = steps.filter_map(|(step, at)| {
            let kind = course.kinds.get(&step.symbol)?;
            Some((kind.writes.as_ref()?, at))
        });
        self.latest.learn(wrote);
        if self.places.len() + course.kinds.len() > PLACES_MAX {
            self.places.clear();
        }
        let place = |writes: &Option<_>| writes.clone().map_or(Place::Nowhere, Place::In);
        let places = course.kinds.iter().map(|(symbol, kind)| (*symbol, place(&kind.writes)));
        self.places.extend(places);
    }

    /// Where a stream of the class, of which this is forecast, will write.
    pub(crate) fn ahead(&self, outlook: &Outlook) -> Ahead {
        let due = outlook.steps.iter().map(|(symbol, count)| {
            let place = self.places.get(symbol).cloned().unwrap_or(Place::Unknown);
            Due { symbol: *symbol, count: *count, place }
        });
        self.latest.ahead(due.collect())
    }

    /// The median number of groups that took part in its last streams.
    pub(crate) fn participants(&self) -> u32 {
        let mut last: Vec<u32> = self.participants.iter().map(|last| last.count).collect();
        last.sort_unstable();
        last.get(last.len() / 2).copied().unwrap_or(0)
    }

    /// The groups that took part in most of its last streams, ascending.
    pub(crate) fn groups(&self) -> Vec<GroupId> {
        let mut often: BTreeMap<GroupId, usize> = BTreeMap::new();
        for group in self.participants.iter().flat_map(|last| &last.groups) {
            *often.entry(*group).or_default() += 1;
        }
        let most = self.participants.len() / 2;
        often.into_iter().filter(|(_, count)| *count > most).map(|(group, _)| group).collect()
    }
}
