//! What a broken or lying gateway could hand to the driver in place of what its draft yields.
//!
//! Each forgery is as consistent as its author could make it: only what the chain, the parts or the
//! ring commit to gives it away.

use crate::{commit::client::group_id, digest::stream::Stream, digest::stream::append};
use vatic_core::{
    body::{Body, Part},
    codec,
    delta::Delta,
    footprint::Footprint,
    id::GroupId,
};

/// Kinds of forgery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Forgery {
    /// Two segments in each other's place.
    SwappedSegments,
    /// One segment twice.
    RepeatedSegment,
    /// One segment and its transitions left out.
    MissingSegment,
    /// One byte of a transition changed.
    ChangedByte,
    /// Two transitions of one group in each other's place.
    SwappedTransitions,
    /// A part that does not say what was read.
    HiddenRead,
    /// A segment and its transitions given to a group that does not own their key.
    Misplaced,
    /// The last transition left out, and the seal made to match.
    Truncated,
}

impl Forgery {
    /// All of them.
    pub const ALL: [Forgery; 8] = [
        Forgery::SwappedSegments,
        Forgery::RepeatedSegment,
        Forgery::MissingSegment,
        Forgery::ChangedByte,
        Forgery::SwappedTransitions,
        Forgery::HiddenRead,
        Forgery::Misplaced,
        Forgery::Truncated,
    ];
}

/// Applies a forgery; none where the transaction offers nothing to forge in this way.
pub fn forge(stream: &Stream, body: &mut Body, parts: &mut [Part], forgery: Forgery) -> Option<()> {
    match forgery {
        Forgery::SwappedSegments => {
            (body.segments.len() > 1).then(|| body.segments.swap(0, 1))?;
        }
        Forgery::RepeatedSegment => {
            let first = body.segments.first()?.clone();
            body.segments.insert(0, first);
        }
        Forgery::MissingSegment => {
            let lost = (body.segments.len() > 2).then(|| body.segments.remove(1))?;
            let part = part_of(parts, lost.group)?;
            part.transitions.retain(|kept| !(lost.first..=lost.last).contains(&kept.seq));
        }
        Forgery::ChangedByte => {
            let transition = parts.iter_mut().find_map(|part| part.transitions.first_mut())?;
            let delta: Delta = codec::decode(&transition.delta).ok()?;
            transition.delta = append(&delta.key, 9);
        }
        Forgery::SwappedTransitions => {
            let part = parts.iter_mut().find(|part| part.transitions.len() > 1)?;
            let [first, second, ..] = part.transitions.as_mut_slice() else { return None };
            std::mem::swap(&mut first.delta, &mut second.delta);
        }
        Forgery::HiddenRead => {
            parts.iter_mut().find(|part| !part.reads.is_empty())?.reads.clear();
        }
        Forgery::Misplaced => misplace(body, parts)?,
        Forgery::Truncated => truncate(stream, body, parts)?,
    }
    count_footprints(body, parts)
}

fn misplace(body: &mut Body, parts: &mut [Part]) -> Option<()> {
    let (from, to) = (group_id(0), group_id(1));
    let segment = body.segments.iter_mut().find(|segment| segment.group == from)?;
    segment.group = to;
    let (first, last) = (segment.first, segment.last);
    let old = part_of(parts, from)?;
    let moved = |seq: u64| (first..=last).contains(&seq);
    let taken: Vec<_> = old.transitions.iter().filter(|t| moved(t.seq)).cloned().collect();
    old.transitions.retain(|transition| !moved(transition.seq));
    let new = part_of(parts, to)?;
    new.transitions.extend(taken);
    new.transitions.sort_by_key(|transition| transition.seq);
    Some(())
}

fn truncate(stream: &Stream, body: &mut Body, parts: &mut [Part]) -> Option<()> {
    let seq = body.seal.count;
    let last = body.segments.last_mut()?;
    if last.first == seq {
        let (group, before) = (last.group, last.before);
        body.segments.pop();
        body.seal.head = before;
        part_of(parts, group)?.transitions.retain(|kept| kept.seq != seq);
    } else {
        last.last = seq - 1;
        last.after = stream.digests[seq as usize - 2];
        body.seal.head = last.after;
        let group = last.group;
        part_of(parts, group)?.transitions.retain(|kept| kept.seq != seq);
    }
    body.seal.count = seq - 1;
    Some(())
}

/// The body lists what its author made of the parts' transitions.
fn count_footprints(body: &mut Body, parts: &[Part]) -> Option<()> {
    for participant in &mut body.participants {
        let part = parts.iter().find(|part| part.group == participant.group)?;
        let mut footprint = Footprint::default();
        for transition in &part.transitions {
            let delta: Delta = codec::decode(&transition.delta).ok()?;
            footprint.add_delta(&delta);
        }
        participant.footprint = footprint;
    }
    Some(())
}

fn part_of(parts: &mut [Part], group: GroupId) -> Option<&mut Part> {
    parts.iter_mut().find(|part| part.group == group)
}
