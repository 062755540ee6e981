//! A strict read over several groups, without writing anything.
//!
//! All records are read; after *all* replies a second pass checks that every version and range
//! still stands and that no undecided write is on them. Then there was a moment, between the
//! passes, at which all of it held at once. A single pass could see a transfer's debit and miss its
//! credit. After a few failed tries the shell takes read locks by voting instead.
//!
//! Absence has no version that would tell one from the next: a record that came and went between
//! the passes is as absent as before. Whatever is removed after the first pass is stamped above the
//! clock of then, so the second pass is told that clock.

use crate::{
    body::{KeyRead, RangeRead},
    id::{GroupId, Tid, Timestamp},
    key::{Key, KeyRange},
    read::{RangeRecords, Record},
    rules::{Rules, broken},
};
use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};
use serde::{Deserialize, Serialize};

/// What is asked of one group.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// Records.
    pub keys: Vec<Key>,
    /// Ranges, each with the most records to return.
    pub ranges: Vec<(KeyRange, usize)>,
}

/// What one group answered in the first pass.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The records, in the order asked.
    pub records: Vec<Record>,
    /// The ranges, in the order asked.
    pub ranges: Vec<RangeRecords>,
    /// The group's clock then.
    pub clock: Timestamp,
}

/// What can happen.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReadEvent {
    /// A group answered the first pass of a try.
    Saw {
        /// The group.
        group: GroupId,
        /// The try that it answers.
        attempt: u32,
        /// What it saw.
        seen: Seen,
    },
    /// A group answered the second pass of a try.
    Checked {
        /// The group.
        group: GroupId,
        /// The try that it answers.
        attempt: u32,
        /// Whether all still stands; or who is about to write.
        stands: Result<bool, Tid>,
    },
}

/// What the read wants done.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReadEffect {
    /// First pass: read this in the group.
    Read {
        /// The group.
        group: GroupId,
        /// To be returned.
        attempt: u32,
        /// What to read.
        wanted: Wanted,
    },
    /// Second pass: check this in the group, after a new read index.
    Check {
        /// The group.
        group: GroupId,
        /// To be returned.
        attempt: u32,
        /// Versions read.
        reads: Vec<KeyRead>,
        /// Ranges scanned.
        ranges: Vec<RangeRead>,
        /// The group's clock at the first pass.
        since: Timestamp,
    },
    /// It held at one moment: the answer.
    Answer(BTreeMap<GroupId, Seen>),
    /// Tries are used up: vote on it as a read-only transaction. Names who was last in the way.
    VoteInstead(Option<Tid>),
}

/// One strict multi-group read.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct MultiRead {
    wanted: BTreeMap<GroupId, Wanted>,
    attempt: u32,
    attempts_max: u32,
    seen: BTreeMap<GroupId, Seen>,
    stood: BTreeMap<GroupId, bool>,
    blocked_by: Option<Tid>,
    done: bool,
    effects: VecDeque<ReadEffect>,
    rules: Rules,
}

impl MultiRead {
    /// Starts the first try.
    pub fn start(wanted: BTreeMap<GroupId, Wanted>, attempts_max: u32, rules: Rules) -> MultiRead {
        let mut read = MultiRead {
            wanted,
            attempt: 0,
            attempts_max,
            seen: BTreeMap::new(),
            stood: BTreeMap::new(),
            blocked_by: None,
            done: false,
            effects: VecDeque::new(),
            rules,
        };
        read.try_again();
        read
    }

    /// Takes an event in.
    pub fn handle(&mut self, event: ReadEvent) {
        match event {
            ReadEvent::Saw { group, attempt, seen } if self.expects(group, attempt) => {
                self.seen.entry(group).or_insert(seen);
                if self.seen.len() == self.wanted.len() && self.stood.is_empty() {
                    self.second_pass();
                }
            }
            ReadEvent::Checked { group, attempt, stands } if self.expects(group, attempt) => {
                self.blocked_by = stands.err().or(self.blocked_by);
                self.stood.entry(group).or_insert(stands == Ok(true));
                if self.stood.len() == self.wanted.len() {
                    self.conclude();
                }
            }
            _ => {}
        }
    }

    /// The next effect, oldest first.
    pub fn poll(&mut self) -> Option<ReadEffect> {
        self.effects.pop_front()
    }

    fn expects(&self, group: GroupId, attempt: u32) -> bool {
        !self.done && attempt == self.attempt && self.wanted.contains_key(&group)
    }

    fn try_again(&mut self) {
        self.attempt += 1;
        self.seen.clear();
        self.stood.clear();
        if self.attempt > self.attempts_max {
            self.done = true;
            self.effects.push_back(ReadEffect::VoteInstead(self.blocked_by));
            return;
        }
        let attempt = self.attempt;
        for (&group, wanted) in &self.wanted {
            let wanted = wanted.clone();
            self.effects.push_back(ReadEffect::Read { group, attempt, wanted });
        }
    }

    fn second_pass(&mut self) {
        if broken!(self.rules, SinglePassRead) {
            return self.answer();
        }
        let attempt = self.attempt;
        for (&group, seen) in &self.seen {
            let (reads, ranges) = seen.checks();
            let since = seen.clock;
            self.effects.push_back(ReadEffect::Check { group, attempt, reads, ranges, since });
        }
    }

    fn conclude(&mut self) {
        if self.stood.values().all(|&stood| stood) { self.answer() } else { self.try_again() }
    }

    fn answer(&mut self) {
        self.done = true;
        self.effects.push_back(ReadEffect::Answer(core::mem::take(&mut self.seen)));
    }
}

impl Seen {
    /// What a second pass, or a vote, has to validate.
    pub fn checks(&self) -> (Vec<KeyRead>, Vec<RangeRead>) {
        let reads = self.records.iter();
        let reads =
            reads.map(|record| KeyRead { key: record.key.clone(), version: record.version });
        let ranges = self.ranges.iter().map(|found| RangeRead {
            range: found.covered.clone(),
            fingerprint: found.fingerprint,
        });
        (reads.collect(), ranges.collect())
    }
}
