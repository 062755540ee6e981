//! From a sealed draft to an outcome, and from a transaction id or request id to one.
//!
//! A lost answer is unknown, not failed: the question is asked again, of whoever leads the home
//! group then, until the deadline; only then is the client told that the outcome is unknown.

use crate::{
    cluster::{CallError, Cluster, refusal},
    convert,
    foresight::{self, End},
    peer::{Finished, Origin, PeerFound, PeerRead},
    receipt, rollback,
    stage::Stager,
    status::ApiError,
    telemetry::metrics::Ending,
    time,
};
use std::sync::Arc;
use tokio::time::Instant;
use vatic_core::{
    aggregate::OutcomeRead,
    command::{Cause, Decision, Standing, Why},
    coordinator::Answer,
    draft::Draft,
    id::{GroupId, Tid, Timestamp},
    receipt::Receipt,
    request::{Claim, Held, RequestId},
};
use vatic_proto::v1::{self, outcome::State};

/// What an attempt came to.
pub(crate) struct Attempted {
    pub(crate) outcome: v1::Outcome,
    /// Why it was rolled back, by its votes.
    pub(crate) cause: Option<Cause>,
}

/// Seals a draft, some of which may be staged, and brings it to its outcome.
pub(crate) async fn finish(
    cluster: &Arc<Cluster>,
    draft: Draft,
    stager: Option<Stager>,
    origin: Origin,
    deadline: Instant,
) -> Result<v1::Outcome, ApiError> {
    let Attempted { outcome, .. } = attempt(cluster, draft, stager, origin, deadline).await?;
    Ok(v1::Outcome { attempts: 1, ..outcome })
}

/// The same, and why where it is a No.
pub(crate) async fn attempt(
    cluster: &Arc<Cluster>,
    draft: Draft,
    stager: Option<Stager>,
    origin: Origin,
    deadline: Instant,
) -> Result<Attempted, ApiError> {
    let (body, parts) = draft.finish()?;
    let (tid, claim) = (body.tid, body.claim.clone());
    let finding = body.finding.clone();
    let coordinated = cluster.coordinate(body, parts, origin, deadline).await;
    let finished = match coordinated {
        // Nothing was asked of anybody: what was staged is freed here.
        Err(refused @ (CallError::TooLarge { .. } | CallError::Full { .. })) => {
            return Err(refused.into());
        }
        Ok(finished) => Some(finished),
        // The seal may have arrived: it may commit yet.
        Err(CallError::NoLeader { .. } | CallError::Late { .. }) => None,
    };
    stager.into_iter().for_each(Stager::sealed);
    let finished = finished.ok_or(ApiError::OutcomeUnknown { tid })?;
    let Finished { answer, receipt, refused } = finished;
    match answer {
        Answer::Decided(Decision::Committed { ts }) => {
            let receipt = whole(cluster, tid, receipt, deadline).await?;
            Ok(Attempted { outcome: committed(cluster, tid, ts, &receipt), cause: None })
        }
        Answer::Decided(Decision::RolledBack(cause)) => {
            let outcome = Box::pin(rolled_back(cluster, tid, &cause, claim, deadline)).await?;
            if outcome.replayed {
                // It was judged by itself, or not at all.
                return Ok(Attempted { outcome, cause: None });
            }
            if let Some(refused) = refused.and_then(|reply| refusal(tid.home, &reply)) {
                return Err(refused.into());
            }
            let outcome = foresight::convert::with_finding(outcome, &finding);
            Ok(Attempted { outcome, cause: Some(cause) })
        }
        Answer::Fault(fault) => {
            let outcome = with_rollback(cluster, tid, rollback::of_fault(&fault)?);
            Ok(Attempted { outcome, cause: None })
        }
        Answer::Forgotten => Err(ApiError::OutcomeUnknown { tid }),
    }
}

/// How a transaction ended, as its home group knows. An undecided one is recovered first, and a
/// commit's receipt is completed.
pub(crate) async fn by_tid(
    cluster: &Arc<Cluster>,
    tid: Tid,
    deadline: Instant,
) -> Result<v1::Outcome, ApiError> {
    let now = Instant::now();
    // What there is by then is told: half of the caller's time is kept for telling it.
    let half = now + deadline.saturating_duration_since(now) / 2;
    let signed_by = half.min(time::deadline_in(cluster.config.limits.receipt_wait_ms));
    known(cluster, tid, signed_by, deadline).await
}

/// As [`by_tid`], with what signatures there are by `signed_by`.
async fn known(
    cluster: &Arc<Cluster>,
    tid: Tid,
    signed_by: Instant,
    deadline: Instant,
) -> Result<v1::Outcome, ApiError> {
    let ring = cluster.ring().ok_or(ApiError::NotReady)?;
    if !ring.spec().groups.contains(&tid.home) {
        return Ok(unknown(cluster, tid));
    }
    let found = receipt::read(cluster, tid, deadline).await;
    let OutcomeRead { standing, finding, receipt } =
        found.ok_or(ApiError::NoLeader { group: tid.home })?;
    match standing {
        Standing::Decided(Decision::Committed { ts })
        | Standing::Stale(Some(Decision::Committed { ts })) => {
            let mut receipt = whole(cluster, tid, receipt, deadline).await?;
            receipt::complete(cluster, &mut receipt, signed_by).await;
            Ok(committed(cluster, tid, ts, &receipt))
        }
        Standing::Decided(Decision::RolledBack(cause))
        | Standing::Stale(Some(Decision::RolledBack(cause)))
        | Standing::No(cause) => {
            let outcome = with_rollback(cluster, tid, rollback::of_cause(&cause));
            Ok(foresight::convert::with_finding(outcome, &finding))
        }
        Standing::None | Standing::Yes { .. } | Standing::Stale(None) => Ok(unknown(cluster, tid)),
    }
}

/// How a request ended: the outcome of the attempt that committed it, if one did.
pub(crate) async fn by_request(
    cluster: &Arc<Cluster>,
    request: RequestId,
    deadline: Instant,
) -> Result<v1::Outcome, ApiError> {
    let ring = cluster.ring().ok_or(ApiError::NotReady)?;
    let group = ring.group_of(&request.route).ok_or(ApiError::NotReady)?;
    match cluster.read(group, PeerRead::Request(request), deadline).await? {
        PeerFound::Request(Some(Held { tid, .. })) => by_tid(cluster, tid, deadline).await,
        _ => Ok(v1::Outcome { state: State::Unknown.into(), ..v1::Outcome::default() }),
    }
}

/// How the outcome is counted.
pub(crate) fn ending(outcome: &v1::Outcome) -> Ending {
    match outcome.state() {
        State::Committed => Ending::Committed,
        State::RolledBack => {
            let cause = outcome.rollback.as_ref().map_or(0, |rollback| rollback.cause);
            Ending::RolledBack(usize::try_from(cause).unwrap_or(0))
        }
        State::Unspecified | State::Unknown => Ending::Unknown,
    }
}

/// How an error is counted.
pub(crate) fn ending_of(error: &ApiError) -> Ending {
    match error {
        ApiError::OutcomeUnknown { .. } => Ending::Unknown,
        ApiError::RolledBack(outcome) => ending(outcome),
        _ => Ending::Refused,
    }
}

/// Whether it ended by a conflict, where it is known how it ended.
pub(crate) fn by_conflict(finished: &Result<v1::Outcome, ApiError>) -> Option<bool> {
    let outcome = finished.as_ref().ok()?;
    let cause = outcome.rollback.as_ref().map(v1::Rollback::cause);
    match (outcome.state(), cause) {
        (State::Committed, _) => Some(false),
        (State::RolledBack, Some(cause)) => Some(matches!(
            cause,
            v1::RollbackCause::StaleRead
                | v1::RollbackCause::StaleRange
                | v1::RollbackCause::Locked
                | v1::RollbackCause::WriteConflict
                | v1::RollbackCause::ExpectationFailed
        )),
        _ => None,
    }
}

/// What its verdict is noted with.
pub(crate) fn end(finished: &Result<v1::Outcome, ApiError>) -> End {
    let outcome = match finished {
        Ok(outcome) => outcome,
        Err(ApiError::RolledBack(outcome)) => outcome,
        Err(_) => return End::Other,
    };
    match outcome.rollback.as_ref().map(v1::Rollback::cause) {
        None => End::Other,
        Some(v1::RollbackCause::Quarantined) => End::Quarantined,
        Some(_) => End::RolledBack,
    }
}

/// A rollback that the gateway decided before anything was sealed.
pub(crate) fn before_seal(
    cluster: &Cluster,
    tid: Option<Tid>,
    cause: v1::RollbackCause,
    retryable: bool,
    message: String,
) -> v1::Outcome {
    let rollback =
        v1::Rollback { cause: cause.into(), retryable, message, ..v1::Rollback::default() };
    of_rollback(cluster, tid, rollback)
}

/// The same with all that there is to say of it.
pub(crate) fn of_rollback(
    cluster: &Cluster,
    tid: Option<Tid>,
    rollback: v1::Rollback,
) -> v1::Outcome {
    match tid {
        Some(tid) => with_rollback(cluster, tid, rollback),
        None => v1::Outcome {
            state: State::RolledBack.into(),
            rollback: Some(rollback),
            ..v1::Outcome::default()
        },
    }
}

/// A rollback with the record and versions at fault.
pub(crate) fn with_rollback(cluster: &Cluster, tid: Tid, rollback: v1::Rollback) -> v1::Outcome {
    v1::Outcome {
        state: State::RolledBack.into(),
        transaction_id: convert::tid(tid),
        rollback: Some(rollback),
        route: Some(route(cluster, tid.home)),
        ..v1::Outcome::default()
    }
}

/// The leader of a group, for a client that wants to ask it directly the next time.
pub(crate) fn route(cluster: &Cluster, group: GroupId) -> v1::RouteHint {
    let (leader_node, leader_endpoint) = cluster.leader_hint(group);
    v1::RouteHint { group: group.0, leader_node: u64::from(leader_node), leader_endpoint }
}

fn committed(cluster: &Cluster, tid: Tid, ts: Timestamp, receipt: &Receipt) -> v1::Outcome {
    let outcome = v1::Outcome {
        state: State::Committed.into(),
        transaction_id: convert::tid(tid),
        commit_version: ts.0,
        receipt: Some(convert::receipt(receipt)),
        route: Some(route(cluster, tid.home)),
        ..v1::Outcome::default()
    };
    foresight::convert::with_finding(outcome, &receipt.body.finding)
}

/// A commit is told with its proof or not at all: whoever asks again gets both.
async fn whole(
    cluster: &Arc<Cluster>,
    tid: Tid,
    receipt: Option<Receipt>,
    deadline: Instant,
) -> Result<Receipt, ApiError> {
    let receipt = match receipt {
        Some(receipt) => Some(receipt),
        None => Box::pin(receipt::fetch(cluster, tid, deadline)).await,
    };
    receipt.ok_or(ApiError::OutcomeUnknown { tid })
}

/// A request that another attempt committed is answered with that attempt's outcome.
async fn rolled_back(
    cluster: &Arc<Cluster>,
    tid: Tid,
    cause: &Cause,
    claim: Option<Claim>,
    deadline: Instant,
) -> Result<v1::Outcome, ApiError> {
    let held = match (&cause.why, claim) {
        (Why::RequestHeld { by }, _) => Some(*by),
        // Another attempt at it may be what stood in the way: what that one changed is not as this
        // one expects.
        (_, Some(claim)) => same_request(cluster, &claim, deadline).await?,
        _ => None,
    };
    if let Some(by) = held {
        let original = known(cluster, by, Instant::now(), deadline).await?;
        return match original.state() {
            State::Committed => Ok(v1::Outcome { replayed: true, ..original }),
            // It committed, and its outcome is no longer kept: only "unknown" is no lie.
            _ => Err(ApiError::OutcomeUnknown { tid: by }),
        };
    }
    Ok(with_rollback(cluster, tid, rollback::of_cause(cause)))
}

/// Who committed this very request, once whoever is at it has been decided.
async fn same_request(
    cluster: &Arc<Cluster>,
    claim: &Claim,
    deadline: Instant,
) -> Result<Option<Tid>, ApiError> {
    let read = PeerRead::Request(claim.request.clone());
    match cluster.read(claim.group, read, deadline).await? {
        PeerFound::Request(held) => {
            Ok(held.filter(|held| held.content == claim.content).map(|held| held.tid))
        }
        _ => Ok(None),
    }
}

fn unknown(cluster: &Cluster, tid: Tid) -> v1::Outcome {
    v1::Outcome {
        state: State::Unknown.into(),
        transaction_id: convert::tid(tid),
        route: Some(route(cluster, tid.home)),
        ..v1::Outcome::default()
    }
}
