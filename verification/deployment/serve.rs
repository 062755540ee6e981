//! Reads at a real replica, as the server serves them: peeks from what the leader has applied,
//! snapshots from any replica, all others behind a read index.

use crate::event::{Found, Query};
use vatic_consensus::GroupHandle;
use vatic_core::{group::Group, id::GroupId, rules::Rules};

/// `None` where this replica does not answer.
pub(super) async fn answer(id: GroupId, handle: &GroupHandle, query: &Query) -> Option<Found> {
    let replica = handle.id();
    match query {
        Query::At(..) => {}
        Query::Peek(_) | Query::PeekRange(..) if handle.is_leader() => {}
        Query::Peek(_) | Query::PeekRange(..) => return None,
        _ => handle.read_index().await.ok()?,
    }
    let (serving, view) = handle.serving_view()?;
    let group = Group::of_view(id, &view, Rules::default());
    (serving == replica).then(|| crate::world::found(&group, &view, query))
}
