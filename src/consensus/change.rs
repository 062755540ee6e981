//! Replacing a replica, as its leader does it: one step after another, each safe to repeat.
//!
//! 1. The new replica is added as a learner.
//! 2. It catches up, from the log or by a snapshot. No quorum counts it yet.
//! 3. One joint change of voters: the old id goes, the new one comes. openraft writes the joint
//!    and, once that is committed, the uniform membership; the old id is in neither any more.
//! 4. What is left of older ids of the node is removed.
//!
//! Why no record of the change: the membership in the log says how far it is, whoever leads now.
//! A change that a crash interrupted is finished by the next leader that is asked, and the new
//! replica keeps asking until it is a voter.
//!
//! Invariant: generations of a node only rise; an id that a later one has replaced never returns.

use std::collections::BTreeSet;
use std::time::Duration;

use fail::fail_point;
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::Instant;

use crate::error::ChangeError;
use crate::limits::Limits;
use crate::status::{self, forwarded};
use crate::types::{Members, Place, Raft, RaftId, Types};

/// What is to be done next so that a replica takes its predecessors' place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    AddLearner,
    /// Finish a change of voters that was begun.
    Flatten(BTreeSet<RaftId>),
    /// Wait until the replica has caught up, then make these the voters.
    Swap(BTreeSet<RaftId>),
    /// Remove what is no voter any more.
    Drop(BTreeSet<RaftId>),
    Done,
    /// The membership has a later generation of the node.
    Gone(RaftId),
}

pub(crate) fn next_step(members: &Members, id: RaftId) -> Step {
    let of_node: BTreeSet<RaftId> =
        members.nodes().map(|(id, _)| *id).filter(|other| other.node() == id.node()).collect();
    if let Some(later) = of_node.last().filter(|other| **other > id) {
        return Step::Gone(*later);
    }
    let configs = members.get_joint_config();
    let target = configs.last().cloned().unwrap_or_default();
    let older: BTreeSet<RaftId> = of_node.iter().copied().filter(|other| *other != id).collect();
    if configs.len() > 1 {
        Step::Flatten(target)
    } else if !of_node.contains(&id) {
        Step::AddLearner
    } else if !target.contains(&id) {
        Step::Swap(&(&target - &older) | &BTreeSet::from([id]))
    } else if !older.is_empty() {
        Step::Drop(older)
    } else {
        Step::Done
    }
}

/// Takes the steps until the replica is a voter and its predecessors are gone.
pub(crate) async fn replace(
    raft: &Raft,
    limits: &Limits,
    id: RaftId,
    address: &str,
) -> Result<(), ChangeError> {
    let deadline = Duration::from_millis(limits.change_deadline_ms);
    let running = async {
        loop {
            let server = raft.server_metrics().borrow_watched().clone();
            if server.current_leader != Some(server.id) {
                return Err(ChangeError::NotLeader { hint: status::hint(&server) });
            }
            let step = next_step(server.membership_config.membership(), id);
            if step == Step::Done {
                return Ok(());
            }
            fail_point!("consensus::change");
            tracing::info!(replica = %id, ?step, "replacing a replica");
            take(raft, limits, id, address, step).await?;
        }
    };
    let ran = tokio::time::timeout(deadline, running).await;
    ran.unwrap_or(Err(ChangeError::Deadline { deadline }))
}

async fn take(
    raft: &Raft,
    limits: &Limits,
    id: RaftId,
    address: &str,
    step: Step,
) -> Result<(), ChangeError> {
    let changes = match step {
        Step::Done => return Ok(()),
        Step::Gone(later) => return Err(ChangeError::Gone { later }),
        Step::AddLearner => {
            let place = Place { address: address.to_owned() };
            ChangeMembers::AddNodes([(id, place)].into())
        }
        Step::Flatten(voters) => ChangeMembers::ReplaceAllVoters(voters),
        Step::Swap(voters) => {
            caught_up(raft, limits, id).await?;
            ChangeMembers::ReplaceAllVoters(voters)
        }
        Step::Drop(older) => ChangeMembers::RemoveNodes(older),
    };
    // Also where it fails the membership may have moved: the next look at it tells.
    match raft.change_membership(changes, false).await {
        Ok(_) => Ok(()),
        Err(RaftError::Fatal(_)) => Err(ChangeError::Stopped),
        Err(RaftError::APIError(error)) => refused(limits, error).await,
    }
}

/// Whether it is worth another look.
async fn refused(limits: &Limits, error: ClientWriteError<Types>) -> Result<(), ChangeError> {
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            Err(ChangeError::NotLeader { hint: forwarded(forward) })
        }
        // Another change is not committed yet; or the membership moved under this one.
        ClientWriteError::ChangeMembershipError(ChangeMembershipError::InProgress(_))
        | ClientWriteError::PreconditionFailed(_)
        | ClientWriteError::LogEntryDiscarded(_) => {
            tokio::time::sleep(Duration::from_millis(limits.heartbeat_ms)).await;
            Ok(())
        }
        ClientWriteError::ChangeMembershipError(error) => {
            Err(ChangeError::Refused { reason: error.to_string() })
        }
    }
}

/// Until the replica's log is close to the leader's: what is left then is what was written while
/// the last messages were under way.
async fn caught_up(raft: &Raft, limits: &Limits, id: RaftId) -> Result<(), ChangeError> {
    let mut metrics = raft.metrics();
    let mut reported = Instant::now();
    loop {
        let now = metrics.borrow_and_update().clone();
        let Some(replication) = now.replication else {
            return Err(ChangeError::NotLeader { hint: None });
        };
        let matched = replication.get(&id).cloned().flatten().map(|log_id| log_id.index);
        let last = now.last_log_index.unwrap_or(0);
        if matched.is_some_and(|matched| matched + limits.catch_up_entries_max >= last) {
            return Ok(());
        }
        if reported.elapsed() > Duration::from_secs(5) {
            tracing::info!(replica = %id, ?matched, last, "a new replica catches up");
            reported = Instant::now();
        }
        metrics.changed().await.map_err(|_| ChangeError::Stopped)?;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Step, next_step};
    use crate::types::{Members, Place, RaftId};

    fn id(node: u32, generation: u32) -> RaftId {
        RaftId::new(node, generation)
    }

    fn members(configs: &[&[RaftId]], learners: &[RaftId]) -> Members {
        let configs: Vec<BTreeSet<RaftId>> =
            configs.iter().map(|voters| voters.iter().copied().collect()).collect();
        let nodes = configs.iter().flatten().chain(learners);
        let nodes: BTreeMap<RaftId, Place> = nodes.map(|id| (*id, Place::default())).collect();
        Members::new(configs, nodes).unwrap()
    }

    #[test]
    fn replacement_goes_through_its_steps_in_order() {
        let (a, b, old, new) = (id(1, 1), id(2, 1), id(3, 1), id(3, 2));
        let swapped = BTreeSet::from([a, b, new]);
        let steps = [
            (members(&[&[a, b, old]], &[]), Step::AddLearner),
            (members(&[&[a, b, old]], &[new]), Step::Swap(swapped.clone())),
            (members(&[&[a, b, old], &[a, b, new]], &[]), Step::Flatten(swapped)),
            (members(&[&[a, b, new]], &[old]), Step::Drop([old].into())),
            (members(&[&[a, b, new]], &[]), Step::Done),
        ];
        for (members, step) in steps {
            assert_eq!(next_step(&members, new), step);
        }
    }

    #[test]
    fn replacement_that_was_replaced_itself_is_gone() {
        let members = members(&[&[id(1, 1), id(2, 1), id(3, 1)]], &[id(3, 3)]);
        assert_eq!(next_step(&members, id(3, 2)), Step::Gone(id(3, 3)));
        // The next one sees to both of them.
        let swap = Step::Swap([id(1, 1), id(2, 1), id(3, 3)].into());
        assert_eq!(next_step(&members, id(3, 3)), swap);
    }

    #[test]
    fn change_of_another_replica_is_finished_first() {
        let joint: [&[RaftId]; 2] =
            [&[id(1, 1), id(2, 1), id(3, 1)], &[id(1, 1), id(2, 2), id(3, 1)]];
        let flat = Step::Flatten(joint[1].iter().copied().collect());
        assert_eq!(next_step(&members(&joint, &[]), id(3, 2)), flat);
    }
}
