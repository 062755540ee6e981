//! Reads for a transaction that guards what it read: at once, or when nobody is about to write.

use crate::{
    cluster::Cluster,
    convert,
    intents::{Intent, LOOK_AGAIN},
    time,
};
use tokio::time::Instant;
use vatic_consensus::GroupHandle;
use vatic_core::{group::Group, id::GroupId, key::Key, rules::Rules};
use vatic_proto::v1;

/// Longest that an intent holds others off.
const HOLD_MS_MAX: u64 = 1_000;

/// One look. The intent is taken before it, so that of two who come at once one sees the other.
pub(crate) fn look(
    cluster: &Cluster,
    group: GroupId,
    handle: &GroupHandle,
    key: &Key,
    intent: Option<v1::Intent>,
) -> v1::RecordRead {
    let intents = &cluster.intents;
    let token = intent.as_ref().map(|intent| intent.token);
    let hold_ms = intent.map_or(0, |intent| u64::from(intent.hold_ms).min(HOLD_MS_MAX));
    let free = match token {
        Some(token) if hold_ms > 0 => {
            intents.take(key, Intent { token, ends: time::deadline_in(hold_ms) })
        }
        token => !intents.taken(key, token),
    };
    let view = handle.view();
    let (record, holder) = Group::of_view(group, &view, Rules::default()).peek(&view, key);
    if let Some(token) = token.filter(|_| hold_ms == 0 || holder.is_some()) {
        intents.give_back(key, token);
    }
    convert::record_read(record, holder.is_some() || !free)
}

/// Looks until nobody is about to write the record, or until `ends`.
pub(crate) async fn when_free(
    cluster: &Cluster,
    group: GroupId,
    handle: &GroupHandle,
    key: &Key,
    ends: Instant,
) -> v1::RecordRead {
    loop {
        // Asked before the look: what happens in between wakes it.
        let woken = cluster.intents.wait(key);
        let read = look(cluster, group, handle, key, None);
        if !read.pending || Instant::now() >= ends {
            return read;
        }
        let again = ends.min(Instant::now() + LOOK_AGAIN);
        // Woken, forgotten or late: it looks again in any case.
        let _ = tokio::time::timeout_at(again, woken).await;
    }
}
