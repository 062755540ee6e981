//! Strict serializability of transactions and strict reads, as Elle does it (Kingsbury, Alvaro,
//! 2020): every version names its writer, so who wrote, read and overwrote what is known, and the
//! history is right iff these edges, with the order of real time, have no cycle.
//!
//! An absent record has no version, so a strict read of one may lie in several places of the key's
//! chain; it counts only where real time leaves one. Transactions are placed by their timestamps,
//! which the commit order's own check vouches for.

use super::{at, graph::Graph, replay::Replay};
use crate::{
    event::Learned,
    history::{History, Observed},
    violation::{Check, Violation},
};
use std::collections::BTreeMap;
use vatic_core::{hash::Hash, id::Timestamp, key::Key};

/// An operation as the graph sees it.
struct Node<'a> {
    name: String,
    seen: &'a Observed,
    invoked_us: u64,
    /// When somebody knew that it was over; never, for what nobody was told of.
    returned_us: Option<u64>,
    /// A transaction's place in the order of commits.
    ts: Option<Timestamp>,
}

struct Search<'a> {
    replay: &'a Replay,
    nodes: Vec<Node<'a>>,
    writers: BTreeMap<Hash, usize>,
    graph: Graph,
    faults: Vec<String>,
}

pub(super) fn check(history: &History, replay: &Replay) -> Vec<Violation> {
    let mut search = Search::new(history, replay);
    search.order_writes();
    search.order_reads();
    search.order_by_real_time();
    if let Some(cycle) = search.graph.cycle() {
        let name = |node: usize| search.nodes.get(node).map_or("…", |node| node.name.as_str());
        let steps: Vec<String> =
            cycle.iter().map(|&(node, why)| format!("{} –{why}→", name(node))).collect();
        search.faults.push(format!("cycle: {}", steps.join(" ")));
    }
    search.faults.into_iter().map(|fault| at(Check::StrictSerializability, fault)).collect()
}

impl<'a> Search<'a> {
    fn new(history: &'a History, replay: &'a Replay) -> Search<'a> {
        let mut search = Search {
            replay,
            nodes: Vec::new(),
            writers: BTreeMap::new(),
            graph: Graph::default(),
            faults: Vec::new(),
        };
        for (ts, attempt) in history.committed() {
            let told = attempt.learned.as_ref();
            let returned_us = told
                .filter(|(_, learned)| matches!(learned, Learned::Committed(_)))
                .map(|(returned_us, _)| *returned_us);
            search.writers.insert(attempt.digest, search.nodes.len());
            search.add(Node {
                name: format!("{:?}", attempt.body.tid),
                seen: &attempt.seen,
                invoked_us: attempt.invoked_us,
                returned_us,
                ts: Some(ts),
            });
        }
        for (number, read) in history.reads.iter().enumerate() {
            search.add(Node {
                name: format!("read {number}"),
                seen: &read.seen,
                invoked_us: read.invoked_us,
                returned_us: Some(read.returned_us),
                ts: None,
            });
        }
        search
    }

    fn add(&mut self, node: Node<'a>) {
        let number = self.graph.add_node();
        debug_assert_eq!(number, self.nodes.len());
        self.nodes.push(node);
    }

    fn order_writes(&mut self) {
        for chain in self.replay.chains.values() {
            for pair in chain.windows(2) {
                let (from, to) = (self.writers[&pair[0].by], self.writers[&pair[1].by]);
                self.graph.add_edge(from, to, "overwritten");
            }
        }
    }

    fn order_reads(&mut self) {
        for node in 0..self.nodes.len() {
            let seen = self.nodes[node].seen;
            for record in &seen.records {
                self.order_read(node, &record.key, record.version);
            }
            for (range, records) in &seen.ranges {
                let replay = self.replay;
                for key in replay.keys_in(range) {
                    let found = records.iter().find(|record| record.key == *key);
                    let version = found.map_or(Timestamp::ZERO, |record| record.version);
                    self.order_read(node, key, version);
                }
            }
        }
    }

    /// A reader comes after the writer of what it saw and before the writer of what came next.
    fn order_read(&mut self, node: usize, key: &Key, version: Timestamp) {
        let chain = self.replay.chains.get(key).map_or(&[][..], Vec::as_slice);
        let place = match version {
            Timestamp::ZERO => self.place_of_absence(node, key),
            _ => match chain.iter().position(|written| written.ts == version) {
                Some(at) => Some(at + 1),
                None => {
                    let name = &self.nodes[node].name;
                    self.faults.push(format!("{name} saw {key} at {version}, which none wrote"));
                    None
                }
            },
        };
        let Some(place) = place else { return };
        if let Some(seen) = place.checked_sub(1) {
            self.graph.add_edge(self.writers[&chain[seen].by], node, "seen");
        }
        if let Some(next) = chain.get(place) {
            self.graph.add_edge(node, self.writers[&next.by], "read before");
        }
    }

    /// How many writes of a key an operation that found it absent has behind it, if that is sure.
    fn place_of_absence(&self, node: usize, key: &Key) -> Option<usize> {
        let chain = self.replay.chains.get(key).map_or(&[][..], Vec::as_slice);
        let reader = &self.nodes[node];
        if let Some(ts) = reader.ts {
            return Some(chain.iter().take_while(|version| version.ts < ts).count());
        }
        let writer = |place: usize| &self.nodes[self.writers[&chain[place].by]];
        let mut places = (0..=chain.len()).filter(|&place| {
            let absent = place == 0 || chain[place - 1].fields.is_none();
            let begun = place == 0
                || reader.returned_us.is_none_or(|end| writer(place - 1).invoked_us <= end);
            let over = place < chain.len()
                && writer(place).returned_us.is_some_and(|end| end < reader.invoked_us);
            absent && begun && !over
        });
        let first = places.next()?;
        places.next().is_none().then_some(first)
    }

    /// What was over before something else began comes before it. Moments in between keep the
    /// number of edges linear.
    fn order_by_real_time(&mut self) {
        let mut ends: Vec<(u64, usize)> = (0..self.nodes.len())
            .filter_map(|node| Some((self.nodes[node].returned_us?, node)))
            .collect();
        ends.sort_unstable();
        let moments: Vec<usize> = ends.iter().map(|_| self.graph.add_node()).collect();
        for (at, &(_, node)) in ends.iter().enumerate() {
            self.graph.add_edge(node, moments[at], "real time");
            if at > 0 {
                self.graph.add_edge(moments[at - 1], moments[at], "real time");
            }
        }
        for node in 0..self.nodes.len() {
            let begun = self.nodes[node].invoked_us;
            let earlier = ends.partition_point(|&(end, _)| end < begun);
            if earlier > 0 {
                self.graph.add_edge(moments[earlier - 1], node, "real time");
            }
        }
    }
}
