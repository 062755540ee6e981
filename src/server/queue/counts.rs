//! How many tickets wait in each group, as a gateway knows it: asked now and then, and counted on
//! from there.
//!
//! Why no exact count: no vote depends on it. Each gateway may let in a little more than the limit.

use super::COUNT_KNOWN_MS;
use crate::{
    api::Gateway,
    peer::{PeerFound, PeerRead},
    status::ApiError,
    time,
};
use std::{collections::BTreeMap, sync::Mutex};
use tokio::time::Instant;
use vatic_core::{id::GroupId, ticket};

/// By group: so many, and until when that is taken for true.
#[derive(Default)]
pub(crate) struct Counts(Mutex<BTreeMap<GroupId, (u64, Instant)>>);

impl Counts {
    /// One more, if it is known how many there are: the count with it.
    fn one_more(&self, group: GroupId) -> Option<u64> {
        let mut counts = self.0.lock().expect("no holder panics");
        let (count, until) = counts.get_mut(&group)?;
        *count += 1;
        (Instant::now() < *until).then_some(*count)
    }

    fn know(&self, group: GroupId, count: u64) {
        let known = (count, time::deadline_in(COUNT_KNOWN_MS));
        self.0.lock().expect("no holder panics").insert(group, known);
    }
}

impl Gateway {
    /// Refuses a ticket for which a group has no room.
    pub(super) async fn take_room(&self, group: GroupId, ends: Instant) -> Result<(), ApiError> {
        let (limit, max) = ("tickets_max", self.cluster.config.limits.tickets_max);
        let count = match self.cluster.tickets.one_more(group) {
            Some(count) => count,
            None => {
                let count = self.count_tickets(group, ends).await?;
                self.cluster.tickets.know(group, count + 1);
                count + 1
            }
        };
        if count > max { Err(ApiError::QueueFull { limit, max }) } else { Ok(()) }
    }

    /// Those that wait in a group, as far as the limit goes.
    pub(super) async fn count_tickets(
        &self,
        group: GroupId,
        ends: Instant,
    ) -> Result<u64, ApiError> {
        let ring = self.cluster.ring().ok_or(ApiError::NotReady)?;
        let range = ticket::queued_range(&ticket::partition_of(&ring, group));
        let max = self.cluster.config.limits.tickets_max;
        match self.cluster.read(group, PeerRead::Count(range, max), ends).await? {
            PeerFound::Count(count) => Ok(count),
            _ => Err(ApiError::NoLeader { group }),
        }
    }
}
