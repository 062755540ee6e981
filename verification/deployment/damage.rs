//! Flipped bits: what a restart makes of a disk that has rotted.
//!
//! A log that opens on such a disk may lack what its last batch wrote, as if that had been torn: no
//! checksum can tell the two apart. Which batch was the last, the disk knows; what then is left is
//! what the same log has on a disk where the power went at that byte. It must lack nothing else,
//! and never show what was not written. So what a bit does is seen on a copy first, and a node runs
//! on a disk that lacks nothing, or is refused one.

use super::Deployment;
use std::sync::Arc;
use vatic_log::{Disk, Limits, Log, SimDisk};

/// About a batch.
const NEAR_BYTES: usize = 600;
/// The log's header of a segment.
const HEADER_BYTES: usize = 64;

/// A byte of a node's disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot {
    slot: u64,
    at: usize,
}

/// What became of one flipped bit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Flip {
    /// The log does not open, and says where.
    Refused,
    /// It opens, and does not give an entry.
    Unreadable,
    /// All is there: the bit was nobody's, or its frame had a copy.
    Harmless,
    /// What was written last is gone, as if the power had, and all else is as it was.
    Shortened,
    /// The log lacks what was written earlier, or shows what was never written.
    Believed(String),
}

impl Deployment {
    /// Flips a bit of a copy of the disk of a node that is down, and opens both; tells where.
    pub(crate) fn flip_bit(&mut self, number: usize) -> Option<(Flip, Spot)> {
        let disk = self.nodes[number].disk.fork();
        let slots = disk.slots().ok().filter(|slots| !slots.is_empty())?;
        let slot = *self.rng.pick(&slots);
        let written = disk.contents(slot)?;
        // At the end of a segment is its second header.
        let frames = &written[..written.len().saturating_sub(HEADER_BYTES)];
        let end = frames.iter().rposition(|byte| *byte != 0)? + 1;
        // What was written last may be lost, and nothing else: so it is looked at often.
        let near = if self.rng.chance(500) { NEAR_BYTES.min(end) } else { end };
        let at = end - 1 - self.rng.index(near);
        let whole = open(&disk.fork(), &self.settings.log)?;
        let torn = disk.is_of_last_batch(slot, at).then(|| {
            let torn = disk.fork();
            torn.erase_from(slot, at);
            // What is zero anyway is missed by nobody.
            torn.damage(slot, at);
            open(&torn, &self.settings.log)
        });
        disk.damage(slot, at);
        let flip = match open(&disk, &self.settings.log) {
            Some(flipped) => judge(&whole, &flipped, torn.flatten().as_ref()),
            None => Flip::Refused,
        };
        Some((flip, Spot { slot, at }))
    }

    /// Flips it on the disk itself, on which the node will start.
    pub(crate) fn rot(&mut self, number: usize, Spot { slot, at }: Spot) {
        let node = &mut self.nodes[number];
        node.disk.damage(slot, at);
        node.rotten = true;
    }

    /// Whether a bit is flipped on the node's disk. There is never a second one: two may hit both
    /// copies of one frame.
    pub(crate) fn is_rotten(&self, number: usize) -> bool {
        self.nodes[number].rotten
    }
}

fn open(disk: &SimDisk, limits: &Limits) -> Option<Log> {
    let opened = Log::open_stepped(Arc::new(disk.clone()), limits.clone(), Arc::new(|_| {}));
    opened.ok().map(|(log, _)| log)
}

/// What the flipped bit made of the log. `torn` is the same log where the power went as the frame
/// with the bit was written: what may be lost is that, and only where it was the last batch.
fn judge(whole: &Log, flipped: &Log, torn: Option<&Log>) -> Flip {
    match difference(whole, flipped) {
        None => Flip::Harmless,
        Some(Difference::Unreadable) => Flip::Unreadable,
        Some(Difference::Other(what)) => match torn.map(|torn| difference(torn, flipped)) {
            Some(None) => Flip::Shortened,
            _ => Flip::Believed(what),
        },
    }
}

enum Difference {
    Unreadable,
    Other(String),
}

fn difference(known: &Log, found: &Log) -> Option<Difference> {
    let other = |what: String| Some(Difference::Other(what));
    if known.replicas() != found.replicas() {
        return other(format!("replicas {:?}, not {:?}", found.replicas(), known.replicas()));
    }
    for id in found.replicas() {
        let (known, found) = (known.replica(id), found.replica(id));
        let (before, after) = (known.state(), found.state());
        if before != after {
            return other(format!("{id:?} is {after:?}, not {before:?}"));
        }
        let last = after.last.map_or(0, |(index, _)| index);
        for index in 0..=last {
            let Ok(entries) = found.read(index..index + 1) else {
                return Some(Difference::Unreadable);
            };
            let Ok(written) = known.read(index..index + 1) else { continue };
            if entries != written {
                return other(format!("{id:?}: entry {index} is {entries:?}, not {written:?}"));
            }
        }
    }
    None
}
