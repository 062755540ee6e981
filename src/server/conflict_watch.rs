//! Conflicts as they come into the groups' histories, for whoever watches.
//!
//! Each watcher asks the groups' leaders at an interval what lies behind the place that it has
//! seen. Places are the groups' own, so that whoever was cut off goes on at another node where it
//! was.

use crate::{
    api::Gateway,
    conflicts::WATCHERS_MAX,
    convert,
    peer::{PeerFound, PeerRead},
    status::ApiError,
    time,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;
use tonic::Status;
use vatic_core::{
    codec::{self, DecodeError},
    history::{Filter, Newer},
    id::GroupId,
};
use vatic_proto::v1;

/// Conflicts that may wait for a slow client.
const OUT_CONFLICTS: usize = 16;
/// Events of a group that are looked at in one go.
const LOOKED_MAX: u64 = 1_000;

type Answer = Result<v1::WatchConflictsResponse, Status>;

struct Watch {
    gateway: Gateway,
    filter: Filter,
    /// How far each group was looked at; of one that is missing, from its end on.
    seen: BTreeMap<GroupId, u64>,
    /// Rows that were gone before they were looked at, and that nobody was told of yet.
    missed: u64,
    out: mpsc::Sender<Answer>,
}

/// Starts to watch; it ends when the client is gone or the node closes.
pub(crate) fn start(
    gateway: &Gateway,
    request: v1::WatchConflictsRequest,
) -> Result<mpsc::Receiver<Answer>, ApiError> {
    drop(gateway.admit()?);
    let v1::WatchConflictsRequest { key, transaction_id, resume_token } = request;
    let filter = convert::filter(key, transaction_id)?;
    let bad = |_| ApiError::BadFrame { what: "resume_token is none of an answer's".into() };
    let seen = match resume_token.is_empty() {
        true => BTreeMap::new(),
        false => seen_in(&resume_token).map_err(bad)?,
    };
    let full = || ApiError::QueueFull { limit: "conflict_watchers_max", max: WATCHERS_MAX };
    let place = gateway.cluster.conflicts.watcher().ok_or_else(full)?;
    let (out, answers) = mpsc::channel(OUT_CONFLICTS);
    let watch = Watch { gateway: gateway.clone(), filter, seen, missed: 0, out };
    tokio::spawn(async move {
        let _place = place;
        watch.run().await;
    });
    Ok(answers)
}

/// Where a watch goes on, by the token of an earlier answer.
pub(crate) fn seen_in(token: &[u8]) -> Result<BTreeMap<GroupId, u64>, DecodeError> {
    codec::decode(token)
}

impl Watch {
    async fn run(mut self) {
        let every = Duration::from_millis(self.gateway.cluster.config.limits.history_interval_ms);
        while !self.gateway.cluster.is_draining() {
            for group in (1..=self.gateway.cluster.config.groups).map(GroupId) {
                if self.look(group).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                () = self.out.closed() => return,
                () = tokio::time::sleep(every) => {}
            }
        }
        let _ = self.out.send(Err(ApiError::ShuttingDown.into())).await;
    }

    /// Tells what is new in a group; the error: nobody listens any more. A group whose leader does
    /// not answer is asked again at the next look.
    async fn look(&mut self, group: GroupId) -> Result<(), ()> {
        let cluster = &self.gateway.cluster;
        let deadline = time::deadline_in(cluster.config.limits.propose_deadline_ms);
        let read = match self.seen.get(&group) {
            Some(seen) => PeerRead::History(*seen, LOOKED_MAX),
            None => PeerRead::History(u64::MAX, 0),
        };
        let Ok(PeerFound::History(newer)) = cluster.read(group, read, deadline).await else {
            return Ok(());
        };
        let Newer { rows, looked, missed } = newer;
        self.missed += missed;
        for (place, row) in rows.iter().filter(|(_, row)| self.filter.includes(&row.event)) {
            self.seen.insert(group, *place);
            let conflict = convert::conflict(group, *place, row);
            let resume_token = codec::encode(&self.seen).into();
            let missed = std::mem::take(&mut self.missed);
            let answer = v1::WatchConflictsResponse { conflict, resume_token, missed };
            self.out.send(Ok(answer)).await.map_err(drop)?;
        }
        // A new leader that has not applied all of it yet looks less far.
        let seen = self.seen.entry(group).or_insert(looked);
        *seen = (*seen).max(looked);
        Ok(())
    }
}
