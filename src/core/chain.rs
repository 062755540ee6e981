//! The digest chain over a transaction's transitions, and the stitching of its segments.
//!
//! `d_i = SHA-256(tag ‖ d_{i-1} ‖ seq_i ‖ len ‖ delta_i)`, `d_0` is the seed given at begin. The
//! digest runs over a delta's bytes as sent. Each group takes runs of consecutive transitions and
//! recomputes their digests itself; the aggregate stitches the runs into the one chain. A gap, a
//! repeat, a swap or a changed byte cannot stitch, since each link names the one before.

use crate::{
    hash::{Hash, Hasher},
    id::GroupId,
};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One transition as a participant takes it: its place in the stream and its delta's bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Transition {
    /// Place in the stream, from 1.
    pub seq: u64,
    /// The delta as sent, [`crate::codec`] format.
    #[serde(with = "serde_bytes")]
    pub delta: Vec<u8>,
}

/// The digest after a transition.
pub fn link(before: &Hash, seq: u64, delta: &[u8]) -> Hash {
    Hasher::new("vatic/transition/v1").hash(before).u64(seq).bytes(delta).finish()
}

/// What ends a stream: how many transitions there were and where the chain stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Seal {
    /// The digest before the first transition; random, given at begin.
    pub seed: Hash,
    /// How many transitions.
    pub count: u64,
    /// The digest after the last one; the seed where there is none.
    pub head: Hash,
}

/// A run of consecutive transitions that one group took.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Segment {
    /// Who took it.
    pub group: GroupId,
    /// First sequence number in it.
    pub first: u64,
    /// Last sequence number in it.
    pub last: u64,
    /// The digest before the first.
    pub before: Hash,
    /// The digest after the last.
    pub after: Hash,
}

/// Why segments do not make up the sealed chain, or transitions not their segment.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, thiserror::Error)]
pub enum ChainFault {
    /// A sequence number is missing.
    #[error("transition {seq} is missing")]
    Gap {
        /// The missing one.
        seq: u64,
    },
    /// A sequence number occurs again.
    #[error("transition {seq} occurs twice")]
    Repeat {
        /// The repeated one.
        seq: u64,
    },
    /// A digest does not follow from the one before.
    #[error("the digest chain breaks at transition {seq}")]
    Broken {
        /// Where.
        seq: u64,
    },
    /// The chain does not end at the seal.
    #[error("the chain ends at transition {last}, the seal says {count} or another head")]
    Seal {
        /// Last sequence number of the segments.
        last: u64,
        /// The seal's count.
        count: u64,
    },
}

/// Checks that the segments, in stream order, are exactly the sealed chain.
pub fn stitch(seal: &Seal, segments: &[Segment]) -> Result<(), ChainFault> {
    let mut last = 0;
    let mut digest = seal.seed;
    for segment in segments {
        if segment.first <= last || segment.last < segment.first {
            return Err(ChainFault::Repeat { seq: segment.first });
        }
        if segment.first != last + 1 {
            return Err(ChainFault::Gap { seq: last + 1 });
        }
        if segment.before != digest {
            return Err(ChainFault::Broken { seq: segment.first });
        }
        last = segment.last;
        digest = segment.after;
    }
    if last != seal.count || digest != seal.head {
        return Err(ChainFault::Seal { last, count: seal.count });
    }
    Ok(())
}

/// Recomputes a segment from the transitions themselves, which come in stream order.
pub fn recompute<'a>(
    segment: &Segment,
    transitions: impl IntoIterator<Item = (u64, &'a [u8])>,
) -> Result<(), ChainFault> {
    let mut next = segment.first;
    let mut digest = segment.before;
    for (seq, delta) in transitions {
        if seq < next {
            return Err(ChainFault::Repeat { seq });
        }
        if seq > next {
            return Err(ChainFault::Gap { seq: next });
        }
        digest = link(&digest, seq, delta);
        next += 1;
    }
    if next != segment.last + 1 {
        return Err(ChainFault::Gap { seq: next });
    }
    if digest != segment.after {
        return Err(ChainFault::Broken { seq: segment.last });
    }
    Ok(())
}
