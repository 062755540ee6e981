//! Transactions of one group that this node leads: one proposal, and no driver.
//!
//! Why: such a vote decides as well, so there is nothing to coordinate, and a driver's task, timers
//! and messages cost as much as the rest of the way.
//!
//! Invariant: it answers only with what the group's one entry decided. Whatever else comes back, or
//! nothing in time, leaves the transaction to a driver: votes are remembered, so that one may ask
//! again.

use crate::{
    cluster::Cluster,
    peer::{Finished, Origin, PeerReply, Proposed},
    telemetry::drive_times::{DriveTimes, Voted},
    time,
};
use fail::fail_point;
use std::sync::Arc;
use tokio::time::Instant;
use vatic_core::{
    body::{Body, Part},
    command::{Command, Decision, Reply, Standing, Vote, Why},
    coordinator::Answer,
    receipt::Receipt,
};

/// What came of it.
pub(crate) enum Quick {
    /// It is decided.
    Finished(Finished),
    /// A driver must see to it. In doubt: the vote may be applied yet.
    Open { body: Body, parts: Vec<Part>, in_doubt: bool },
}

/// Proposes the vote where that is all there is to do; gives the transaction back where it is not.
pub(crate) async fn vote(
    cluster: &Arc<Cluster>,
    body: Body,
    mut parts: Vec<Part>,
    origin: Origin,
    deadline: Instant,
) -> Quick {
    let (tid, group) = (body.tid, body.tid.home);
    let handle = cluster.led_here(group);
    let alone = body.participants.len() == 1 && parts.len() == 1;
    let (Some(handle), true) = (handle, alone) else {
        return Quick::Open { body, parts, in_doubt: false };
    };
    let origin = cluster.scored(origin, &parts);
    let part = parts.pop().expect("there is one");
    let mut command = Command::Vote(Box::new(Vote { body, part, hint: time::now() }));
    let (times, asked) = (DriveTimes::begin(cluster), Instant::now());
    let ends = time::deadline_in(cluster.config.limits.propose_deadline_ms).min(deadline);
    fail_point!("server::vote");
    let reply = cluster.serve_propose(group, handle, &mut command, origin, ends).await;
    let Command::Vote(vote) = command else { unreachable!("it was made above") };
    let Vote { body, part, .. } = *vote;
    let PeerReply::Applied(proposed) = reply else {
        let in_doubt = matches!(reply, PeerReply::Late | PeerReply::Stopping);
        return Quick::Open { body, parts: vec![part], in_doubt };
    };
    fail_point!("server::voted");
    let voted = Voted { group, took: asked.elapsed(), times: proposed.times };
    let reply = proposed.applied.reply.clone();
    let strays = body.finding.judgement().is_some_and(|judged| !judged.verdict.valid);
    let strayed = strays.then(|| (body.clone(), part.clone()));
    let quick = decided(proposed, body, part);
    if let Quick::Finished(finished) = &quick {
        times.decided_at_once(tid, voted, &reply);
        if let (Some((body, part)), Answer::Decided(decision)) = (strayed, &finished.answer) {
            cluster.conflicts.ended(|| cluster.policies_in(group), (&body, [&part]), decision);
        }
    }
    quick
}

fn decided(proposed: Proposed, body: Body, part: Part) -> Quick {
    let Reply::Standing(Standing::Decided(decision)) = proposed.applied.reply else {
        return Quick::Open { body, parts: vec![part], in_doubt: true };
    };
    let receipt = match (&decision, proposed.applied.proof) {
        (Decision::Committed { ts }, Some(proof)) => {
            let mut receipt = Receipt::new(body, *ts, vec![proof]);
            proposed.endorsement.into_iter().for_each(|signed| receipt.endorse(*signed));
            Some(receipt)
        }
        (Decision::Committed { .. }, None) => {
            return Quick::Open { body, parts: vec![part], in_doubt: true };
        }
        // Whoever holds the lock may be dead: a driver sees to that.
        (Decision::RolledBack(cause), _) => match cause.why {
            Why::Locked { .. } | Why::RangeLocked { .. } => {
                return Quick::Open { body, parts: vec![part], in_doubt: true };
            }
            _ => None,
        },
    };
    Quick::Finished(Finished { answer: Answer::Decided(decision), receipt, refused: None })
}
