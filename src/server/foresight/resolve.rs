//! Trying a transaction out before its votes: for one that ended other than was forecast, where its
//! collections ask for that. The leaders say what it would come to under each strategy, and it goes
//! on under the one that they rate best.
//!
//! A vote that meets an undecided one is a No; a moment later it may be a Yes. So this looks, at
//! the leaders, whether somebody is deciding on what the transaction touches, and waits for that, a
//! bounded while. It decides nothing: what changed meanwhile, or is still taken, is the votes' to
//! say.

use crate::{
    cluster::Cluster,
    explain,
    peer::{PeerReply, PeerRequest},
    strategy::Course,
    time,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};
use vatic_core::{body::KeyRead, draft::Draft, estimate::Resolution, id::GroupId};

/// Between two looks.
const PAUSES_MS: [u64; 4] = [2, 4, 8, 16];
/// Longest wait for what leaders estimate, and the records of one group that they are asked about.
const RATED_WITHIN: Duration = Duration::from_millis(100);
const RATED_MAX: usize = 64;
/// Records of one group that are looked at: the first ones.
const LOOKED_AT_MAX: usize = 256;

/// Resolves what a transaction that strayed is to be voted on under: what leaders estimate to be
/// cheapest for it, of what promises no less than its own strategy. Then waits until nobody is in
/// its way. Its body says what came of both.
pub(crate) async fn resolve(
    cluster: &Arc<Cluster>,
    draft: &mut Draft,
    course: &mut Course,
    ends: Instant,
) -> bool {
    let rated_by = ends.min(Instant::now() + RATED_WITHIN);
    let asked = draft.deltas(RATED_MAX);
    let rated = explain::estimates(cluster, course.user(), &asked, rated_by);
    let rated = timeout_at(rated_by, rated).await.ok().and_then(Result::ok).unwrap_or_default();
    let (own, among) = course.alternatives(draft);
    let resolution = Resolution::choose(own, &among, &rated);
    if resolution.chosen != own {
        course.adopt(resolution.chosen, draft);
    }
    let freed = wait_until_free(cluster, draft, ends).await;
    draft.resolve(Resolution { freed, ..resolution });
    freed
}

/// Waits until nobody decides on what a transaction touches, at most `resolve_wait_ms`; whether
/// that came.
pub(crate) async fn wait_until_free(cluster: &Arc<Cluster>, draft: &Draft, ends: Instant) -> bool {
    let ends = ends.min(time::deadline_in(cluster.config.limits.resolve_wait_ms));
    let touched: Vec<(GroupId, Vec<KeyRead>)> = draft.touched(LOOKED_AT_MAX);
    let mut pauses = PAUSES_MS.into_iter();
    let mut pause = Duration::ZERO;
    loop {
        let looks = touched.iter().map(|(group, reads)| is_taken(cluster, *group, reads, ends));
        if !futures::future::join_all(looks).await.contains(&true) {
            return true;
        }
        pause = pauses.next().map_or(pause, Duration::from_millis);
        if Instant::now() + pause >= ends {
            return false;
        }
        tokio::time::sleep(pause).await;
    }
}

/// A group that does not say counts as free: its vote will say.
async fn is_taken(
    cluster: &Arc<Cluster>,
    group: GroupId,
    reads: &[KeyRead],
    ends: Instant,
) -> bool {
    let look = PeerRequest::Foresee { group, reads: reads.to_vec(), weighed: Vec::new() };
    match cluster.ask(group, look, ends).await {
        Ok(PeerReply::Foreseen { disturbed, .. }) => {
            disturbed.iter().any(|found| found.writer.is_some())
        }
        _ => false,
    }
}
