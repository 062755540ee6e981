//! Reads at a group's leader.
//!
//! A linearizable read takes a read index first and a view after it. Where an undecided write is in
//! the way it waits for the decision, and past a while recovers the transaction itself: nobody is
//! blocked for long by a coordinator that died. Reads for a read-write transaction need neither:
//! its vote catches what is stale. Nor do snapshot reads: any replica whose applied clock has
//! reached the snapshot's time holds all that can ever be at or below it, and says so where a
//! transaction that may still commit there is undecided. Only the leader raises a clock. What is
//! only ever appended (group 0's finished streams) is read at any replica too: one that lags has
//! less.

use crate::{
    cluster::Cluster,
    drive,
    peek::Look,
    peer::{Origin, PeerFound, PeerRead, PeerReply},
    time,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use vatic_consensus::{GroupHandle, RaftId, ReadError};
use vatic_core::{
    command::{Command, Standing},
    conflict::Features,
    course,
    group::Group,
    history::{Newer, Row},
    id::{GroupId, Tid, Timestamp},
    limits::SCAN_BYTES_MAX,
    meta,
    multiread::Seen,
    policy,
    read::{self, Blocked, SnapshotFault},
    rules::Rules,
    shelf, tolerance, value,
};
use vatic_store::View;

/// Pauses between two looks at whether a decision has come.
const LOOK_PAUSES_MS: [u64; 5] = [1, 2, 4, 8, 16];

/// Why a read goes on waiting.
enum Wait {
    For(Tid),
    ForClock(Timestamp),
}

pub(crate) async fn serve(
    cluster: &Arc<Cluster>,
    group: GroupId,
    handle: &GroupHandle,
    read: PeerRead,
    deadline: Instant,
) -> PeerReply {
    if let Some(found) = answer_here(group, handle, &read) {
        return PeerReply::Read(found);
    }
    // Before the read index: what that confirms is this replica.
    let replica = handle.id();
    let peeks = matches!(
        read,
        PeerRead::Peek(_)
            | PeerRead::PeekRange(..)
            | PeerRead::Count(..)
            | PeerRead::Endorsement(_)
            | PeerRead::InTurn(..)
            | PeerRead::AsAdvised(..)
            | PeerRead::Tolerance
            | PeerRead::History(..)
    );
    let needs_index = !peeks && snapshot_time(&read).is_none();
    if !needs_index && !handle.is_leader() {
        return PeerReply::NotLeader { leader: handle.leader().map(|id| id.node()) };
    }
    if needs_index {
        match tokio::time::timeout_at(deadline, handle.read_index()).await {
            Ok(Ok(())) => {}
            Ok(Err(ReadError::NotLeader { hint })) => {
                return PeerReply::NotLeader { leader: hint.map(|hint| hint.id.node()) };
            }
            Ok(Err(ReadError::Stopped)) => return PeerReply::Stopping,
            // It does not know whether it leads.
            Ok(Err(ReadError::NoQuorum { .. })) | Err(_) => {
                return PeerReply::NotLeader { leader: None };
            }
        }
    }
    if let PeerRead::InTurn(key, turn, urgency) = &read {
        let look = Look { cluster, group, handle, key };
        let (record, pending) = look.turn(*turn, *urgency, deadline).await;
        return PeerReply::Read(PeerFound::Record(record, pending));
    }
    if let PeerRead::AsAdvised(key, turn, urgency, user) = &read {
        let look = Look { cluster, group, handle, key };
        let origin = Origin { token: turn.token, user: *user, urgency: *urgency };
        let (record, pending, had) = look.as_advised(*turn, *urgency, origin, deadline).await;
        return PeerReply::Read(PeerFound::Advised(record, pending, had));
    }
    let reader = Reader { cluster, id: group, handle, replica };
    match tokio::time::timeout_at(deadline, reader.until_answered(&read)).await {
        Ok(Some(found)) => PeerReply::Read(found),
        Ok(None) => PeerReply::NotLeader { leader: None },
        Err(_) => PeerReply::Late,
    }
}

/// A read that this replica can answer as it stands, whoever leads.
pub(crate) fn answer_here(
    group: GroupId,
    handle: &GroupHandle,
    read: &PeerRead,
) -> Option<PeerFound> {
    if snapshot_time(read).is_none() && !matches!(read, PeerRead::Courses { .. }) {
        return None;
    }
    let (_, view) = handle.serving_view()?;
    answer(group, &view, read).ok()
}

fn snapshot_time(read: &PeerRead) -> Option<Timestamp> {
    match read {
        PeerRead::GetAt(_, at) | PeerRead::ScanAt(_, _, at) => Some(*at),
        _ => None,
    }
}

struct Reader<'a> {
    cluster: &'a Arc<Cluster>,
    id: GroupId,
    handle: &'a GroupHandle,
    replica: RaftId,
}

impl Reader<'_> {
    /// `None` once the replica that was asked serves no more.
    async fn until_answered(&self, read: &PeerRead) -> Option<PeerFound> {
        if matches!(read, PeerRead::SnapshotOf(_)) {
            // A group that rested has an old clock, which the horizon may pass meanwhile.
            let _ = self.advance(time::now()).await;
        }
        let mut pauses = LOOK_PAUSES_MS.iter();
        let mut pause_ms = 0;
        let recover_after_ms = self.cluster.config.limits.recover_after_ms;
        let mut holders = Holders::new(Duration::from_millis(recover_after_ms));
        loop {
            let (_, view) = self.handle.serving_view().filter(|(id, _)| *id == self.replica)?;
            let wait = match answer(self.id, &view, read) {
                Ok(found) => return Some(found),
                Err(wait) => wait,
            };
            drop(view);
            match wait {
                Wait::For(tid) => {
                    if holders.is_overdue(tid, Instant::now()) {
                        self.recover(tid).await;
                    }
                }
                Wait::ForClock(at) => match self.advance(at).await {
                    Ok(()) => {}
                    Err(fault) => return Some(PeerFound::Snapshot(fault)),
                },
            }
            pause_ms = pauses.next().copied().unwrap_or(pause_ms);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }

    async fn recover(&self, tid: Tid) {
        let left = {
            let view = self.handle.view();
            Group::of_view(self.id, &view, Rules::default()).undecided_of(&view, tid)
        };
        if let Some(left) = left {
            drive::recover(self.cluster, left).await;
        }
    }

    /// Raises the group's clock to a snapshot's time, unless that lies too far ahead. One command
    /// serves all who wait: it raises the clock to now, and they come one after the other.
    async fn advance(&self, to: Timestamp) -> Result<(), SnapshotFault> {
        let clock = || Group::of_view(self.id, &self.handle.view(), Rules::default()).clock();
        let limits = &self.cluster.config.limits;
        if to > time::now().plus_us(limits.snapshot_ahead_max_ms * 1_000) {
            return Err(SnapshotFault::ClockBehind { clock: clock() });
        }
        let _turn = self.cluster.advances[&self.id].lock().await;
        if clock() >= to {
            return Ok(());
        }
        let deadline = time::deadline_in(limits.propose_deadline_ms);
        let command = Command::Advance { to: to.max(time::now()) };
        // Not raised: the next look finds the clock behind again.
        let _ = self.cluster.propose(self.id, command, deadline).await;
        Ok(())
    }
}

/// The transactions that a read waits for, each with a time of its own to be decided in: the next
/// one is not left behind because the one before was slow.
struct Holders {
    patience: Duration,
    due: BTreeMap<Tid, Instant>,
}

impl Holders {
    fn new(patience: Duration) -> Holders {
        Holders { patience, due: BTreeMap::new() }
    }

    fn is_overdue(&mut self, tid: Tid, now: Instant) -> bool {
        now >= *self.due.entry(tid).or_insert(now + self.patience)
    }
}

/// One look at the state.
fn answer(id: GroupId, view: &View, read: &PeerRead) -> Result<PeerFound, Wait> {
    let group = Group::of_view(id, view, Rules::default());
    let blocked = |Blocked { by }| Wait::For(by);
    Ok(match read {
        PeerRead::Peek(key) | PeerRead::InTurn(key, ..) | PeerRead::AsAdvised(key, ..) => {
            let (record, holder) = group.peek(view, key);
            PeerFound::Record(record, holder.is_some())
        }
        PeerRead::PeekRange(range, limit) => {
            let (found, holder) = group.peek_range(view, range, *limit as usize);
            PeerFound::Range(found, holder)
        }
        PeerRead::Count(range, max) => PeerFound::Count(read::count_in(view, range, *max)),
        PeerRead::Get(key) => PeerFound::Record(group.get(view, key).map_err(blocked)?, false),
        PeerRead::Scan(range, limit) => {
            PeerFound::Range(group.scan(view, range, *limit as usize).map_err(blocked)?, None)
        }
        PeerRead::SnapshotOf(range) => {
            PeerFound::SnapshotOf(group.snapshot_of(view, range).map_err(blocked)?)
        }
        PeerRead::GetAt(key, at) => match group.get_at(view, key, *at) {
            Ok(record) => PeerFound::Record(record, false),
            Err(fault) => snapshot_fault(fault, *at)?,
        },
        PeerRead::ScanAt(range, limit, at) => {
            match group.scan_at(view, range, *limit as usize, *at) {
                Ok(found) => PeerFound::Range(found, None),
                Err(fault) => snapshot_fault(fault, *at)?,
            }
        }
        PeerRead::First(wanted) => first_pass(group.first_pass(view, wanted)),
        PeerRead::Second(reads, ranges, since) => {
            let stands = group.still_stands(view, reads, ranges, *since);
            PeerFound::Stands(stands.map_err(|Blocked { by }| by))
        }
        PeerRead::Request(request) => {
            PeerFound::Request(group.request(view, request).map_err(blocked)?)
        }
        PeerRead::Endorsement(index) => {
            PeerFound::Endorsement(group.endorsement(view, *index).map(Box::new))
        }
        PeerRead::Outcome(tid) => {
            let outcome = group.outcome(view, *tid);
            if matches!(outcome.standing, Standing::Yes { .. }) {
                return Err(Wait::For(*tid));
            }
            PeerFound::Outcome(Box::new(outcome))
        }
        PeerRead::Meta => {
            let (ring, nodes) = (meta::ring(view), meta::nodes(view));
            let (shelf, policies) = (shelf::shelf(view), policy::policies(view));
            PeerFound::Meta { ring, nodes, shelf, policies }
        }
        PeerRead::Conflicts(filter, most) => {
            let rows = group.conflicts(view, filter, *most as usize);
            PeerFound::Conflicts(bare(rows))
        }
        PeerRead::History(place, most) => {
            let newer = group.events_after(view, *place, *most as usize);
            PeerFound::History(Newer { rows: bare(newer.rows), ..newer })
        }
        PeerRead::Tolerance => PeerFound::Tolerance(Box::new(tolerance::of_group(view))),
        PeerRead::Model(version) => PeerFound::Model(shelf::model(view, *version).map(Box::new)),
        PeerRead::Courses { after, most, node } => courses(view, *after, *most, *node),
        PeerRead::Models => PeerFound::Models(shelf::shelf(view), shelf::models(view)),
    })
}

fn courses(view: &View, after: u64, most: u64, node: u64) -> PeerFound {
    let newer = course::after(view, after, most as usize);
    PeerFound::Courses(newer, course::last_batch(view, node))
}

fn first_pass(seen: Seen) -> PeerFound {
    let fields = seen.records.iter().filter_map(|record| record.fields.as_ref());
    match fields.map(value::size_bytes).sum() {
        actual if actual > SCAN_BYTES_MAX => PeerFound::TooLarge { actual },
        _ => PeerFound::First(seen),
    }
}

/// Without features, which are for whoever learns and most of an event.
fn bare(mut rows: Vec<(u64, Row)>) -> Vec<(u64, Row)> {
    let foreseen = rows.iter_mut().filter_map(|(_, row)| row.event.foreseen.as_mut());
    foreseen.for_each(|foreseen| foreseen.features = Features::default());
    rows
}

fn snapshot_fault(fault: SnapshotFault, at: Timestamp) -> Result<PeerFound, Wait> {
    match fault {
        SnapshotFault::Blocked(Blocked { by }) => Err(Wait::For(by)),
        SnapshotFault::ClockBehind { .. } => Err(Wait::ForClock(at)),
        SnapshotFault::BelowHorizon { .. } => Ok(PeerFound::Snapshot(fault)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_of_a_read_has_its_own_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let tid = |nonce| Tid { mint: Timestamp(1), home: GroupId(1), nonce };
        let mut holders = Holders::new(Duration::from_millis(1_000));
        assert!(!holders.is_overdue(tid(1), at(0)));
        assert!(!holders.is_overdue(tid(2), at(900)));
        assert!(holders.is_overdue(tid(1), at(1_000)));
        assert!(!holders.is_overdue(tid(2), at(1_000)), "it has held the record for 100 ms");
        assert!(holders.is_overdue(tid(2), at(1_900)));
    }
}
