//! How likely a running stream is to meet a conflict, by what it has touched so far: asked of the
//! leaders of what it touched, with the scorer that advises claims and explains, beside the stream
//! (`rounds`).
//!
//! What it will touch yet nobody knows: the number stands for the records so far. A group that
//! gives none in time, or has no model, leaves the whole without one, as in `Explain`.

use super::{rounds::Rounds, study::Line};
use crate::{cluster::Cluster, peer::Origin};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use vatic_core::{draft::Draft, estimate};

/// Longest wait for the leaders; a forecast is not told later than this for want of it.
const ODDS_MAX: Duration = Duration::from_millis(100);
/// Records of one group that are weighed: the first ones.
const WEIGHED_MAX: usize = 64;

/// Has the leaders weigh a stream after `prefix` transitions; what they say goes into the line.
pub(super) fn ask(
    (cluster, rounds): (&Arc<Cluster>, &Arc<Rounds>),
    line: &Arc<Line>,
    (prefix, principal): (usize, &str),
    draft: &Draft,
) {
    let user = Origin::of(principal, 0).user;
    let asked = draft.touches(WEIGHED_MAX);
    let (cluster, rounds, line) = (cluster.clone(), rounds.clone(), line.clone());
    line.weigh(prefix);
    tokio::spawn(async move {
        let groups = asked.into_iter();
        let groups = groups.map(|(group, touches)| rounds.weigh(&cluster, group, (user, touches)));
        let scores = timeout(ODDS_MAX, futures::future::join_all(groups)).await;
        line.weighed(prefix, scores.ok().and_then(estimate::any));
    });
}
