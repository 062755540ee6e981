//! What the groups tolerate and how far they are, as this node knows it: asked for again while
//! streams that will be judged run, never in their way.

use crate::{
    cluster::Cluster,
    peer::{PeerFound, PeerRead},
    time,
};
use fail::fail_point;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use vatic_core::{expected::Score, id::GroupId, tolerance::Tolerance, verdict::Conditions};

/// How old an answer may be before it is asked for again.
const FRESH: Duration = Duration::from_millis(500);
/// How old an answer may be to judge by: what is tolerated moves slowly.
const KEPT: Duration = Duration::from_secs(10);
/// Longest wait for an answer.
const ASK_MAX_MS: u64 = 2_000;
/// Round trips below this are scheduling, not network.
const RTT_FLOOR_US: u64 = 1_000;
/// The mean round trip follows each by this part.
const RTT_MEAN_PARTS: u64 = 64;

/// See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Tolerances(Mutex<BTreeMap<GroupId, Known>>);

/// What is known of one group.
#[derive(Clone, Debug)]
struct Known {
    asked: Instant,
    answered: Option<Instant>,
    tolerance: Arc<Tolerance>,
    /// From question to answer, with all tries between: a lost message or a leader that moved is
    /// in it.
    rtt_us: u64,
    rtt_mean_us: u64,
}

impl Tolerances {
    /// A stream touches a group, or is expected to: what is known of it should be fresh when it is
    /// sealed. Whether its leader is asked now.
    pub(crate) fn touch(self: &Arc<Tolerances>, cluster: &Arc<Cluster>, group: GroupId) -> bool {
        let now = Instant::now();
        {
            let mut known = self.0.lock().expect("no holder panics");
            let known = known.entry(group).or_insert_with(|| Known::nothing(now - FRESH));
            if now - known.asked < FRESH {
                return false;
            }
            known.asked = now;
        }
        let (tolerances, cluster) = (self.clone(), cluster.clone());
        let ends = time::deadline_in(ASK_MAX_MS);
        tokio::spawn(async move { tolerances.ask(&cluster, group, ends).await });
        true
    }

    /// Asks a group now, unless it has just answered.
    pub(crate) async fn refresh(&self, cluster: &Arc<Cluster>, group: GroupId, ends: Instant) {
        let now = Instant::now();
        let fresh = {
            let mut known = self.0.lock().expect("no holder panics");
            let known = known.entry(group).or_insert_with(|| Known::nothing(now));
            known.answered.is_some_and(|answered| now - answered < 2 * FRESH)
        };
        if !fresh {
            self.ask(cluster, group, ends).await;
        }
    }

    async fn ask(&self, cluster: &Arc<Cluster>, group: GroupId, ends: Instant) {
        let asked = Instant::now();
        let found = cluster.read(group, PeerRead::Tolerance, ends).await;
        let lost = || {
            fail_point!("server::tolerance", |_| true);
            false
        };
        let found = found.ok().filter(|_| !lost()).and_then(|found| match found {
            PeerFound::Tolerance(tolerance) => Some(*tolerance),
            _ => None,
        });
        self.know(group, found, asked.elapsed());
    }

    /// Whether a group's tolerance is known, so that it can be judged by.
    pub(crate) fn knows(&self, group: GroupId) -> bool {
        let known = self.0.lock().expect("no holder panics");
        known.get(&group).is_some_and(Known::holds)
    }

    /// What a transaction of these groups is held to: its conditions are those of the group that is
    /// farther than usual by the most. No tolerance where its home group has not said for a while
    /// what it tolerates: that is not the same as tolerating everything.
    pub(crate) fn given(
        &self,
        home: GroupId,
        groups: &[GroupId],
        class: u64,
        in_flight: u32,
    ) -> (Conditions, Option<Score>) {
        let known = self.0.lock().expect("no holder panics");
        let measured = groups.iter().filter_map(|group| known.get(group));
        let measured = measured.filter(|known| known.rtt_mean_us > 0);
        let worst = measured.max_by_key(|known| known.rtt_us * 1_000 / known.rtt_mean_us);
        let (rtt_us, rtt_mean_us) = worst.map_or((0, 0), |known| (known.rtt_us, known.rtt_mean_us));
        let conditions = Conditions { rtt_us, rtt_mean_us, missing_partials: 0, in_flight };
        let home = known.get(&home).filter(|home| home.holds());
        let tolerance = home.map(|home| home.tolerance.threshold(class));
        (conditions, tolerance)
    }

    /// An answer came, or none in time.
    fn know(&self, group: GroupId, found: Option<Tolerance>, took: Duration) {
        let rtt_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(RTT_FLOOR_US);
        let mut known = self.0.lock().expect("no holder panics");
        let Some(known) = known.get_mut(&group) else { return };
        known.rtt_mean_us = match known.rtt_mean_us {
            0 => rtt_us,
            mean => mean - mean / RTT_MEAN_PARTS + rtt_us / RTT_MEAN_PARTS,
        };
        known.rtt_us = rtt_us;
        if let Some(tolerance) = found {
            known.tolerance = Arc::new(tolerance);
            known.answered = Some(Instant::now());
        }
    }
}

impl Known {
    fn nothing(asked: Instant) -> Known {
        let tolerance = Arc::default();
        Known { asked, answered: None, tolerance, rtt_us: 0, rtt_mean_us: 0 }
    }

    fn holds(&self) -> bool {
        self.answered.is_some_and(|answered| answered.elapsed() < KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knows(group: u32, round_trips_ms: &[u64]) -> Tolerances {
        let tolerances = Tolerances::default();
        let nothing = Known::nothing(Instant::now());
        tolerances.0.lock().unwrap().insert(GroupId(group), nothing);
        for ms in round_trips_ms {
            tolerances.know(GroupId(group), None, Duration::from_millis(*ms));
        }
        tolerances
    }

    #[tokio::test]
    async fn conditions_are_those_of_the_group_that_is_farthest_from_its_mean() {
        let tolerances = knows(1, &[10; 4]);
        let other = knows(2, &[10, 10, 10, 40]).0.into_inner().unwrap();
        tolerances.0.lock().unwrap().extend(other);
        let groups = [GroupId(1), GroupId(2)];
        let (conditions, tolerance) = tolerances.given(GroupId(1), &groups, 7, 3);
        assert_eq!((conditions.rtt_us, conditions.in_flight), (40_000, 3));
        assert!(conditions.rtt_mean_us < 11_000, "{conditions:?}");
        assert_eq!(tolerance, None, "it has not said what it tolerates");
        let (conditions, _) = tolerances.given(GroupId(1), &groups[..1], 7, 3);
        assert_eq!((conditions.rtt_us, conditions.rtt_mean_us), (10_000, 10_000));
    }

    #[tokio::test(start_paused = true)]
    async fn tolerance_is_known_once_its_group_has_said_it_and_not_for_ever() {
        let (group, groups) = (GroupId(1), [GroupId(1)]);
        let tolerances = knows(1, &[10]);
        assert!(!tolerances.knows(group), "it was asked, and did not answer");
        tolerances.know(group, Some(Tolerance::default()), Duration::from_millis(10));
        let (_, tolerance) = tolerances.given(group, &groups, 7, 0);
        assert_eq!(tolerance, Some(Score::MAX), "nothing was folded yet: all is tolerated");
        tokio::time::advance(KEPT / 2).await;
        tolerances.know(group, None, Duration::from_millis(10));
        assert!(tolerances.knows(group), "what it said before still stands");
        tokio::time::advance(KEPT).await;
        assert!(!tolerances.knows(group));
        assert_eq!(tolerances.given(group, &groups, 7, 0).1, None);
        assert_eq!(tolerances.given(GroupId(2), &groups, 7, 0).1, None, "nobody asked it");
    }

    #[tokio::test]
    async fn round_trips_below_a_millisecond_widen_nothing() {
        let tolerances = knows(1, &[0, 0, 0]);
        let (conditions, _) = tolerances.given(GroupId(1), &[GroupId(1)], 7, 0);
        assert_eq!((conditions.rtt_us, conditions.rtt_mean_us), (1_000, 1_000));
    }
}
