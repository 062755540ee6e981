//! Replicas are compared all the time: their chains while they work, their states while they rest.
//!
//! The chain covers every byte that applying an entry wrote, so replicas that applied differently
//! have different heads from that entry on; comparing the last heads finds it, and the heads that
//! are kept say where. What changed at rest shows in no head: for that, replicas that stand at one
//! index are compared by a digest of their whole states, once for each time that they come to rest.
//! A majority that has answered is enough to say who differs; where too few have, it is only told.

use crate::{
    cluster::Cluster,
    divergence::{self, Divergence},
    peer::{PeerReply, PeerRequest},
    time,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use vatic_consensus::{GroupHandle, RaftId};
use vatic_core::{command::ChainHead, group::Group, hash::Hash, id::GroupId, rules::Rules};

/// Heads in one answer.
pub(crate) const HEADS_MAX: usize = 4_096;

/// A whole state is read for comparison at most for this share of the time: one in so many.
const STATE_SHARE: u32 = 20;

/// Starts one task for each group here; it works while this node leads.
pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    for (&id, handle) in &cluster.groups {
        let compare = Compare {
            cluster: cluster.clone(),
            id,
            handle: handle.clone(),
            seen: 0,
            states_at: 0,
            states_from: Instant::now(),
        };
        tasks.spawn(compare.run());
    }
}

struct Compare {
    cluster: Arc<Cluster>,
    id: GroupId,
    handle: GroupHandle,
    /// Where the chain stood at the last look.
    seen: u64,
    /// The index at which states were compared last.
    states_at: u64,
    /// States are not compared again before.
    states_from: Instant,
}

impl Compare {
    async fn run(mut self) {
        let interval = Duration::from_millis(self.cluster.config.limits.compare_interval_ms);
        loop {
            tokio::time::sleep(interval).await;
            if self.handle.is_leader() && !self.cluster.set_aside.contains(self.id) {
                self.chains().await;
                self.states().await;
            }
        }
    }

    async fn chains(&self) {
        let Some(own) = self.heads_of(self.cluster.config.node, u64::MAX).await else { return };
        for node in self.others() {
            let Some(theirs) = self.heads_of(node, u64::MAX).await else { continue };
            let last = theirs.last.index.min(own.last.index);
            let (Some(own), Some(theirs)) = (self.own_at(last), self.at(node, last).await) else {
                continue;
            };
            if own != theirs.1 {
                self.judge(self.first_difference(node, last).await).await;
            }
        }
    }

    /// The first index, as far as heads are kept, from which on a replica differs.
    async fn first_difference(&self, node: u32, upper: u64) -> u64 {
        let mut from = 0;
        while from <= upper {
            let Some(theirs) = self.heads_of(node, from).await else { return upper };
            let own = self.own_heads(from);
            if let Some(first) = divergence::first_difference(&own, &theirs.heads) {
                return first;
            }
            match theirs.heads.last().map(|head| head.index).max(own.last().map(|it| it.index)) {
                Some(last) if last >= from => from = last + 1,
                _ => return upper,
            }
        }
        upper
    }

    /// Sets whoever has not the majority's head at this index aside.
    async fn judge(&self, index: u64) {
        let mut found = Vec::new();
        for node in self.cluster.holders(self.id) {
            if let Some((replica, head)) = self.at(node, index).await {
                found.push((replica, head.digest));
            }
        }
        self.convict(index, "chain head", &found).await;
    }

    async fn convict(&self, index: u64, of: &str, found: &[(RaftId, Hash)]) {
        let Some(odd) = divergence::minority(found, self.cluster.holders(self.id).len()) else {
            tracing::error!(group = %self.id, index, ?found, "replicas differ, without a majority");
            return;
        };
        for &(replica, digest) in found.iter().filter(|(replica, _)| odd.contains(replica)) {
            let (node, generation) = (replica.node(), replica.generation());
            let what = format!("{of} {} is not the majority's", digest.to_hex());
            tracing::error!(group = %self.id, node, index, what, "a replica differs");
            let divergence = Divergence { index, what };
            if node == self.cluster.config.node {
                self.cluster.set_aside(self.id, generation, divergence);
                continue;
            }
            let request = PeerRequest::SetAside { group: self.id, generation, divergence };
            // Not told: the next look finds it again.
            let _ = self.cluster.peers.call(node, &request, self.deadline()).await;
        }
    }

    /// Compares states, once the group has rested since the last look, of those that stand at the
    /// index of this one; and again while not all do.
    async fn states(&mut self) {
        // What was applied last, with entries that hold no command, which chains do not count.
        let index = self.handle.view().mark().map_or(0, |mark| mark.index);
        let rested = std::mem::replace(&mut self.seen, index) == index;
        if !rested || self.states_at == index || Instant::now() < self.states_from {
            return;
        }
        let started = Instant::now();
        let asked = self.cluster.holders(self.id).into_iter().map(|node| self.state_of(node));
        let found = futures::future::join_all(asked).await.into_iter().flatten();
        let digests = standing_at(index, found);
        self.states_from = Instant::now() + started.elapsed() * STATE_SHARE;
        if digests.len() == self.cluster.holders(self.id).len() {
            self.states_at = index;
        }
        if digests.windows(2).any(|pair| pair[0].1 != pair[1].1) {
            self.convict(index, "state", &digests).await;
        }
    }

    async fn state_of(&self, node: u32) -> Option<(RaftId, u64, Hash)> {
        let reply = if node == self.cluster.config.node {
            self.cluster.state_digest(self.id).await
        } else {
            let limits = &self.cluster.config.limits;
            let deadline = time::deadline_in(limits.call_deadline_ms);
            let request = PeerRequest::StateDigest { group: self.id };
            self.cluster.peers.call(node, &request, deadline).await?
        };
        match reply {
            PeerReply::StateDigest { replica, index, digest } => {
                Some((replica, index, Hash(digest)))
            }
            _ => None,
        }
    }

    fn others(&self) -> Vec<u32> {
        let own = self.cluster.config.node;
        self.cluster.holders(self.id).into_iter().filter(|&node| node != own).collect()
    }

    fn own_heads(&self, from: u64) -> Vec<ChainHead> {
        heads(self.id, &self.handle, from).heads
    }

    fn own_at(&self, index: u64) -> Option<ChainHead> {
        self.own_heads(index).first().copied().filter(|head| head.index == index)
    }

    async fn at(&self, node: u32, index: u64) -> Option<(RaftId, ChainHead)> {
        let found = self.heads_of(node, index).await?;
        let head = found.heads.first().copied().filter(|head| head.index == index)?;
        Some((found.replica, head))
    }

    async fn heads_of(&self, node: u32, from: u64) -> Option<Heads> {
        self.cluster.heads_of(node, self.id, from, self.deadline()).await
    }

    fn deadline(&self) -> Instant {
        time::deadline_in(self.cluster.config.limits.propose_deadline_ms)
    }
}

/// Where a replica's chain stands, and the heads from some index on.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Heads {
    pub(crate) replica: RaftId,
    pub(crate) last: ChainHead,
    /// Ascending, at most [`HEADS_MAX`].
    pub(crate) heads: Vec<ChainHead>,
}

/// Who answered with its state at this index, and with what: others have only applied less or more.
fn standing_at(
    index: u64,
    found: impl Iterator<Item = (RaftId, u64, Hash)>,
) -> Vec<(RaftId, Hash)> {
    found.filter(|(_, at, _)| *at == index).map(|(replica, _, digest)| (replica, digest)).collect()
}

impl Cluster {
    /// The heads that a node's replica has from an index on, and its last one; `None` where it does
    /// not answer, or serves no more.
    pub(crate) async fn heads_of(
        self: &Arc<Self>,
        node: u32,
        group: GroupId,
        from: u64,
        deadline: Instant,
    ) -> Option<Heads> {
        let request = PeerRequest::Heads { group, from };
        let reply = if node == self.config.node {
            Box::pin(self.serve(request, deadline)).await
        } else {
            self.peers.call(node, &request, deadline).await?
        };
        match reply {
            PeerReply::Heads(found) => Some(found),
            _ => None,
        }
    }
}

/// This node's own.
pub(crate) fn heads(id: GroupId, handle: &GroupHandle, from: u64) -> Heads {
    let (replica, view) = (handle.id(), handle.view());
    let group = Group::of_view(id, &view, Rules::default());
    let heads = group.heads(&view, from..=u64::MAX, HEADS_MAX);
    Heads { replica, last: group.chain(), heads }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_at_one_index_convict_though_a_holder_is_away_or_behind() {
        let (same, other) = (Hash([1; 32]), Hash([2; 32]));
        let found = [(1, 7, same), (2, 7, same), (3, 7, other), (4, 6, other), (5, 7, same)];
        let found = found.map(|(node, index, digest)| (RaftId::new(node, 4), index, digest));
        let standing = standing_at(7, found.into_iter());
        let whose: Vec<u32> = standing.iter().map(|(replica, _)| replica.node()).collect();
        assert_eq!(whose, [1, 2, 3, 5]);
        assert_eq!(divergence::minority(&standing, 5), Some(vec![RaftId::new(3, 4)]));
        let two = standing_at(7, found.into_iter().skip(1).take(2));
        assert_eq!(divergence::minority(&two, 3), None, "two that differ name nobody");
    }
}
