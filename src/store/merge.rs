//! One ordered scan over several layers: the upper layer says what a key holds.
//!
//! The layers in memory are iterated in place. LMDB is read in chunks, each under the shard's
//! mutex and copied out, so that a visitor may itself read the same view, and a slow visitor
//! blocks nobody.

use std::iter::Peekable;

use crate::fatal::Fatal;
use crate::layout::Prefix;
use crate::lmdb::Base;
use crate::overlay::Change;

/// A layer above LMDB, in key order.
pub(crate) type Layer<'a> = Peekable<Box<dyn Iterator<Item = Change<'a>> + 'a>>;

pub(crate) type Visitor<'v> = dyn FnMut(&[u8], &[u8]) -> bool + 'v;

const FIRST_CHUNK_ENTRIES: usize = 16;
const CHUNK_ENTRIES_MAX: usize = 1_024;
const CHUNK_BYTES_MAX: usize = 256 << 10;

/// Visits what `layers` (the uppermost first) over `base` hold, in key order, until the visitor
/// returns `false`.
pub(crate) fn merge(mut layers: Vec<Layer<'_>>, mut base: BaseCursor<'_>, visit: &mut Visitor<'_>) {
    loop {
        let upper = layers.iter_mut().filter_map(|layer| layer.peek()).map(|change| change.0).min();
        let lower = base.peek();
        match (upper, lower) {
            (None, None) => return,
            (upper, Some((key, value))) if upper.is_none_or(|upper| key < upper) => {
                if !visit(key, value) {
                    return;
                }
                base.advance();
            }
            (upper, lower) => {
                let key = upper.expect("no key is below an absent one");
                if lower.is_some_and(|(lower, _)| lower == key) {
                    base.advance();
                }
                if let Some(value) = take(&mut layers, key)
                    && !visit(key, value)
                {
                    return;
                }
            }
        }
    }
}

/// Moves every layer past `key`; what the uppermost that has it says.
fn take<'a>(layers: &mut [Layer<'a>], key: &[u8]) -> Option<&'a [u8]> {
    let mut answer = None;
    for layer in layers {
        if let Some((_, value)) = layer.next_if(|change| change.0 == key) {
            answer.get_or_insert(value);
        }
    }
    answer.flatten()
}

/// Reads a range of LMDB in chunks that grow, since most scans are short.
pub(crate) struct BaseCursor<'a> {
    base: &'a Base,
    shard: usize,
    prefix: &'a Prefix,
    fatal: &'a Fatal,
    to: Option<&'a [u8]>,
    /// Where the next chunk starts, or `None` where there is none.
    next: Option<Vec<u8>>,
    chunk: Vec<(Vec<u8>, Vec<u8>)>,
    position: usize,
    chunk_entries: usize,
}

impl<'a> BaseCursor<'a> {
    pub(crate) fn new(
        base: &'a Base,
        shard: usize,
        prefix: &'a Prefix,
        fatal: &'a Fatal,
        (from, to): (&[u8], Option<&'a [u8]>),
    ) -> BaseCursor<'a> {
        let next = Some(from.to_vec());
        let (chunk, position, chunk_entries) = (Vec::new(), 0, FIRST_CHUNK_ENTRIES);
        BaseCursor { base, shard, prefix, fatal, to, next, chunk, position, chunk_entries }
    }

    fn peek(&mut self) -> Option<(&[u8], &[u8])> {
        if self.position == self.chunk.len() {
            self.fill();
        }
        self.chunk.get(self.position).map(|(key, value)| (&**key, &**value))
    }

    fn advance(&mut self) {
        self.position += 1;
    }

    fn fill(&mut self) {
        let Some(from) = self.next.take() else { return };
        self.chunk.clear();
        self.position = 0;
        let bounds = (&*from, self.to);
        let most = (self.chunk_entries, CHUNK_BYTES_MAX);
        let read = self.base.chunk(self.shard, self.prefix, bounds, most, &mut self.chunk);
        let more = read.unwrap_or_else(|error| self.fatal.stop(&error.to_string()));
        self.chunk_entries = (self.chunk_entries * 2).min(CHUNK_ENTRIES_MAX);
        if more {
            let (last, _) = self.chunk.last().expect("a chunk that stopped early holds an entry");
            // The successor of a key in bytewise order is the key followed by a zero byte.
            self.next = Some([&**last, &[0]].concat());
        }
    }
}
