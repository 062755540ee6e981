//! Groups that a forecast names and a stream has not touched yet: who leads them is found out and
//! asked something, so that a way there is open before the stream needs it.
//!
//! In no stream's way: a task beside it asks, each group at most once a stream, and not at all
//! where this node has just asked it for another one.

use super::{counters::Counters, tolerances::Tolerances};
use crate::{cluster::Cluster, peer::PeerRequest, time};
use std::{collections::BTreeMap, sync::Arc};
use vatic_core::id::GroupId;

/// Longest wait for a leader: who finds none by then will look again when it is needed.
const ASK_MAX_MS: u64 = 1_000;

/// A stream's participants, as far as they have been touched or are expected.
pub(super) struct Warm {
    cluster: Arc<Cluster>,
    tolerances: Arc<Tolerances>,
    counters: Arc<Counters>,
    groups_max: usize,
    /// Those that need nothing any more, by whether they were contacted ahead.
    known: BTreeMap<GroupId, bool>,
    /// Forecasts that were looked at.
    pub(super) looked: usize,
}

impl Warm {
    /// `None` where it is switched off.
    pub(super) fn new(
        cluster: &Arc<Cluster>,
        tolerances: &Arc<Tolerances>,
        counters: &Arc<Counters>,
    ) -> Option<Warm> {
        let groups_max = cluster.config.limits.warm_groups_max as usize;
        (groups_max > 0).then(|| Warm {
            cluster: cluster.clone(),
            tolerances: tolerances.clone(),
            counters: counters.clone(),
            groups_max,
            known: BTreeMap::new(),
            looked: 0,
        })
    }

    /// The stream reached a group by itself.
    pub(super) fn touched(&mut self, group: GroupId) {
        self.known.entry(group).or_insert(false);
    }

    /// A forecast names groups.
    pub(super) fn expect(&mut self, groups: &[GroupId]) {
        for &group in groups {
            let ahead = self.known.values().filter(|ahead| **ahead).count();
            if self.known.contains_key(&group) || ahead >= self.groups_max {
                continue;
            }
            self.known.insert(group, true);
            match self.tolerances.touch(&self.cluster, group) {
                false => self.counters.warm.inc(),
                true => {
                    self.counters.warmed.inc();
                    self.contact(group);
                }
            }
        }
    }

    /// Commands have a stream of their own to each node. This one has no effect.
    fn contact(&self, group: GroupId) {
        let (cluster, ends) = (self.cluster.clone(), time::deadline_in(ASK_MAX_MS));
        let nothing = PeerRequest::Settled { group, tids: Vec::new() };
        tokio::spawn(async move {
            if let Err(error) = cluster.ask(group, nothing, ends).await {
                tracing::debug!(%group, %error, "a participant was not reached ahead");
            }
        });
    }

    /// The stream is sealed: these take part.
    pub(super) fn sealed(&self, groups: &[GroupId]) {
        let ahead = |group: &&GroupId| self.known.get(group) == Some(&true);
        self.counters.warmed_rightly.inc_by(groups.iter().filter(ahead).count() as u64);
    }
}
