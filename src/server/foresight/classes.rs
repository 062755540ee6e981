//! What is known of classes of streams beside their forecasts.

use std::collections::{BTreeMap, VecDeque};
use vatic_core::id::GroupId;

/// Classes that are remembered; the one that was idle longest makes room.
const CLASSES_MAX: usize = 256;
/// Streams of a class whose participants are remembered.
const LAST: usize = 64;
/// Groups of one stream that are remembered; the others are counted.
const GROUPS_MAX: usize = 16;

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
    /// One more of its streams was learnt, in which these groups took part.
    pub(crate) fn learnt(&mut self, groups: &[GroupId]) {
        self.exemplars += 1;
        let count = groups.len() as u32;
        let groups = groups[..groups.len().min(GROUPS_MAX)].to_vec();
        self.participants.push_back(Participants { count, groups });
        if self.participants.len() > LAST {
            self.participants.pop_front();
        }
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
