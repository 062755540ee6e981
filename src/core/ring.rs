//! The consistent-hash ring: which group owns a partition.
//!
//! Each group stands at many points (virtual nodes) of a 64-bit circle; a partition belongs to the
//! group at the first point at or after its hash. Adding or removing a group moves only what that
//! group gains or loses (Karger et al., 1997). Points depend on group ids alone, so every node and
//! every replica derives the same ring from the same list.

use crate::{hash::Hasher, id::GroupId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What is replicated of a ring: from this, [`Ring`] is derived.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct RingSpec {
    /// Rises by one with each change.
    pub epoch: u64,
    /// Points for each group.
    pub virtual_nodes: u32,
    /// The data groups.
    pub groups: Vec<GroupId>,
}

/// A ring ready for look-ups.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Ring {
    spec: RingSpec,
    points: Vec<(u64, GroupId)>,
}

impl Ring {
    /// Lays the points out.
    pub fn new(spec: RingSpec) -> Ring {
        let mut points = Vec::with_capacity(spec.groups.len() * spec.virtual_nodes as usize);
        for &group in &spec.groups {
            for node in 0..u64::from(spec.virtual_nodes) {
                let digest = Hasher::new("vatic/ring/v1").u64(u64::from(group.0)).u64(node);
                points.push((place(digest), group));
            }
        }
        points.sort_unstable();
        Ring { spec, points }
    }

    /// The owner of a partition; `None` on an empty ring.
    pub fn group_of(&self, partition: &str) -> Option<GroupId> {
        let at = place(Hasher::new("vatic/partition/v1").bytes(partition.as_bytes()));
        let next = self.points.partition_point(|&(point, _)| point < at);
        self.points.get(next).or_else(|| self.points.first()).map(|&(_, group)| group)
    }

    /// What it was made from.
    pub fn spec(&self) -> &RingSpec {
        &self.spec
    }
}

fn place(hasher: Hasher) -> u64 {
    let digest = hasher.finish();
    u64::from_be_bytes(digest.0[..8].try_into().expect("a digest has 32 bytes"))
}
