//! What is foreseen of a stream's reads: whether it will write in the collection, so that a turn
//! there is of use to it.
//!
//! Reads are no transitions: no forecast counts them, no course has them, and before the first
//! transition it is not even known of which class a stream is. So a gateway notes by itself, of the
//! streams under `adaptive` that are sealed here, which collections their reads went through, and
//! where they wrote: that tells of the next one that reads the same. Once there is a forecast of a
//! stream, that tells.
//!
//! A habit is by user and by the collections read so far, in their order, so that what reads as
//! nobody did before waits for its turns as ever. It is in memory, of this gateway, and bounded.

use super::{classes::ByClass, guide::Guide};
use crate::limits::Limits;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};
use vatic_core::{hash::Hasher, id::GroupId, key::Key};
use vatic_learn::forecast::{Foreseen, Latest, STREAMS_LAST};

/// Changes of collection in a stream's reads that are told apart.
const CHANGES_MAX: usize = 8;

/// Where the streams that read the same wrote.
#[derive(Debug)]
pub(crate) struct Habits {
    /// Streams that it takes; 0: nothing is foreseen.
    least: u64,
    known: Mutex<ByClass<Latest>>,
}

/// What a stream read so far: one number for each change of collection, which stands for all up to
/// there.
#[derive(Debug, Default)]
pub(super) struct Opening {
    last: String,
    read: Vec<u64>,
}

impl Habits {
    /// As a node is configured.
    pub(crate) fn new(limits: &Limits) -> Habits {
        let learns = limits.learn_share_percent > 0;
        let least = if learns { limits.turns_spared_after.min(STREAMS_LAST) } else { 0 };
        Habits { least, known: Mutex::default() }
    }

    /// Whether turns are spared at all.
    pub(crate) fn spare(&self) -> bool {
        self.least > 0
    }

    /// Whether a stream that read this will write in a collection.
    fn foresee(&self, read: u64, collection: &str) -> Foreseen {
        let known = self.known.lock().expect("no holder panics");
        let latest = known.find(read).filter(|_| self.spare());
        latest.map_or(Foreseen::Unknown, |latest| latest.after(0, collection, self.least))
    }

    /// One that read this, up to each of its changes, wrote in these.
    fn learn(&self, opening: &Opening, wrote: &BTreeSet<Arc<str>>) {
        let mut known = self.known.lock().expect("no holder panics");
        for read in &opening.read {
            known.of(*read).learn(wrote.iter().map(|collection| (collection, 1)));
        }
    }
}

impl Opening {
    /// A read more: what stands for all of them.
    fn read(&mut self, user: u64, collection: &str) -> u64 {
        let before = self.read.last().copied();
        if let Some(before) = before
            && (self.last == collection || self.read.len() >= CHANGES_MAX)
        {
            return before;
        }
        let hasher = Hasher::new("reads").u64(before.unwrap_or(user));
        let [a, b, c, d, e, f, g, h, ..] = hasher.bytes(collection.as_bytes()).finish().0;
        let read = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        collection.clone_into(&mut self.last);
        self.read.push(read);
        read
    }
}

impl Guide {
    /// Whether a stream under `adaptive` does without a turn with a record that it reads: it has
    /// not written that, and will not write in its collection. To be asked where it would ask for
    /// one, in the order of its reads.
    pub(crate) fn spares(&mut self, user: u64, collection: &str, written: bool) -> bool {
        let read = self.opening.read(user, collection);
        let foreseen = match self.forecast_there(collection) {
            _ if written => Foreseen::Write,
            Foreseen::Unknown => self.foresight.habits.foresee(read, collection),
            known => known,
        };
        let (spares, counters) = (foreseen == Foreseen::NoWrite, self.counters());
        if spares {
            counters.turns_spared.inc()
        } else {
            counters.turns_asked.inc()
        }
        spares
    }

    fn forecast_there(&self, collection: &str) -> Foreseen {
        let (least, told) = (self.foresight.habits.least, self.line.last());
        let walk = self.walk.as_ref().filter(|walk| least > 0 && !walk.oversized);
        let foreseen =
            told.zip(walk).map(|(told, walk)| told.ahead.after(&walk.steps, collection, least));
        foreseen.unwrap_or(Foreseen::Unknown)
    }

    /// Whether it read what turns may be asked for.
    pub(super) fn asked_for_turns(&self) -> bool {
        !self.opening.read.is_empty()
    }

    /// The stream is sealed, and wrote these; so many of them had been spared their turns.
    pub(super) fn wrote(&self, written: &[(GroupId, Key)], missed: u64) {
        self.counters().turns_missed.inc_by(missed);
        if self.foresight.habits.spare() {
            let wrote = written.iter().map(|(_, key)| key.collection.as_str().into());
            self.foresight.habits.learn(&self.opening, &wrote.collect());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENOUGH: u64 = 16;

    fn habits(turns_spared_after: u64, learn_share_percent: u64) -> Habits {
        let limits = Limits { turns_spared_after, learn_share_percent, ..Limits::production() };
        Habits::new(&limits)
    }

    /// Streams of a user that read these and wrote those.
    fn learn(habits: &Habits, times: u64, user: u64, reads: &[&str], wrote: &[&str]) {
        let mut opening = Opening::default();
        for collection in reads {
            opening.read(user, collection);
        }
        let wrote = wrote.iter().map(|at| (*at).into()).collect();
        (0..times).for_each(|_| habits.learn(&opening, &wrote));
    }

    /// What is foreseen at each read of one more.
    fn foreseen(habits: &Habits, user: u64, reads: &[&str]) -> Vec<Foreseen> {
        let mut opening = Opening::default();
        let foresee = |at: &&str| habits.foresee(opening.read(user, at), at);
        reads.iter().map(foresee).collect()
    }

    #[test]
    fn what_all_that_read_the_same_never_wrote_is_not_expected_to_be_written() {
        use Foreseen::{NoWrite, Unknown, Write};
        let habits = habits(ENOUGH, 2);
        let reads = ["a", "a", "b", "a"];
        learn(&habits, ENOUGH - 1, 7, &reads, &["b"]);
        assert_eq!(foreseen(&habits, 7, &reads), [Unknown; 4], "that is too few");
        learn(&habits, 1, 7, &reads, &["b"]);
        assert_eq!(foreseen(&habits, 7, &reads), [NoWrite, NoWrite, Write, NoWrite]);
        assert_eq!(foreseen(&habits, 8, &reads), [Unknown; 4], "of somebody else");
        assert_eq!(foreseen(&habits, 7, &["b", "a"]), [Unknown; 2], "nobody read so");
        assert_eq!(foreseen(&habits, 7, &["a", "c"]), [NoWrite, Unknown]);
        learn(&habits, 1, 7, &["a"], &["a"]);
        assert_eq!(foreseen(&habits, 7, &reads), [Write, Write, Write, NoWrite], "one may");
    }

    #[test]
    fn nothing_is_spared_where_that_is_switched_off_or_nothing_is_learnt() {
        for (after, share) in [(0, 2), (ENOUGH, 0)] {
            let habits = habits(after, share);
            learn(&habits, STREAMS_LAST, 7, &["a"], &["b"]);
            assert!(!habits.spare());
            assert_eq!(foreseen(&habits, 7, &["a"]), [Foreseen::Unknown]);
        }
        let habits = habits(10 * STREAMS_LAST, 2);
        learn(&habits, STREAMS_LAST, 7, &["a"], &["b"]);
        assert_eq!(foreseen(&habits, 7, &["a"]), [Foreseen::NoWrite], "more never count");
    }

    #[test]
    fn reads_are_told_apart_up_to_a_bound() {
        let mut opening = Opening::default();
        for at in 0..100 {
            opening.read(7, ["a", "b"][at % 2]);
        }
        assert_eq!(opening.read.len(), CHANGES_MAX);
        let distinct: BTreeSet<u64> = opening.read.iter().copied().collect();
        assert_eq!(distinct.len(), CHANGES_MAX);
    }
}
