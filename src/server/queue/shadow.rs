//! Shadow writes of tickets that are not urgent: tried out by the leaders of all their groups, and
//! sent where nobody is in their way.
//!
//! In the way are: an undecided vote on one of its records, whoever has or awaits a turn with one
//! or said that it will write it, and another shadow that was found clean and has not ended.

use crate::{
    api::Gateway,
    cluster::Cluster,
    peer::{PeerReply, PeerRequest},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use vatic_consensus::GroupHandle;
use vatic_core::{
    codec,
    delta::Delta,
    group::Group,
    id::GroupId,
    key::Key,
    rules::Rules,
    shadow::{self, ShadowId, ShadowLimits, Shadows},
};

/// Longest wait for a leader's word; without it a ticket goes untried.
const TRIAL_MAX: Duration = Duration::from_millis(500);

/// The staging areas of the groups that this node leads. A shadow has one id in all its groups.
pub(crate) struct StagingAreas {
    shadows: Mutex<BTreeMap<GroupId, Shadows>>,
    began: Instant,
}

impl Default for StagingAreas {
    fn default() -> StagingAreas {
        StagingAreas { shadows: Mutex::default(), began: Instant::now() }
    }
}

impl StagingAreas {
    fn stage(&self, group: GroupId, id: ShadowId, keys: BTreeSet<Key>) -> bool {
        let now_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut shadows = self.shadows.lock().expect("no holder panics");
        let own = shadows.entry(group);
        own.or_insert_with(|| Shadows::new(ShadowLimits::production())).stage(id, keys, now_us)
    }

    pub(crate) fn leave(&self, group: GroupId, id: ShadowId) {
        if let Some(own) = self.shadows.lock().expect("no holder panics").get_mut(&group) {
            own.leave(id);
        }
    }
}

/// What trying a ticket out came to.
pub(super) enum Tried {
    /// It is staged where its records lie, and may be sent.
    Clean(Staged),
    /// Somebody is in its way.
    HeldBack,
    /// A leader did not say: its votes will.
    Unknown,
}

/// A shadow's places, left when dropped.
pub(super) struct Staged {
    cluster: Arc<Cluster>,
    id: ShadowId,
    groups: Vec<GroupId>,
}

impl Drop for Staged {
    fn drop(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            let (cluster, id) = (self.cluster.clone(), self.id);
            // A place that is not left, since its leader is not reached, ends with its lease.
            tokio::spawn(async move {
                let ends = Instant::now() + TRIAL_MAX;
                let _ = cluster.ask(group, PeerRequest::LeaveStage { group, id }, ends).await;
            });
        }
    }
}

impl Gateway {
    /// Tries a ticket's transaction out in all its groups at once.
    pub(super) async fn try_out(&self, deltas: &[Vec<u8>], ends: Instant) -> Tried {
        let tried = self.try_out_counted(deltas, ends).await;
        let shadows = &self.cluster.metrics.shadows;
        match &tried {
            Tried::Clean(_) => shadows.clean.inc(),
            Tried::HeldBack => shadows.held_back.inc(),
            Tried::Unknown => shadows.unknown.inc(),
        }
        tried
    }

    async fn try_out_counted(&self, deltas: &[Vec<u8>], ends: Instant) -> Tried {
        let Some(by_group) = self.by_group(deltas) else { return Tried::Unknown };
        let (id, ends) = (rand::random(), ends.min(Instant::now() + TRIAL_MAX));
        let groups = by_group.keys().copied().collect();
        let staged = Staged { cluster: self.cluster.clone(), id, groups };
        let asked = by_group.into_iter().map(|(group, deltas)| async move {
            let request = PeerRequest::Shadow { group, id, deltas };
            match self.cluster.ask(group, request, ends).await {
                Ok(PeerReply::Shadow { clean }) => Some(clean),
                _ => None,
            }
        });
        let said = futures::future::join_all(asked).await;
        if said.contains(&Some(false)) {
            return Tried::HeldBack;
        }
        match said.contains(&None) {
            true => Tried::Unknown,
            false => Tried::Clean(staged),
        }
    }

    /// `None` where they cannot be read or placed, which the votes will tell.
    fn by_group(&self, deltas: &[Vec<u8>]) -> Option<BTreeMap<GroupId, Vec<(u64, Delta)>>> {
        let mut by_group: BTreeMap<GroupId, Vec<(u64, Delta)>> = BTreeMap::new();
        for (seq, bytes) in (1..).zip(deltas) {
            let delta: Delta = codec::decode(bytes).ok()?;
            let group = self.group_of(&delta.key.partition).ok()?;
            by_group.entry(group).or_default().push((seq, delta));
        }
        Some(by_group)
    }
}

impl Cluster {
    /// Tries out what a shadow would do in a group that is led here, and stages it where it is
    /// clean.
    pub(crate) fn serve_shadow(
        &self,
        group: GroupId,
        handle: &GroupHandle,
        id: ShadowId,
        deltas: Vec<(u64, Delta)>,
    ) -> PeerReply {
        let view = handle.view();
        let reader = Group::of_view(group, &view, Rules::default());
        let keys: BTreeSet<Key> = deltas.iter().map(|(_, delta)| delta.key.clone()).collect();
        let awaited =
            keys.iter().any(|key| self.lanes.ahead(key) > 0 || self.conflicts.is_claimed(key));
        let waits = || reader.try_out(&view, deltas).is_some_and(|cause| shadow::waits(&cause.why));
        let clean = !awaited && !waits() && self.staging.stage(group, id, keys);
        PeerReply::Shadow { clean }
    }
}
