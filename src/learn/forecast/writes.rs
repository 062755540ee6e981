//! In which collections a stream is still expected to write: which turns with records that it reads
//! are of use to it.
//!
//! Strategy `adaptive` asks a record's leader for advice when a stream reads it, and waits for its
//! turn where that is advised. Of a record that the stream will not write, both are for nothing,
//! and in the way of those who will. Nothing is expected there only where no step that is forecast
//! to remain writes there, and none of the last streams of the class did after so many steps: a
//! turn that is had for nothing costs a wait, one that is missing a transaction.
//!
//! Pure: what was learnt comes in, what is foreseen goes out. It is advice, and decides nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Step, Symbol};

/// So many streams count at most; what those before them wrote is forgotten.
pub const STREAMS_LAST: u64 = 64;
/// Collections that are told apart. Where there are more, nothing is foreseen for a while.
const COLLECTIONS_MAX: usize = 32;

/// What is foreseen of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foreseen {
    /// Too little is known.
    Unknown,
    /// The stream may well write there.
    Write,
    /// It will write there no more.
    NoWrite,
}

/// Where the last streams of one kind wrote. Bounded.
#[derive(Debug, Default)]
pub struct Latest {
    streams: u64,
    /// By collection: streams that wrote there, by number, each with the steps that it had when it
    /// did so for the last time. They descend: what a later stream has outdone is not kept.
    wrote: BTreeMap<Arc<str>, VecDeque<(u64, u32)>>,
    /// The last stream for which there was no room.
    crowded: Option<u64>,
}

/// What is known of one running stream.
#[derive(Debug)]
pub struct Ahead {
    due: Vec<Due>,
    /// Streams of its class that this is by; none where not all of theirs is known.
    streams: u64,
    /// By collection, after how many steps the latest of the last ones wrote there.
    last: BTreeMap<Arc<str>, u32>,
}

/// A step that is forecast: how often the finished stream has it.
#[derive(Debug)]
pub struct Due {
    /// What it does.
    pub symbol: Symbol,
    /// How often in all, what the stream had of it included.
    pub count: u32,
    /// Where it writes.
    pub place: Place,
}

/// Where a step writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// Nobody knows any more.
    Unknown,
    /// It expects something, and writes nothing.
    Nowhere,
    /// A collection.
    In(Arc<str>),
}

impl Latest {
    /// One more stream: where it wrote, and after how many steps, these ascending.
    pub fn learn<'a>(&mut self, wrote: impl IntoIterator<Item = (&'a Arc<str>, u32)>) {
        self.streams += 1;
        let now = self.streams;
        for (collection, steps) in wrote {
            let last = self.wrote.entry(collection.clone()).or_default();
            while last.back().is_some_and(|(_, before)| *before <= steps) {
                last.pop_back();
            }
            last.push_back((now, steps));
        }
        for last in self.wrote.values_mut() {
            while last.front().is_some_and(|(number, _)| number + STREAMS_LAST <= now) {
                last.pop_front();
            }
        }
        self.wrote.retain(|_, last| !last.is_empty());
        while self.wrote.len() > COLLECTIONS_MAX {
            self.wrote.pop_last();
            self.crowded = Some(now);
        }
    }

    /// Whether a stream of this kind that has had so many steps will write in a collection, where
    /// at least so many others are known.
    pub fn after(&self, steps: usize, collection: &str, least: u64) -> Foreseen {
        let last = self.wrote.get(collection).and_then(|last| last.front());
        foreseen(self.known(), least, last.map(|(_, last)| *last), steps)
    }

    /// The same of one that runs, of which these steps are forecast.
    pub fn ahead(&self, due: Vec<Due>) -> Ahead {
        let first = |last: &VecDeque<(u64, u32)>| last.front().map_or(0, |(_, last)| *last);
        let last = self.wrote.iter().map(|(collection, last)| (collection.clone(), first(last)));
        Ahead { due, streams: self.known(), last: last.collect() }
    }

    /// Streams of which all is known that counts.
    fn known(&self) -> u64 {
        let crowded = self.crowded.is_some_and(|number| number + STREAMS_LAST > self.streams);
        if crowded { 0 } else { self.streams }
    }
}

impl Ahead {
    /// Whether the stream, which has had these steps, will write in a collection, where at least so
    /// many others of its class are known.
    pub fn after(&self, steps: &[Step], collection: &str, least: u64) -> Foreseen {
        let there = |due: &&Due| match &due.place {
            Place::Unknown => true,
            Place::Nowhere => false,
            Place::In(place) => **place == *collection,
        };
        let taken = |symbol| steps.iter().filter(|step| step.symbol == symbol).count();
        let remains = |due: &Due| taken(due.symbol) < due.count as usize;
        let last = self.last.get(collection).copied();
        match foreseen(self.streams, least, last, steps.len()) {
            Foreseen::NoWrite if self.due.iter().filter(there).any(remains) => Foreseen::Write,
            other => other,
        }
    }
}

fn foreseen(streams: u64, least: u64, last: Option<u32>, steps: usize) -> Foreseen {
    match last {
        _ if streams < least.max(1) => Foreseen::Unknown,
        Some(last) if last as usize > steps => Foreseen::Write,
        _ => Foreseen::NoWrite,
    }
}
