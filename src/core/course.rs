//! Finished streams that group 0 keeps, for the forecasters of all nodes to learn from.
//!
//! A forecaster is a fold over streams: the same ones in the same order give the same forecasts. So
//! what is replicated is no forecaster but the order: a numbered sequence of **courses**, each what
//! one stream was made of. The number of the last course that forecasters have learnt is their
//! **version**.
//!
//! The sequence is bounded, and what a fold has forgotten of its oldest courses still shows in it.
//! For a version to mean the same to a node that learnt all of them and to one that has just
//! begun, forecasters come in generations: each begins with nothing at a number that all nodes
//! know, learns beside the one before it for [`OVERLAP`] courses, and takes its place. What is kept
//! reaches back to where the generation of the newest version began ([`begins`]).
//!
//! Batches are numbered by their nodes, as the history's are, so that one that is proposed again
//! counts once. Applying evaluates nothing of what is learnt. Nothing here decides whether a
//! transaction commits.
//!
//! Invariants: a number names one course for ever; courses lie without gaps in their numbers, and
//! there are never more than [`COURSES_MAX`].

use crate::{
    codec,
    command::{Refusal, Reply},
    id::GroupId,
    numbered::Numbered,
    rules::Rules,
    state::{Read, State},
    tables,
};
use alloc::{format, string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// The newest courses that are kept.
pub const COURSES_MAX: u64 = 2_048;
/// Largest course, in bytes: with the number of them this bounds what is kept.
pub const COURSE_BYTES_MAX: usize = 4 << 10;
/// Most courses that one command appends.
pub const BATCH_MAX: usize = 32;

/// A generation begins with each so many courses.
pub const GENERATION: u64 = 1_024;
/// So many a generation has learnt when it takes the place of the one before.
pub const OVERLAP: u64 = 512;

const _: () = assert!(OVERLAP < GENERATION && GENERATION + OVERLAP <= COURSES_MAX);

/// What a finished stream was made of, as far as forecasters look at it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Course {
    /// Who sent it: a part of a digest of their name.
    pub user: u32,
    /// Its different steps, in the order in which they came first.
    pub kinds: Vec<Kind>,
    /// Its steps, at least one.
    pub steps: Vec<Step>,
    /// The groups that took part.
    pub groups: Vec<GroupId>,
}

/// What steps with the same collection, operation and fields have in common.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Kind {
    /// The record's collection.
    pub collection: String,
    /// [`crate::delta::Op::name`].
    pub operation: String,
    /// [`crate::delta::Op::fields`].
    pub fields: Vec<String>,
}

/// One transition.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its place among the course's kinds.
    pub kind: u16,
    /// How long after the step before it came, in microseconds.
    pub after_us: u64,
}

/// Some courses, from one node.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CourseBatch {
    /// Whose streams they were.
    pub node: u64,
    /// Rises from batch to batch of a node, over its restarts too: a batch that does not is one
    /// that came before.
    pub sequence: u64,
    /// In the order in which they were sealed.
    pub courses: Vec<Course>,
}

/// What the sequence has behind a number.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Newer {
    /// Each with its number, ascending.
    pub courses: Vec<(u64, Course)>,
    /// The number of the oldest course that is kept.
    pub oldest: u64,
    /// The number of the newest; 0: none yet.
    pub newest: u64,
}

/// Where the sequence begins and ends, and whose batches it holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// The number of the oldest course; they are counted from 1.
    first: u64,
    /// The number of the next one.
    next: u64,
    last: Numbered,
}

impl Default for Ledger {
    fn default() -> Ledger {
        Ledger { first: 1, next: 1, last: Numbered::default() }
    }
}

impl Course {
    /// Whether it can be followed step by step, and is no larger than one may be.
    fn refusal(&self) -> Option<Refusal> {
        let known = |step: &Step| usize::from(step.kind) < self.kinds.len();
        if self.steps.is_empty() || !self.steps.iter().all(known) {
            return Some(Refusal::NoCourse);
        }
        let limit = COURSE_BYTES_MAX as u64;
        (self.bytes() > COURSE_BYTES_MAX).then_some(Refusal::CourseBytes { limit })
    }

    /// What it takes, encoded.
    pub fn bytes(&self) -> usize {
        codec::encoded_bytes(self)
    }
}

/// The number behind which the generation began whose forecasts are those of this version.
pub fn begins(version: u64) -> u64 {
    version.saturating_sub(OVERLAP) / GENERATION * GENERATION
}

/// The version at which the generation that began behind a number takes its place.
pub fn takes_over(began: u64) -> u64 {
    if began == 0 { 0 } else { began + OVERLAP }
}

/// Up to so many courses behind a number, of those that are kept.
pub fn after(state: &impl Read, number: u64, most: usize) -> Newer {
    let Ledger { first, next, .. } = ledger(state);
    let from = first.max(number.saturating_add(1));
    let to = next.min(from.saturating_add(most as u64));
    let courses = (from..to).map(|number| {
        let course = tables::load(state, &place(number)).expect("there are no gaps");
        (number, course)
    });
    Newer { courses: courses.collect(), oldest: first, newest: next - 1 }
}

/// The number of a node's last batch.
pub fn last_batch(state: &impl Read, node: u64) -> Option<u64> {
    ledger(state).last.of(node)
}

pub(crate) fn append(state: &mut impl State, batch: &CourseBatch, rules: Rules) -> Reply {
    if batch.courses.len() > BATCH_MAX {
        return Reply::Refused(Refusal::Courses { limit: BATCH_MAX as u64 });
    }
    if let Some(refusal) = batch.courses.iter().find_map(Course::refusal) {
        return Reply::Refused(refusal);
    }
    let mut ledger = ledger(state);
    if !ledger.last.takes(batch.node, batch.sequence, rules) {
        return Reply::Done;
    }
    for course in &batch.courses {
        tables::save(state, place(ledger.next), course);
        ledger.next += 1;
    }
    while ledger.next - ledger.first > COURSES_MAX {
        state.delete(&place(ledger.first));
        ledger.first += 1;
    }
    tables::save(state, tables::meta("courses"), &ledger);
    Reply::Done
}

fn ledger(state: &impl Read) -> Ledger {
    tables::load(state, &tables::meta("courses")).unwrap_or_default()
}

fn place(number: u64) -> Vec<u8> {
    tables::meta(&format!("course/{number:016x}"))
}

/// Courses lie where the ledger says, without gaps and no more than may be.
pub(crate) fn check(state: &impl Read) -> Result<(), String> {
    let Ledger { first, next, last } = ledger(state);
    let (mut number, mut gap) = (first, false);
    let (from, to) = (tables::meta("course/"), tables::meta("course0"));
    state.scan(&from, &to, &mut |at, _| {
        gap = at != place(number);
        number += 1;
        !gap
    });
    let bounded = next - first <= COURSES_MAX && last.is_bounded();
    match !gap && number == next && bounded {
        true => Ok(()),
        false => Err(format!("the courses from {first} to {next} break off at {number}")),
    }
}
