//! Strict serializability of transactions and strict reads, as Elle does it (Kingsbury, Alvaro,
//! 2020): every version names its writer, so who wrote, read and overwrote what is known, and the
//! history is right iff these edges, with the order of real time, have no cycle.
//!
//! An absent record has no version, so a strict read of one may lie in several places of the key's
//! chain. Those that contradict what is known fall away; where one is left, that is known too.
//! Transactions are placed by their timestamps, which the commit order's own check vouches for.

use super::{
    at,
    graph::Graph,
    replay::{Replay, Version},
};
use crate::{
    event::Learned,
    history::{History, Observed},
    violation::{Check, Violation},
};
use std::{collections::BTreeMap, mem};
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
    absences: Vec<Absence<'a>>,
    faults: Vec<String>,
}

/// A strict read that found nothing under a key, and has no place in its chain yet.
struct Absence<'a> {
    node: usize,
    chain: &'a [Version],
    /// How many writes it may have behind it.
    places: Vec<usize>,
}

pub(super) fn check(history: &History, replay: &Replay) -> Vec<Violation> {
    let mut search = Search::new(history, replay);
    search.order_writes();
    search.order_reads();
    search.order_by_real_time();
    search.order_absences();
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
            absences: Vec::new(),
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

    fn order_read(&mut self, node: usize, key: &Key, version: Timestamp) {
        let chain = self.replay.chains.get(key).map_or(&[][..], Vec::as_slice);
        if version != Timestamp::ZERO {
            return match chain.iter().position(|written| written.ts == version) {
                Some(at) => self.order_at(node, chain, at + 1),
                None => {
                    let name = &self.nodes[node].name;
                    self.faults.push(format!("{name} saw {key} at {version}, which none wrote"));
                }
            };
        }
        if let Some(ts) = self.nodes[node].ts {
            let place = chain.iter().take_while(|version| version.ts < ts).count();
            return self.order_at(node, chain, place);
        }
        let absent = |&place: &usize| place == 0 || chain[place - 1].fields.is_none();
        let places = (0..=chain.len()).filter(absent).collect();
        self.absences.push(Absence { node, chain, places });
    }

    /// A reader comes after the writer of what it saw and before the writer of what came next.
    fn order_at(&mut self, node: usize, chain: &[Version], place: usize) {
        if let Some(seen) = place.checked_sub(1) {
            self.graph.add_edge(self.writers[&chain[seen].by], node, "seen");
        }
        if let Some(next) = chain.get(place) {
            self.graph.add_edge(node, self.writers[&next.by], "read before");
        }
    }

    fn order_absences(&mut self) {
        let mut open = mem::take(&mut self.absences);
        loop {
            let before = open.len();
            open.retain(|absence| !self.settle(absence));
            if open.len() == before {
                return;
            }
        }
    }

    /// Whether a place is sure by now. Where none is left any of them shows the contradiction.
    fn settle(&mut self, absence: &Absence<'a>) -> bool {
        let Absence { node, chain, places } = absence;
        let (earlier, later) = (self.graph.all_before(*node), self.graph.all_after(*node));
        let writer = |version: &Version| self.writers[&version.by];
        let mut left = places.iter().copied().filter(|&place| {
            let begun = place == 0 || !later[writer(&chain[place - 1])];
            begun && chain.get(place).is_none_or(|next| !earlier[writer(next)])
        });
        let place = left.next().unwrap_or(places[0]);
        if left.next().is_some() {
            return false;
        }
        self.order_at(*node, chain, place);
        true
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
