//! A replica that is not what the others are, or whose disk rotted: what is known of it, and that
//! it serves no more.
//!
//! The majority decides who differs. A replica alone with its head knows nothing of it until it is
//! told; from then on it answers neither reads nor votes' proposers, signs nothing, and gives its
//! leadership away. Only the replica is set aside: the node's other groups go on.

use crate::cluster::Cluster;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Mutex};
use vatic_consensus::RaftId;
use vatic_core::{command::ChainHead, id::GroupId};

/// How a replica differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Divergence {
    /// The first log index from which on it differs, as far as heads are kept; for damage at rest,
    /// the index that the replica had applied.
    pub(crate) index: u64,
    /// What is there and what should be.
    pub(crate) what: String,
}

/// This node's replicas that were found to differ, with the generation that did.
#[derive(Default)]
pub(crate) struct SetAside(Mutex<BTreeMap<GroupId, (u32, Divergence)>>);

impl SetAside {
    pub(crate) fn get(&self, group: GroupId) -> Option<Divergence> {
        let known = self.0.lock().expect("no holder panics");
        known.get(&group).map(|(_, divergence)| divergence.clone())
    }

    pub(crate) fn contains(&self, group: GroupId) -> bool {
        self.0.lock().expect("no holder panics").contains_key(&group)
    }

    /// Whether it is new.
    fn insert(&self, group: GroupId, generation: u32, divergence: Divergence) -> bool {
        let mut known = self.0.lock().expect("no holder panics");
        match known.contains_key(&group) {
            true => false,
            false => known.insert(group, (generation, divergence)).is_none(),
        }
    }

    /// A replica of this generation takes part: what an earlier one was is past.
    pub(crate) fn clear_before(&self, group: GroupId, generation: u32) {
        let mut known = self.0.lock().expect("no holder panics");
        if known.get(&group).is_some_and(|(earlier, _)| *earlier < generation) {
            known.remove(&group);
        }
    }
}

impl Cluster {
    /// Sets this node's replica aside, until it is rebuilt, unless it was already: a finding about
    /// an earlier generation says nothing of this one. The first finding stands.
    pub(crate) fn set_aside(&self, group: GroupId, generation: u32, divergence: Divergence) {
        let handle = self.groups.get(&group).cloned();
        let Some(handle) = handle.filter(|handle| handle.id().generation() == generation) else {
            return;
        };
        let Divergence { index, what } = divergence.clone();
        if self.set_aside.insert(group, generation, divergence) {
            tracing::error!(%group, index, what, "this replica is set aside");
            tokio::spawn(async move {
                if let Err(error) = handle.quarantine().await {
                    tracing::warn!(%group, %error, "the leadership ends without a successor");
                }
            });
        }
    }
}

/// Which replicas do not have what a majority of the holders has; `None` where there is no
/// majority.
pub(crate) fn minority<T: PartialEq>(found: &[(RaftId, T)], holders: usize) -> Option<Vec<RaftId>> {
    let quorum = vatic_core::sign::quorum(holders);
    let count = |value: &T| found.iter().filter(|(_, other)| other == value).count();
    let (_, most) = found.iter().find(|(_, value)| count(value) >= quorum)?;
    Some(found.iter().filter(|(_, value)| value != most).map(|(replica, _)| *replica).collect())
}

/// The first index at which two replicas' heads differ, from where both keep them on; both ascend.
pub(crate) fn first_difference(own: &[ChainHead], theirs: &[ChainHead]) -> Option<u64> {
    let start = own.first()?.index.max(theirs.first()?.index);
    let kept = |head: &&ChainHead| head.index >= start;
    let mut pairs = own.iter().filter(kept).zip(theirs.iter().filter(kept));
    let (own, theirs) = pairs.find(|(own, theirs)| own != theirs)?;
    Some(own.index.min(theirs.index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vatic_core::hash::Hash;

    #[test]
    fn minority_is_whoever_differs_from_a_majority_of_all_holders() {
        let minority = |values: &str| {
            let found = values.chars().zip(1..).map(|(value, node)| (RaftId::new(node, 1), value));
            let odd = super::minority(&found.collect::<Vec<_>>(), 3)?;
            Some(odd.into_iter().map(RaftId::node).collect::<Vec<_>>())
        };
        assert_eq!(minority("aaa"), Some(vec![]));
        assert_eq!(minority("aba"), Some(vec![2]));
        assert_eq!(minority("baa"), Some(vec![1]));
        // One that did not answer counts as a holder all the same.
        assert_eq!(minority("ab"), None);
        assert_eq!(minority("abc"), None);
    }

    #[test]
    fn first_difference_is_the_lower_index_where_they_part() {
        let head = |index, byte| ChainHead { index, digest: Hash([byte; 32]) };
        let own = [head(4, 1), head(5, 2), head(7, 3)];
        assert_eq!(first_difference(&own, &own), None);
        assert_eq!(first_difference(&own, &[head(4, 1), head(5, 9), head(7, 9)]), Some(5));
        assert_eq!(first_difference(&own, &[head(4, 1), head(6, 2)]), Some(5));
        // One keeps more of the past than the other.
        assert_eq!(first_difference(&own, &[head(5, 2), head(7, 3)]), None);
        assert_eq!(first_difference(&own, &[head(5, 9), head(7, 3)]), Some(5));
        // One that is behind has contradicted nothing.
        assert_eq!(first_difference(&own, &own[..1]), None);
    }
}
