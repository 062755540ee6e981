//! The median stream of a class, whatever was seen of this one; never less than what was seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use vatic_core::footprint::Footprint;

use super::stream::add_cells;
use super::{Forecaster, Outlook, Prefix, Symbol};

/// Streams of a class that are kept.
const STREAMS_MAX: usize = 512;
/// Classes that are kept.
const CLASSES_MAX: usize = 256;

/// See the file's head.
#[derive(Debug, Default)]
pub struct ClassMedian {
    classes: BTreeMap<u64, Class>,
    learnt: u64,
}

#[derive(Debug, Default)]
struct Class {
    streams: VecDeque<BTreeMap<Symbol, u32>>,
    /// What each step last added to a footprint.
    marks: BTreeMap<Symbol, Arc<Footprint>>,
    last: u64,
    median: BTreeMap<Symbol, u32>,
}

impl Forecaster for ClassMedian {
    fn name(&self) -> &'static str {
        "class_median"
    }

    fn learn(&mut self, finished: Prefix<'_>) {
        self.make_room(finished.class);
        self.learnt += 1;
        let class = self.classes.entry(finished.class).or_default();
        class.last = self.learnt;
        class.streams.push_back(finished.counts());
        if class.streams.len() > STREAMS_MAX {
            class.streams.pop_front();
        }
        for step in finished.steps {
            class.marks.insert(step.symbol, step.footprint.clone());
        }
        // A median moves slowly: it is taken anew when a sixteenth of the streams is new.
        if self.learnt.is_multiple_of(1 + class.streams.len() as u64 / 16) {
            class.settle();
        }
    }

    fn forecast(&self, prefix: Prefix<'_>) -> Outlook {
        let mut outlook = Outlook::finished(prefix);
        let Some(class) = self.classes.get(&prefix.class) else { return outlook };
        for (symbol, due) in &class.median {
            let is = outlook.steps.entry(*symbol).or_default();
            let more = due.saturating_sub(*is);
            *is += more;
            outlook.count += f64::from(more);
            add_cells(&mut outlook.cells, &class.marks[symbol], f64::from(more));
        }
        outlook
    }
}

impl ClassMedian {
    fn make_room(&mut self, class: u64) {
        if self.classes.len() < CLASSES_MAX || self.classes.contains_key(&class) {
            return;
        }
        let idle = self.classes.iter().min_by_key(|(_, class)| class.last).map(|(at, _)| *at);
        idle.map(|idle| self.classes.remove(&idle));
    }
}

impl Class {
    fn settle(&mut self) {
        let streams = &self.streams;
        self.marks.retain(|symbol, _| streams.iter().any(|counts| counts.contains_key(symbol)));
        let median = |symbol: &Symbol| {
            let numbers = streams.iter().map(|counts| counts.get(symbol).copied().unwrap_or(0));
            let mut numbers: Vec<u32> = numbers.collect();
            numbers.sort_unstable();
            numbers[numbers.len() / 2]
        };
        let medians = self.marks.keys().map(|symbol| (*symbol, median(symbol)));
        self.median = medians.filter(|(_, number)| *number > 0).collect();
    }
}
