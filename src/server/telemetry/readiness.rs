//! Whether clients should come here: for `/readyz` and for the gRPC health service alike.
//!
//! Ready is a node that knows the ring, is not closing, and hears a configured leader of every
//! group that it holds; of the others it knows nothing. Elections take a second or two, and every
//! node sees the same one: a node that has been ready stays so for `unready_after_ms` without, or
//! an election would take all nodes away at once from clients that had better wait.

use crate::cluster::Cluster;
use std::{
    collections::BTreeSet,
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use vatic_core::{group::Group, id::GroupId, rules::Rules};

/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What a node lacks to be ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lack {
    Starting,
    Draining,
    Ring,
    Leader(Vec<GroupId>),
    Configuration(GroupId),
}

/// What the latest look found.
pub(crate) struct Readiness(Mutex<Option<Lack>>);

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness(Mutex::new(Some(Lack::Starting)))
    }
}

impl Readiness {
    /// `None` where the node is ready.
    pub(crate) fn lack(&self, cluster: &Cluster) -> Option<Lack> {
        let draining = cluster.is_draining().then_some(Lack::Draining);
        draining.or_else(|| self.0.lock().expect("no holder panics").clone())
    }

    fn set(&self, lack: Option<Lack>) {
        *self.0.lock().expect("no holder panics") = lack;
    }
}

/// Looks again and again, and tells of every change; ends once the node closes.
pub(crate) async fn follow<F>(cluster: Arc<Cluster>, tell: impl Fn(bool) -> F)
where
    F: Future<Output = ()>,
{
    let patience = Duration::from_millis(cluster.config.limits.unready_after_ms);
    let mut judge = Judge { ready: false, lacking_since: None, patience };
    let mut unconfigured: BTreeSet<GroupId> = cluster.groups.keys().copied().collect();
    unconfigured.remove(&GroupId::META);
    while !cluster.is_draining() {
        let lack = look(&cluster, &mut unconfigured);
        let before = judge.ready;
        let ready = judge.judge(lack.is_some(), Instant::now());
        let lack = lack.filter(|_| !ready);
        if ready != before {
            match &lack {
                Some(lack) => tracing::warn!(%lack, "not ready any more"),
                None => tracing::info!("ready"),
            }
        }
        cluster.readiness.set(lack);
        if ready != before {
            tell(ready).await;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Patience with a node that was ready.
struct Judge {
    ready: bool,
    lacking_since: Option<Instant>,
    patience: Duration,
}

impl Judge {
    fn judge(&mut self, lacking: bool, now: Instant) -> bool {
        match lacking {
            false => (self.ready, self.lacking_since) = (true, None),
            true => {
                let since = *self.lacking_since.get_or_insert(now);
                self.ready &= now - since < self.patience;
            }
        }
        self.ready
    }
}

/// A group's configuration is looked at until it is there, and never again: it does not go away,
/// and many idle groups must cost little.
fn look(cluster: &Cluster, unconfigured: &mut BTreeSet<GroupId>) -> Option<Lack> {
    if cluster.ring().is_none() {
        return Some(Lack::Ring);
    }
    let without = cluster.groups.iter().filter(|(_, handle)| handle.leader_heard().is_none());
    let without: Vec<GroupId> = without.map(|(&group, _)| group).collect();
    if !without.is_empty() {
        return Some(Lack::Leader(without));
    }
    unconfigured.retain(|&group| {
        let view = cluster.groups[&group].view();
        Group::of_view(group, &view, Rules::default()).config().ring.is_none()
    });
    unconfigured.first().map(|&group| Lack::Configuration(group))
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Starting => f.write_str("the node is starting"),
            Lack::Draining => f.write_str("the node is closing"),
            Lack::Ring => f.write_str("the ring is not known yet"),
            Lack::Leader(groups) => write!(f, "no leader was heard of: group {}", listed(groups)),
            Lack::Configuration(group) => write!(f, "group {group} has no configuration yet"),
        }
    }
}

fn listed(groups: &[GroupId]) -> String {
    groups.iter().map(GroupId::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lack_is_forgiven_to_a_node_that_was_ready_alone() {
        let (patience, start) = (Duration::from_secs(2), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut judge = Judge { ready: false, lacking_since: None, patience };
        assert!(!judge.judge(true, at(0)), "it never was ready");
        assert!(judge.judge(false, at(10)));
        assert!(judge.judge(true, at(20)) && judge.judge(true, at(2_010)));
        assert!(!judge.judge(true, at(2_020)));
        assert!(!judge.judge(true, at(2_030)), "only a look that finds nothing lacking helps");
        assert!(judge.judge(false, at(2_040)));
        assert!(judge.judge(true, at(9_000)), "patience begins anew");
    }
}
