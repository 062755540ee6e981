//! What followed in which context: counts of remainders under contexts of growing length.
//!
//! A context is a number made of what is known of a prefix: nothing, its class, its last step, ...,
//! all of its steps. Each holds the remainders that followed it, each weighed four times, by how
//! long ago it was seen, with different half-lives: processes drift, and how fast is learnt from
//! what the experts with each half-life get right.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::Prefix;
use super::remainder::{Remainder, Remainders};

/// Half-lives, in streams learnt; the first forgets nothing until the store is full.
pub(crate) const HALF_LIVES: [f64; 4] = [f64::INFINITY, 1_000.0, 250.0, 60.0];
/// Kinds of contexts: see [`contexts`].
pub(crate) const KINDS: usize = 11;

/// Finished streams that are kept.
const STREAMS_MAX: usize = 8_192;
/// Positions within them that are kept.
const POSITIONS_MAX: usize = 65_536;
/// Every position of a stream up to here is learnt, then every eighth, then none.
const DENSE_MAX: usize = 64;
const SPARSE_MAX: usize = 512;
/// Weights are scaled back when they have doubled so often.
const DOUBLINGS_MAX: f64 = 512.0;

/// Shorter contexts are not asked for less weight than this, nor when so much was found.
const REST_MIN: f64 = 0.05;
const ENOUGH: usize = 256;

type Ages = [f64; HALF_LIVES.len()];

/// The table. Bounded: the oldest stream makes room.
#[derive(Debug, Default)]
pub(crate) struct Table {
    kinds: [HashMap<u64, Node>; KINDS],
    pub(crate) remainders: Remainders,
    learnt: VecDeque<Learnt>,
    positions: usize,
    /// Streams since weights were last scaled back.
    age: f64,
}

#[derive(Debug, Default)]
struct Node {
    total: Ages,
    followed: BTreeMap<u32, Followed>,
}

#[derive(Debug, Default)]
struct Followed {
    times: u32,
    weight: Ages,
}

#[derive(Debug)]
struct Learnt {
    weight: Ages,
    rows: Vec<([u64; KINDS], u32)>,
}

/// How an expert weighs what followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// Kinds of contexts, the shortest first.
    pub(crate) kinds: &'static [usize],
    /// Which half-life.
    pub(crate) half_life: usize,
    /// How many sightings of a longer context outweigh all shorter ones.
    pub(crate) doubt: f64,
}

/// The contexts of a prefix, by kind: 0 nothing, 1 class, 2 last step, 3 last two, 4 last two and
/// position, 5 multiset and last, 6 sequence, 7 sequence and last user, 8 sequence and time since
/// the step before, 9 class and about the position, 10 last step and about the position.
pub(crate) fn contexts(prefix: Prefix<'_>) -> [u64; KINDS] {
    let steps = prefix.steps;
    let symbol = |back: usize| match steps.len().checked_sub(back) {
        Some(at) => u64::from(steps[at].symbol.0) + 1,
        None => 0,
    };
    let set = steps.iter().fold(0u64, |sum, step| sum.wrapping_add(mix(7, step.symbol.0.into())));
    let start = mix(6, prefix.class);
    let sequence = steps.iter().fold(start, |hash, step| mix(hash, step.symbol.0.into()));
    let pair = mix(symbol(1), symbol(2));
    let user = steps.last().map_or(0, |step| u64::from(step.user));
    let place = about(steps.len()) as u64 + 1;
    let gap = match steps {
        [.., before, last] => octave((last.at_us - before.at_us) / 1_000_000),
        _ => 0,
    };
    [
        0,
        prefix.class,
        symbol(1),
        pair,
        mix(pair, steps.len() as u64),
        mix(mix(set, symbol(1)), prefix.class),
        sequence,
        mix(sequence, user),
        mix(sequence, gap),
        mix(prefix.class, place),
        mix(symbol(1), place),
    ]
}

impl Table {
    /// Learns what followed each position of a finished stream.
    pub(crate) fn learn(&mut self, finished: Prefix<'_>) {
        let weight = HALF_LIVES.map(|half_life| (self.age / half_life).exp2());
        let positions = (1..finished.steps.len())
            .filter(|at| *at <= DENSE_MAX || (*at <= SPARSE_MAX && at.is_multiple_of(8)));
        let mut rows = Vec::new();
        for at in positions {
            let remainder = self.remainders.hold(Remainder::of(finished.after(at)));
            rows.push((contexts(finished.first(at)), remainder));
        }
        for (contexts, remainder) in &rows {
            self.add(contexts, *remainder, &weight);
        }
        self.positions += rows.len();
        self.learnt.push_back(Learnt { weight, rows });
        while self.learnt.len() > STREAMS_MAX || self.positions > POSITIONS_MAX {
            self.forget_oldest();
        }
        self.age += 1.0;
        let fastest = HALF_LIVES.iter().copied().fold(f64::INFINITY, f64::min);
        if self.age / fastest > DOUBLINGS_MAX {
            self.scale_back();
        }
    }

    /// Adds to `found` what followed prefixes like this one, with its share of the weight.
    pub(crate) fn weigh(
        &self,
        contexts: &[u64; KINDS],
        view: View,
        scale: f64,
        found: &mut Vec<(u32, f64)>,
    ) {
        let enough = found.len() + ENOUGH;
        let now = (self.age / HALF_LIVES[view.half_life]).exp2();
        let mut rest = 1.0;
        for &kind in view.kinds.iter().rev() {
            let Some(node) = self.kinds[kind].get(&contexts[kind]) else { continue };
            let seen = node.total[view.half_life] / now;
            if seen < 1e-6 {
                continue;
            }
            let share = rest * seen / (seen + view.doubt);
            let each = scale * share / node.total[view.half_life];
            let weighed = node.followed.iter();
            found.extend(
                weighed.map(|(at, followed)| (*at, each * followed.weight[view.half_life])),
            );
            rest -= share;
            if rest < REST_MIN || found.len() >= enough {
                break;
            }
        }
    }

    /// Streams, positions and different remainders that are kept.
    #[cfg(test)]
    pub(crate) fn kept(&self) -> (usize, usize, usize) {
        (self.learnt.len(), self.positions, self.remainders.count())
    }

    fn add(&mut self, contexts: &[u64; KINDS], remainder: u32, weight: &Ages) {
        for (nodes, context) in self.kinds.iter_mut().zip(contexts) {
            let node = nodes.entry(*context).or_default();
            let followed = node.followed.entry(remainder).or_default();
            followed.times += 1;
            for (age, by) in weight.iter().enumerate() {
                node.total[age] += by;
                followed.weight[age] += by;
            }
        }
    }

    fn forget_oldest(&mut self) {
        let Some(Learnt { weight, rows }) = self.learnt.pop_front() else { return };
        self.positions -= rows.len();
        for (contexts, remainder) in rows {
            for (nodes, context) in self.kinds.iter_mut().zip(contexts) {
                forget(nodes, context, remainder, &weight);
            }
            self.remainders.release(remainder);
        }
    }

    fn scale_back(&mut self) {
        let by = HALF_LIVES.map(|half_life| (-self.age / half_life).exp2());
        let scale = |weight: &mut Ages| weight.iter_mut().zip(&by).for_each(|(age, by)| *age *= by);
        for node in self.kinds.iter_mut().flat_map(|nodes| nodes.values_mut()) {
            scale(&mut node.total);
            node.followed.values_mut().for_each(|followed| scale(&mut followed.weight));
        }
        self.learnt.iter_mut().for_each(|learnt| scale(&mut learnt.weight));
        self.age = 0.0;
    }
}

fn forget(nodes: &mut HashMap<u64, Node>, context: u64, remainder: u32, weight: &Ages) {
    let node = nodes.get_mut(&context).expect("what was learnt is in the table");
    let followed = node.followed.get_mut(&remainder).expect("with what followed");
    followed.times -= 1;
    for (age, by) in weight.iter().enumerate() {
        // Subtraction leaves dust, never less than nothing.
        followed.weight[age] = (followed.weight[age] - by).max(0.0);
        node.total[age] = (node.total[age] - by).max(0.0);
    }
    if followed.times == 0 {
        node.followed.remove(&remainder);
    }
    if node.followed.is_empty() {
        nodes.remove(&context);
    }
}

/// A position, to the nearest half octave: 1, 2, 3, 4, 6, 8, 12, ... are 0, 2, 3, 4, 5, 6, 7, ...
pub(crate) fn about(position: usize) -> usize {
    (2.0 * (position.max(1) as f64).log2()).round() as usize
}

/// Mixes a number into a hash (the finisher of splitmix64).
fn mix(hash: u64, with: u64) -> u64 {
    let mut mixed = hash.rotate_left(5).wrapping_add(with).wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// 0, then one more than log2 of the seconds.
fn octave(seconds: i64) -> u64 {
    u64::try_from(seconds).ok().and_then(u64::checked_ilog2).map_or(0, |log| u64::from(log) + 1)
}
